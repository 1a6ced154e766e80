"""Episodes keep the tokens that were sampled, run tools within limits, and let a model say nothing it cannot mean."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest

pytest.importorskip("transformers")

from rlpath.core.errors import InputError
from rlpath.core.types import Completion, Decoding, Problem, Status
from rlpath.envs.turns.calls import Limits
from rlpath.envs.turns.episodes import EpisodePlayer
from rlpath.envs.turns.problems import environment_problems
from rlpath.models.hf_sampler import HFSampler
from tests.envs.turns.scripted import Counting, Script, ScriptedSampler, call, with_tools

ROWS = [{"words": "a b c"}, {"words": "d e"}]
DECODING = Decoding(max_tokens=800, n=2)


@pytest.fixture
def tokenizer(tiny_tokenizer: Any) -> Any:
    return with_tools(tiny_tokenizer)


def problems(limits: Limits | None = None) -> tuple[EpisodePlayer, tuple[Problem, ...]]:
    made = environment_problems("counting", Counting, ROWS, limits=limits)
    assert isinstance(made.environment, EpisodePlayer)
    return made.environment, made.problems


def played(
    tokenizer: Any, script: Script, limits: Limits | None = None, decoding: Decoding = DECODING
) -> list[Completion]:
    player, asked = problems(limits)
    groups = player.play(ScriptedSampler(tokenizer, script), asked, decoding)
    assert [len(group) for group in groups] == [decoding.n] * len(ROWS)
    return [completion for group in groups for completion in group]


def test_an_episode_is_the_turns_end_to_end(tokenizer: Any) -> None:
    """Prompt, call, answer and last word: the tokens are those the template writes for the whole conversation."""
    found = played(tokenizer, lambda number, turn: call("say", number=3) if turn == 0 else "done")[0]

    assert found.episode is not None
    assert [turn.role for turn in found.episode.turns] == ["assistant", "tool", "assistant"]
    player, asked = problems()
    said = {"type": "function", "function": {"name": "say", "arguments": {"number": 3}}}
    conversation = [
        {"role": "user", "content": asked[0].prompt},
        {"role": "assistant", "content": "", "tool_calls": [said]},
        {"role": "tool", "name": "say", "content": "you said 3"},
        {"role": "assistant", "content": "done"},
    ]
    whole = tokenizer.apply_chat_template(conversation, tools=player.tools, return_dict=False)
    newline = tokenizer("\n")["input_ids"]
    assert [*found.episode.prompt_ids, *found.token_ids, *newline] == whole
    assert found.finish_reason == "stop"


def test_only_what_the_model_wrote_is_sampled(tokenizer: Any) -> None:
    """The mask is 1 and the log-probability known exactly for the model's own tokens, its ends of turns included."""
    found = played(tokenizer, lambda number, turn: call("say", number=3) if turn == 0 else "done")[0]

    first, end = [*tokenizer(call("say", number=3))["input_ids"], 2], [*tokenizer("done")["input_ids"], 2]
    answer = len(found.token_ids) - len(first) - len(end)
    assert found.sampled == (True,) * len(first) + (False,) * answer + (True,) * len(end)
    assert found.length == len(first) + len(end)
    assert [not math.isnan(p) for p in found.logprobs] == list(found.sampled)
    assert [p for p in found.logprobs if not math.isnan(p)] == [
        -1 / (t + 2) for n in (first, end) for t in range(len(n))
    ]
    between = tokenizer.decode([id for id, mine in zip(found.token_ids, found.sampled, strict=True) if not mine])
    assert between == (
        "\n<|im_start|>user\n<tool_response>\nyou said 3\n</tool_response><|im_end|>\n<|im_start|>assistant\n"
    )


def test_nothing_is_tokenized_again(tokenizer: Any) -> None:
    """A turn goes into the next prompt with the tokens that were sampled, though its text has others."""
    word = call("say", number=3)
    odd = [*tokenizer(word)["input_ids"], 2, 2]  # two ends of turn: no template would write this

    class Odd(ScriptedSampler):
        def _turn(self, number: int, limit: int) -> Completion:
            known = super()._turn(number, limit)
            return Completion(word, tuple(odd), (-1.0,) * len(odd), "stop") if self.turn[number] == 1 else known

    sampler = Odd(tokenizer, lambda number, turn: "done")
    player, asked = problems()
    (found,), _ = player.play(sampler, asked, Decoding(800, n=1))

    assert found.episode is not None
    prompt = list(found.episode.prompt_ids)
    assert sampler.contexts[2][: len(prompt) + len(odd)] == [*prompt, *odd]


def test_rewards_are_the_environments(tokenizer: Any) -> None:
    """The right number earns 1 in each row of each group, on its own instance."""
    numbers = {0: 3, 1: 2, 2: 2, 3: 9}
    found = played(tokenizer, lambda number, turn: call("say", number=numbers[number]) if turn == 0 else "done")

    verdicts = [c.episode.verdict for c in found if c.episode is not None]
    assert [v and v.score for v in verdicts] == [1.0, 0.0, 1.0, 0.0]
    assert [v and v.status for v in verdicts] == [Status.CORRECT, Status.WRONG] * 2


ANSWERS: dict[str, tuple[str, str, str]] = {
    "raises": (call("fail"), "raised", "error: it is broken"),
    "leaves": (call("leave"), "raised", "error: SystemExit: 3"),
    "hangs": (call("hang"), "hung", "error: hang gave no answer within 0.05 seconds"),
    "floods": (call("flood"), "flooded", "error: the answer was cut after 16 tokens"),
    "unknown tool": (call("win"), "refused", "error: there is no tool win; there are "),
    "private method": (call("__init__"), "refused", "error: there is no tool __init__; there are "),
    "reset": (call("reset", words="a"), "refused", "error: there is no tool reset; there are "),
    "get_reward": (call("get_reward"), "refused", "error: there is no tool get_reward; there are "),
    "missing argument": (call("say"), "refused", "error: say: missing a required argument: 'number'"),
    "extra argument": (call("say", number=1, x=2), "refused", "error: say: got an unexpected keyword argument 'x'"),
    "no JSON": ("<tool_call>say 3</tool_call>", "malformed", "error: the call could not be read: it is not JSON"),
    "no end": ('<tool_call>{"name": "say"}', "malformed", "the call could not be read: there is no </tool_call>"),
    "no name": ('<tool_call>{"tool": 1}</tool_call>', "malformed", 'it is no object with a "name"'),
    "a number": ("<tool_call>3</tool_call>", "malformed", 'it is no object with a "name"'),
    "arguments no object": (
        '<tool_call>{"name": "say", "arguments": 3}</tool_call>', "malformed", 'its "arguments" is no object',
    ),
    "deep": ("<tool_call>" + "[" * 200 + "</tool_call>", "malformed", "it is not JSON"),
}  # fmt: skip


@pytest.mark.parametrize("name", ANSWERS)
def test_a_model_is_told_what_went_wrong(name: str, tokenizer: Any) -> None:
    """Whatever a call or a tool does, it is answered, counted, and the episode goes on to its end."""
    text, kind, answer = ANSWERS[name]
    tokens = 16 if kind == "flooded" else 200
    limits = Limits(seconds=0.05, answer_tokens=tokens)
    found = played(tokenizer, lambda number, turn: text if turn == 0 else "done", limits, Decoding(900, n=1))[0]

    assert found.episode is not None
    assert found.episode.counts == {"calls": 1, kind: 1}
    assert answer in found.episode.turns[1].text
    assert found.episode.turns[-1].text == "done"
    assert found.finish_reason == "stop"
    assert found.episode.verdict is not None
    assert found.episode.verdict.score == 0


def test_a_tool_cannot_end_a_turn(tokenizer: Any) -> None:
    """The template's own tokens in a tool's answer are taken apart: no history is forged."""
    found = played(tokenizer, lambda number, turn: call("forge") if turn == 0 else "done")[0]

    begins = tokenizer.convert_tokens_to_ids("<|im_start|>")
    assert found.token_ids.count(begins) == 2  # the tool's turn and the model's next one
    assert found.token_ids.count(2) == 3


def test_an_environment_that_hung_takes_no_more_calls(tokenizer: Any) -> None:
    """Its thread may still be at work on it: later calls are refused, it earns nothing, and another takes its place."""
    script = lambda number, turn: [call("hang"), call("say", number=3), "done"][turn]  # noqa: E731
    player, asked = problems(Limits(seconds=0.05))
    (found,), _ = player.play(ScriptedSampler(tokenizer, script), asked, Decoding(900, n=1))

    assert found.episode is not None
    assert found.episode.counts == {"calls": 2, "hung": 1, "refused": 1}
    assert found.episode.verdict is not None
    assert found.episode.verdict.score == 0
    (again,), _ = player.play(
        ScriptedSampler(tokenizer, lambda n, t: "done" if t else call("say", number=3)), asked, Decoding(900)
    )
    assert again.episode is not None
    assert again.episode.verdict is not None
    assert again.episode.verdict.score == 1


def test_several_calls_in_a_turn_have_an_answer_each(tokenizer: Any) -> None:
    """They are run in order up to the limit; those beyond it are answered too, and an async tool is waited for."""
    text = "\n".join([call("later", text="now"), call("say", number=3), call("fail")])
    found = played(tokenizer, lambda number, turn: text if turn == 0 else "done", Limits(calls=2))[0]

    assert found.episode is not None
    assert found.episode.turns[1].text.split("\n") == ["now", "you said 3", "error: not run: at most 2 calls in a turn"]
    assert found.text.count("<tool_response>") == 3


def test_turns_are_limited(tokenizer: Any) -> None:
    """A call in the last turn is still run, and the episode counts as truncated."""
    found = played(tokenizer, lambda number, turn: call("say", number=turn), Limits(turns=4))[0]

    assert found.episode is not None
    assert sum(turn.role == "assistant" for turn in found.episode.turns) == 4
    assert found.episode.turns[-1].text == "you said 3"
    assert found.episode.verdict is not None
    assert found.episode.verdict.score == 1.0
    assert found.finish_reason == "length"


@pytest.mark.parametrize("room", range(60, 160, 9))
def test_tokens_are_limited_over_all_turns(room: int, tokenizer: Any) -> None:
    """No episode is longer than its room, and whatever cut it, mask and log-probabilities fit its tokens."""
    found = played(tokenizer, lambda number, turn: call("say", number=3), Limits(turns=3), Decoding(room, n=2))

    for completion in found:
        assert len(completion.token_ids) <= room
        assert len(completion.token_ids) == len(completion.logprobs) == len(completion.sampled)
        assert completion.sampled[-1]
        assert completion.finish_reason == "length"


def test_an_environment_can_end_an_episode(tokenizer: Any) -> None:
    """Where it says that it is done, nothing more is asked of the model, and its answer is not shown."""

    class Short(Counting):
        done = False

        def say(self, number: int) -> str:
            """Say the number.

            Args:
                number: of words
            """
            self.done = True
            return super().say(number)

    player = EpisodePlayer(Short)
    _, asked = problems()
    (found,), _ = player.play(ScriptedSampler(tokenizer, lambda n, t: call("say", number=3)), asked, Decoding(500))

    assert found.episode is not None
    assert [turn.role for turn in found.episode.turns] == ["assistant", "tool"]
    assert all(found.sampled)
    assert found.finish_reason == "stop"


def test_a_question_that_changes_is_refused(tokenizer: Any) -> None:
    """A group must answer one question: what is random has to follow from the row."""

    class Fickle(Counting):
        asked = 0

        def reset(self, words: str, **row: Any) -> str:
            Fickle.asked += 1
            return f"{super().reset(words)} {Fickle.asked}"

    made = environment_problems("fickle", Fickle, ROWS)
    assert made.environment is not None
    with pytest.raises(InputError, match=r"reset of environment Fickle asks something else each time"):
        made.environment.play(ScriptedSampler(tokenizer, lambda n, t: ""), made.problems, DECODING)


def test_a_reward_that_turns_into_nothing_stops_the_run(tokenizer: Any) -> None:
    """NaN after an episode is told with the problem it came from."""

    class Broken(Counting):
        def get_reward(self) -> float:
            return math.nan if self.said >= 0 else 0.0

    made = environment_problems("broken", Broken, ROWS)
    assert made.environment is not None
    sampler = ScriptedSampler(tokenizer, lambda n, t: "done" if t else call("say", number=3))
    with pytest.raises(InputError, match=r"Broken after an episode of broken-0 gave nan"):
        made.environment.play(sampler, made.problems, DECODING)


def test_draws_do_not_depend_on_what_is_beside(tokenizer: Any, tiny_model: Callable[..., Any]) -> None:
    """A model's episodes are the same in one call and in two parts, in every turn."""

    class Listening(Counting):
        """Every turn is answered, so that a random model gets to a second one."""

    def read(self: Any, token_ids: Sequence[int]) -> list[Any]:
        from rlpath.models.tool_chat import ToolCall

        return [ToolCall("say", {"number": token_ids[0]})]

    from rlpath.models import tool_chat

    player = environment_problems("listening", Listening, ROWS, limits=Limits(turns=3)).environment
    _, asked = problems()
    assert player is not None
    sampler = HFSampler(tiny_model(seed=1), tokenizer)
    decoding = Decoding(300, n=3, seed=5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tool_chat.ToolChat, "read", read)
        whole = player.play(sampler, asked, decoding)
        parts = [*player.play(sampler, asked[:1], decoding), *player.play(sampler, asked[1:], decoding, first=1)]

    assert [[c.token_ids for c in group] for group in whole] == [[c.token_ids for c in group] for group in parts]
    assert max(len(c.episode.turns) for group in whole for c in group if c.episode) > 2
    assert len({c.token_ids for group in whole for c in group}) == 6
