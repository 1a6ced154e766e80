"""A milestone is ticked where the runs at hand show it, and never where a run is missing, cut short or changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlpath.cli.main import COMMANDS
from rlpath.cli.path.command import as_json
from rlpath.cli.path.milestones import MILESTONES, PARTS
from rlpath.cli.path.page import write_page
from rlpath.cli.path.sound import collect
from rlpath.cli.path.steps import next_step, walk
from rlpath.core.files import read_json, write_atomic
from rlpath.core.types import Status
from rlpath.evals.compare.comparison import compare
from rlpath.evals.compare.likelihood import Likelihood, write_likelihoods
from rlpath.evals.measure.evaluation import Evaluation
from rlpath.evals.suite.result import SuiteResult
from rlpath.runs.prereg import prereg_text
from rlpath.runs.provenance import describe_prereg, file_sha256
from rlpath.runs.run_folder import RunFolder
from rlpath.tabular.dp import value_iteration
from rlpath.tabular.settings import TabularSettings
from tests.evals.suite_results import RIGHT, WRONG, contrast, evaluation, interval, suite_result, write_evaluation

STARTED = "2026-11-01T10:00:00+00:00"
LANGUAGE = {"preset": "cpu", "steps": 2, "model": "base"}


def run_folder(
    root: Path, recipe: str, config: dict[str, Any], seed: int = 0, facts: dict[str, Any] | None = None
) -> Path:
    """A finished run with its steps logged and nothing measured."""
    config = {**config, "seed": seed, "root": str(root)}
    with RunFolder.open(root, recipe, config, seed) as run:
        run.write_json("manifest.json", {"started": STARTED, "config": config, "prereg": None, **(facts or {})})
        run.log_metrics(config.get("total_timesteps") or config["steps"], {"loss": 1.0})
        run.mark_finished()
    return run.path


def final(run: Path, returns: list[float], **more: Any) -> Path:
    write_atomic(run / "evaluations" / "final.json", json.dumps({"returns": returns, "mean": 500.0, **more}))
    return run


def judged(run: Path, after: Status = RIGHT) -> Path:
    """Thirty problems that were wrong before training and are `after` behind it, with the verdict."""
    sides: dict[str, Evaluation] = {"before": evaluation([WRONG] * 30), "after": evaluation([after] * 30)}
    for side, found in sides.items():
        write_evaluation(run / "evaluations" / f"{side}.jsonl", found)
    compare(sides["before"], sides["after"]).save(run / "evaluations" / "verdict.json")
    return run


def pretrained(root: Path) -> Path:
    run = run_folder(root, "pretrain_tiny", {"preset": "cpu", "steps": 4})
    rows = [{"step": 2, "bits_a_byte": 2.0}, {"step": 4, "bits_a_byte": 1.5}]
    write_atomic(run / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    return saved(run, "first weights")


def saved(run: Path, weights: str) -> Path:
    (run / "model").mkdir()
    (run / "model" / "model.safetensors").write_text(weights)
    return run


def from_weights(root: Path, recipe: str, start: Path, weights: str) -> Path:
    """A run that began with the weights that `start` saved."""
    used = {"model.safetensors": file_sha256(start / "model" / "model.safetensors")}
    facts = {"model": {"name": "m", "path": "m", "sha256": used}}
    return saved(judged(run_folder(root, recipe, LANGUAGE, facts=facts)), weights)


def pipeline(root: Path) -> Path:
    second = from_weights(root, "sft_tiny", pretrained(root), "second weights")
    return from_weights(root, "grpo_tiny", second, "third weights")


def first_agent(root: Path) -> Path:
    run = run_folder(root, "first_agent", {"env_id": "CartPole-v1", "total_timesteps": 10})
    return final(run, [99.0, 100.0, 101.0], untrained=20.0)


def tabular(root: Path, q: Callable[[Any], Any] = lambda best: best) -> Path:
    """A table whose greedy policy is the optimum of a lake without slipping."""
    settings = TabularSettings(env_options=("is_slippery=false",), root=root).resolve("q_learning", {})
    run = run_folder(root, "tabular", settings.config())
    np.savez(run / "q.npz", q=q(value_iteration(settings.model(), 0.99).q_SA))
    return run


def ppo(root: Path, **changes: Any) -> Path:
    config = {"env_id": "CartPole-v1", "total_timesteps": 10, "norm_adv": True, **changes}
    first, *_ = [final(run_folder(root, "ppo", config, seed), [480.0 + seed, 500.0]) for seed in range(3)]
    return first


def ablation(root: Path) -> Path:
    ppo(root)
    return ppo(root, norm_adv=False)


def chat_sft(root: Path) -> Path:
    """A run without problems: held-out losses alone."""
    run = run_folder(root, "sft_chat", LANGUAGE)
    for side, loss in (("before", 2.0), ("after", 1.0)):
        rows = [Likelihood(f"r{i}", -loss * (10 + i), 10) for i in range(10)]
        write_likelihoods(run / "evaluations" / f"held_out_{side}.jsonl", rows)
    return run


def lies(root: Path) -> Path:
    rows = [
        {"name": f"lie {i}", "why": "so", "flattering": {"value": 0.5}, "honest": {"value": 0.4 + 0.2 * (i == 3)}}
        for i in range(4)
    ]
    path = root / "lies" / "lies.json"
    path.parent.mkdir(parents=True)
    write_atomic(path, json.dumps(rows))
    return path


def suite(root: Path, seeds: tuple[int, ...] = (3, 4, 5)) -> Path:
    folder = root / "suite"
    folder.mkdir(parents=True)
    made: SuiteResult = suite_result(folder, contrasts=(contrast("sums", "improved", interval(0.1, 0.0, 0.2)),))
    made.save(folder)
    row = read_json(folder / "result.json")
    row["entrants"][0]["seeds"] = list(seeds)
    write_atomic(folder / "result.json", json.dumps(row))
    return folder / "result.json"


def planned(root: Path, models: tuple[str, ...] = ("ppo",)) -> Path:
    declared = {"models": models, "baseline": "b", "tasks": ["t"], "metric": "final", "n": 1, "seeds": [0]}
    plan = root / "p.toml"
    plan.parent.mkdir(parents=True, exist_ok=True)
    plan.write_text(prereg_text("It solves it.", **declared))
    config = {"env_id": "CartPole-v1", "total_timesteps": 10}
    return run_folder(root, "ppo", config, facts={"prereg": describe_prereg(None, plan)})


def logged(root: Path, learned: str = "Seeds differ.") -> Path:
    run = first_agent(root)
    entry = f"## 2026-11-02 first_agent, seed 0 ({run.parent.name})\n\n**Tried.** x\n**Happened.** y\n"
    (root / "LOG.md").write_text(f"# Log\n\n{entry}**Learned.** {learned}\n**Next.** z\n")
    return run


SHOWN: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "loss curve": ("loss-curve", pretrained),
    "pipeline": ("pipeline", pipeline),
    "first agent": ("rl-0", first_agent),
    "Q-learning": ("rl-1", tabular),
    "PPO": ("rl-2", ppo),
    "ablation": ("ablation", ablation),
    "SFT": ("sft", lambda root: judged(run_folder(root, "sft_gsm8k", LANGUAGE))),
    "SFT without problems": ("sft", chat_sft),
    "DPO": ("dpo", lambda root: judged(run_folder(root, "dpo", LANGUAGE))),
    "GRPO": ("grpo", lambda root: judged(run_folder(root, "grpo_arithmetic", LANGUAGE), WRONG)),
    "lies": ("lies", lies),
    "evaluation": ("evaluation", suite),
    "plan": ("prereg", planned),
    "log": ("log", logged),
}


def ticked(root: Path) -> set[str]:
    steps = walk(collect([root], root / "LOG.md"), slower=1.0)
    return {step.milestone.key for step in steps if step.evidence}


def test_without_runs_nothing_is_ticked(tmp_path: Path) -> None:
    """The first step is then the first agent, and minutes follow the machine."""
    steps = walk(collect([tmp_path / "runs"], tmp_path / "LOG.md"), slower=2.0)
    assert not [step for step in steps if step.evidence]
    following = next_step(steps)
    assert following is not None and following.milestone.key == "rl-0"
    assert following.minutes == 2 * following.milestone.minutes


@pytest.mark.parametrize("kind", SHOWN)
def test_each_kind_of_evidence_ticks_its_milestone(kind: str, tmp_path: Path) -> None:
    """A null result ticks too: the evidence is that it was measured."""
    key, make = SHOWN[kind]
    make(tmp_path)
    assert key in ticked(tmp_path)


def test_every_milestone_that_can_be_ticked_has_a_case_here() -> None:
    """And every one has a part, a question and what it needs before it."""
    assert {key for key, _ in SHOWN.values()} == {m.key for m in MILESTONES if m.finder}
    keys = [milestone.key for milestone in MILESTONES]
    assert len(set(keys)) == len(keys)
    for milestone in MILESTONES:
        assert milestone.part in PARTS and milestone.question and milestone.answer
        assert all(keys.index(needed) < keys.index(milestone.key) for needed in milestone.needs)


def unfinished(run: Path) -> None:
    (run / "finished.json").unlink()


def edited(file: str, **changes: Any) -> Callable[[Path], None]:
    """The JSON file with other values under these names."""
    return lambda run: write_atomic(run / file, json.dumps({**read_json(run / file), **changes}))


def renamed(run: Path) -> None:
    run.parent.rename(run.parent.with_name("0123456789ab"))


def written(file: str, text: str) -> Callable[[Path], None]:
    return lambda run: write_atomic(run / file, text)


def shortened(run: Path) -> None:
    """The last answer after training is gone."""
    path = run / "evaluations" / "after.jsonl"
    write_atomic(path, "\n".join(path.read_text().splitlines()[:-1]) + "\n")


def answered_otherwise(run: Path) -> None:
    """The answers show nothing, and the verdict still says that it improved."""
    write_evaluation(run / "evaluations" / "after.jsonl", evaluation([WRONG] * 30))


BROKEN: dict[str, tuple[str, Callable[[Path], Any]]] = {
    **{f"{kind}, unfinished": (kind, unfinished) for kind in SHOWN if kind not in ("lies", "evaluation")},
    "a trial": ("GRPO", edited("config.json", preset="smoke")),
    "another configuration": ("GRPO", edited("config.json", steps=1)),
    "another folder": ("first agent", renamed),
    "another manifest": ("SFT", edited("manifest.json", config={"steps": 9})),
    "no manifest": ("SFT", lambda run: (run / "manifest.json").unlink()),
    "no steps": ("PPO", written("metrics.jsonl", '{"step": 1}\n')),
    "metrics that are no JSON": ("DPO", written("metrics.jsonl", "steps\nsteps\n")),
    "ended before it began": ("first agent", edited("manifest.json", started="2999-01-01T00:00:00+00:00")),
    "a mean that the returns do not give": ("PPO", edited("evaluations/final.json", returns=[9.0, 9.0], mean=500.0)),
    "no returns": ("first agent", edited("evaluations/final.json", returns=[])),
    "a seed asked for and missing": ("PPO", lambda run: written("../asked.json", '{"seeds": [0, 1, 2, 3]}')(run)),
    "answers missing": ("GRPO", shortened),
    "a verdict that the answers do not give": ("SFT", answered_otherwise),
    "no answers": ("DPO", lambda run: (run / "evaluations" / "before.jsonl").unlink()),
    "a table that is no optimum": ("Q-learning", lambda run: np.savez(run / "q.npz", q=np.zeros((16, 4)))),
    "no table": ("Q-learning", lambda run: (run / "q.npz").unlink()),
    "other weights": ("pipeline", lambda run: _other_weights(run)),
    "text that did not get better": ("loss curve", written("metrics.jsonl", '{"step": 4, "bits_a_byte": 2.0}\n')),
    "no lies but honest figures": ("lies", lambda path: write_atomic(path, path.read_text().replace("0.5", "0.1"))),
    "lies that are no list": ("lies", lambda path: write_atomic(path, "{}")),
    "an evaluation without its answers": ("evaluation", lambda path: next(path.parent.glob("*.jsonl")).unlink()),
    "a plan changed later": ("plan", lambda run: _other_plan(run)),
}  # fmt: skip


def _other_weights(run: Path) -> None:
    (sft,) = run.parents[2].glob("sft_tiny/*/seed-0/model/model.safetensors")
    sft.write_text("weights of another run")


def _other_plan(run: Path) -> None:
    plan = read_json(run / "manifest.json")["prereg"]
    edited("manifest.json", prereg={**plan, "text": plan["text"].replace("It solves it", "It fails")})(run)


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_incomplete_or_changed_ticks_nothing(case: str, tmp_path: Path) -> None:
    """One thing is wrong with evidence that would tick otherwise."""
    kind, spoil = BROKEN[case]
    key, make = SHOWN[kind]
    spoil(make(tmp_path))
    assert key not in ticked(tmp_path)


@pytest.mark.parametrize(
    ("key", "make"),
    [
        ("log", lambda root: logged(root, learned="…")),
        ("prereg", lambda root: planned(root, models=("dqn",))),
        ("evaluation", lambda root: suite(root, seeds=(3, 4))),
        ("ablation", lambda root: (ppo(root), ppo(root, norm_adv=False, gamma=0.9))),
        ("ablation", lambda root: (ppo(root), ppo(root, total_timesteps=20))),
        ("rl-1", lambda root: tabular(root, lambda best: -best)),
        ("rl-0", lambda root: final(first_agent(root), [10.0, 90.0], untrained=20.0)),
    ],
)
def test_what_is_too_little_ticks_nothing(key: str, make: Callable[[Path], Any], tmp_path: Path) -> None:
    """A blank entry, another recipe's plan, two seeds, two changes at once, a longer run, the worst policy, luck."""
    make(tmp_path)
    assert key not in ticked(tmp_path)


def test_a_broken_run_does_not_hide_a_whole_one(tmp_path: Path) -> None:
    """And it is listed with what is wrong."""
    unfinished(first_agent(tmp_path / "one"))
    first_agent(tmp_path / "two")
    runs = collect([tmp_path], tmp_path / "LOG.md")
    steps = walk(runs, slower=1.0)
    assert [step.milestone.key for step in steps if step.evidence] == ["rl-0"]
    assert [why for _, why in runs.unsound] == ["did not finish"]
    said = as_json(steps, runs)
    assert said["next"] == "rl-1" and len(said["not_counted"]) == 1


def test_the_page_shows_evidence_and_folds_answers(tmp_path: Path) -> None:
    """Every question is on it, the run that shows a milestone too, and the next command."""
    first_agent(tmp_path)
    runs = collect([tmp_path], tmp_path / "LOG.md")
    steps = walk(runs, slower=1.0)
    write_page(tmp_path / "path.html", steps, next_step(steps), runs)
    text = (tmp_path / "path.html").read_text()
    assert text.count("<details") == len(MILESTONES)
    assert "CartPole-v1: return 20.0 → 100.0" in text and "first_agent/" in text
    assert "recipes/tabular.py" in text and "<svg" in text


def test_commands_name_files_that_exist() -> None:
    """Recipes and modules of every milestone's command, and subcommands of `rlpath`."""
    root = Path(__file__).parents[2]
    for milestone in MILESTONES:
        for words in (part.split() for part in milestone.command.split(" && ")):
            if words[0] == "rlpath":
                assert words[1] in COMMANDS
            elif words[1] == "-m":
                assert "__main__" in (root / f"{words[2].replace('.', '/')}.py").read_text()
            else:
                assert (root / words[1]).is_file()
