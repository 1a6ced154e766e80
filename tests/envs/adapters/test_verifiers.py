"""Tasksets of verifiers as ours and ours as theirs: against verifiers where it is installed, else by its contract."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pydantic")

from rlpath.core.errors import InputError
from rlpath.core.types import Status
from rlpath.envs.adapters.verifiers_tasks import verifiers_problems
from rlpath.envs.load import environment_named, problem_set
from rlpath.envs.turns.by_hand import Call, play
from rlpath.envs.turns.episodes import EpisodePlayer
from rlpath.envs.turns.problems import environment_problems

TASKSETS = ("vf_sums", "vf_shop", "vf_boxed")
EXPORT = "rlpath.envs.adapters.verifiers_export"


class Coin:
    """Reward 1 for heads."""

    def __init__(self) -> None:
        self.done, self.said = False, ""

    def reset(self, **row: Any) -> str:
        self.__init__()
        return "Say heads."

    def say(self, side: str) -> str:
        """Say a side.

        Args:
            side: heads or tails
        """
        self.said, self.done = side, True
        return f"you said {side}"

    def get_reward(self) -> float:
        return float(self.said == "heads")


COINS = environment_problems("coin", Coin, [{"id": "one"}], split="validation")


@pytest.fixture(autouse=True)
def package(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The real verifiers, or what stands for it; and the tasksets of these tests, importable by their ids."""
    monkeypatch.syspath_prepend(Path(__file__).parent / "tasksets")
    if find_spec("verifiers") is None:
        from tests.envs.adapters.fake_verifiers import modules

        for name, module in modules().items():
            monkeypatch.setitem(sys.modules, name, module)
    yield
    for name in (*TASKSETS, EXPORT):
        sys.modules.pop(name, None)


def test_a_taskset_without_tools_is_a_problem_set() -> None:
    """The system prompt stands before the question; rewards are summed with their weights and told by part."""
    found = problem_set("verifiers:vf-sums", "train", size=5)
    problem = found.problems[0]
    answer = str(int(problem.prompt.split("\n\n")[1].split()[0]) + 1)

    def verdict(text: str, truncated: bool = False) -> Any:
        return found.verifier(text, problem.gold, question=problem.prompt, truncated=truncated)

    assert found.environment is None
    assert problem.prompt.startswith("Be brief.\n\n")
    assert (verdict(f"Answer: {answer}").status, verdict(f"Answer: {answer}").score) == (Status.CORRECT, 1.0)
    assert (verdict(answer).status, verdict(answer).score) == (Status.WRONG, 0.75)
    assert verdict(answer).reason == "form 0 × 0.25, right 1 × 0.75"
    assert (verdict("no", truncated=True).status, verdict("no").score) == (Status.TRUNCATED, 0.0)
    assert (verdict("crash").status, verdict("crash").score) == (Status.ERROR, None)
    with pytest.raises(ValueError, match="needs the prompt of one of its problems"):
        found.verifier("1", "", question="another")


def test_sides_are_disjoint_and_seeds_order() -> None:
    """Every task is on one side; the seed decides the order; the data of a task is part of the set's hash."""
    sides = {side: verifiers_problems("vf-sums", side) for side in ("train", "validation")}
    prompts = {side: {problem.prompt for problem in found.problems} for side, found in sides.items()}

    assert not prompts["train"] & prompts["validation"]
    assert len(prompts["train"] | prompts["validation"]) == 40
    assert sides["train"].sha256 == verifiers_problems("vf-sums").sha256
    assert sides["train"].sha256 != verifiers_problems("vf-sums", seed=1).sha256


def test_a_taskset_with_tools_is_an_environment() -> None:
    """Tools keep their names and types, their state reaches the rewards, and the last word is a tool."""
    found = environment_named("verifiers:vf-shop", "train", size=3)
    row = found.problems[0].meta["row"]
    assert isinstance(found.environment, EpisodePlayer)
    factory: Any = found.environment.factory
    last = Call("final_answer", text=str(2 * row["task"]["price"]))
    pears = [Call("shop_buy", thing="pear"), Call("shop_buy", thing="pear", count="1")]

    played = play(factory, row, [Call("shop_price", thing="pear"), Call("shop_price", thing="plum"), *pears, last])

    assert [tool.__name__ for tool in found.environment.tools] == ["final_answer", "shop_buy", "shop_price"]
    assert (played.reward, played.counts) == (1.0, {"calls": 5, "raised": 1})
    assert played.turns[1].text == str(row["task"]["price"])
    assert played.turns[5].text == '{"bought": 1}'
    assert play(factory, row, pears).reward == 0.5
    assert play(factory, row, [last]).reward == 0.5
    assert play(factory, row, []).reward == 0.0


def test_a_stop_condition_ends_the_episode() -> None:
    """As soon as it holds, no further call is asked for."""
    found = verifiers_problems("vf-shop", size=1)
    assert isinstance(found.environment, EpisodePlayer)
    calls = [Call("shop_buy", thing="pear", count=5), Call("final_answer", text="")]

    assert len(play(found.environment.factory, found.problems[0].meta["row"], calls).turns) == 2


BAD: dict[str, tuple[str, dict[str, Any], str]] = {
    "unknown": ("vf-none", {}, "verifiers finds no taskset 'vf-none': install its package"),
    "no taskset": ("json", {}, "'json' is no taskset of verifiers"),
    "configuration": (
        "vf-sums",
        {"config": {"counts": 3}},
        "taskset 'vf-sums' refuses the configuration {'counts': 3}",
    ),
    "test split": ("vf-sums", {"config": {"split": "test"}}, "taskset 'vf-sums' is set to its test split"),
    "image": ("vf-sums", {"config": {"odd": "image"}}, "task 0 of 'vf-sums' shows an image: only text can be played"),
    "conversation": ("vf-sums", {"config": {"odd": "talk"}}, "task 0 of 'vf-sums' begins with a conversation"),
    "no prompt": ("vf-sums", {"config": {"odd": "silent"}}, "task 0 of 'vf-sums' has no prompt"),
    "image of a box": ("vf-sums", {"config": {"odd": "box"}}, "task 0 of 'vf-sums' wants the container image python:3"),
    "container": ("vf-boxed", {}, "the tasks of 'vf-boxed' prepare or need a container"),
    "too few": ("vf-sums", {"size": 41}, "'vf-sums' has [0-9]+ train tasks: size 41 is too large"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_imported(name: str) -> None:
    """One sentence in one line, before anything is sampled."""
    taskset_id, arguments, sentence = BAD[name]
    with pytest.raises(InputError, match=sentence) as refused:
        verifiers_problems(taskset_id, **arguments)

    assert "\n" not in str(refused.value)


def test_rewards_that_fail_on_an_empty_answer_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """As those do that ask a judge model without its key: told before a run, not by every completion."""

    async def judged(self: Any, trace: Any) -> float:
        raise RuntimeError("set the key of the judge")

    taskset: Any = importlib.import_module("vf_sums")
    judged.reward = True  # type: ignore[attr-defined]
    judged.__name__ = "right"
    monkeypatch.setattr(taskset.SumTask, "right", judged)

    with pytest.raises(InputError, match=r"fail on an empty answer \(.*set the key of the judge\).*key must be set"):
        verifiers_problems("vf-sums", size=1)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the way to install it."""
    monkeypatch.setitem(sys.modules, "verifiers.v1", None)
    with pytest.raises(InputError, match=r"verifiers 0.4 is not installed .*: pip install 'verifiers>=0.4,<0.5'"):
        verifiers_problems("vf-sums")


def test_ours_as_a_taskset() -> None:
    """Prompts, ids and verdicts are ours; what our verifier leaves undecided is no reward."""
    vf: Any = importlib.import_module("verifiers.v1")
    made = importlib.import_module(EXPORT).taskset("arithmetic:add-2", size=3)
    ours = problem_set("arithmetic:add-2", "validation", size=3)
    from rlpath.envs.adapters.verifiers_tasks import score

    tasks = list(made(_settings(made)))

    assert [(task.data.id, task.data.prompt) for task in tasks] == [(one.id, one.prompt) for one in ours.problems]
    said = [score(tasks[0], [vf.AssistantMessage(content=text)]).total for text in (ours.problems[0].gold, "1", "")]
    assert said == [1.0, 0.0, 0.0]
    assert type(tasks[0]).toolsets(tasks[0].config) == []


def _settings(taskset: Any) -> Any:
    (base,) = (one for one in taskset.__orig_bases__)
    return base.__args__[1]()


def test_our_environment_as_a_tool_server() -> None:
    """Its tools run on the task's own episode; reward and end come back by the state; no call earns what none earns."""
    vf: Any = importlib.import_module("verifiers.v1")
    export: Any = importlib.import_module(EXPORT)
    made = export.taskset(f"{__name__}:COINS")
    (task,) = made(_settings(made))
    (server,) = type(task).toolsets(task.config)
    asyncio.run(server.setup_task(task.data))
    offered: dict[str, Any] = {}
    register = type("Server", (), {"add_tool": lambda self, fn, name, description: offered.update({name: description})})
    server.register(register())
    from rlpath.envs.adapters.verifiers_tasks import score

    assert score(task, [vf.AssistantMessage(content="heads")]).total == 0.0
    say = server._serving("say", server.caller.tools["say"])
    assert say(side="heads") == "you said heads"
    assert (server.state.reward, server.state.done) == (1.0, True)
    assert score(task, [vf.AssistantMessage(content="")], state=server.state).total == 1.0
    assert say(sides="heads").startswith("error: say: ")
    assert list(offered) == ["say"]
    assert "side: heads or tails" in offered["say"]
