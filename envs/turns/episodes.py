"""Episodes: a sampler plays a batch of environments, turn by turn, and every token is kept as it was sampled.

    prompt → the model's turn → its calls are read and run → their answers → the model's next turn → …

The tokens of an episode are laid end to end and never made from text again. Those of tools' answers are marked as not
sampled, so that they carry no loss. All episodes of a batch take a turn together.
"""

from __future__ import annotations

import hashlib
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from rlpath.core.errors import InputError
from rlpath.core.seeding import derive
from rlpath.core.types import Completion, Decoding, Episode, EpisodeTurn, FinishReason, Problem, Status, Verdict
from rlpath.envs.turns.calls import Caller, Limits
from rlpath.envs.turns.contract import Factory, ask, make_environment, name_of, reward_of, rewards_itself, tools_of
from rlpath.models.tool_chat import ToolChat
from rlpath.runs.hardware import cores


@dataclass
class Playing:
    """An episode while it lasts."""

    problem: Problem
    caller: Caller
    prompt_ids: list[int]
    room: int
    """tokens that may still be added"""
    number: int
    """its place in the batch, which decides its draws"""
    turns: list[EpisodeTurn] = field(default_factory=list)
    ended: FinishReason | None = None

    @property
    def context(self) -> list[int]:
        """All tokens so far."""
        return [*self.prompt_ids, *(token for turn in self.turns for token in turn.token_ids)]

    def add(self, turn: EpisodeTurn) -> None:
        """Take in a turn."""
        self.turns.append(turn)
        self.room -= len(turn.token_ids)


class EpisodePlayer:
    """Plays episodes of one kind of environment, whose instances are made once and reset often.

    `factory` makes an environment; a problem's `meta["row"]` is what its `reset` is given.
    """

    def __init__(self, factory: Factory, limits: Limits | None = None) -> None:
        self.factory, self.limits = factory, limits or Limits()
        self.name = name_of(factory)
        self.pool: list[Any] = []

    @property
    def identity(self) -> str:
        """The environment's name, the hash of its code, and the limits."""
        code = inspect.unwrap(type(self._environment(0)))
        try:
            text = inspect.getsource(code)
        except (OSError, TypeError):  # made in a prompt: there is no source to read
            text = repr(code)
        return f"{code.__name__} {hashlib.sha256(text.encode()).hexdigest()[:16]} {self.limits}"

    @property
    def tools(self) -> list[Callable[..., Any]]:
        """The tools that the model is told of."""
        return list(tools_of(self._environment(0)).values())

    def chat(self, tokenizer: Any, system: str | None = None, options: Mapping[str, Any] | None = None) -> ToolChat:
        """How this model is talked to. Raises `InputError` where its template has no tools and there are some."""
        return ToolChat(tokenizer, system, options, needs_tools=bool(self.tools))

    def lengths(
        self,
        tokenizer: Any,
        problems: Sequence[Problem],
        system: str | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> list[int]:
        """Tokens of the problems' prompts with the tools before them. Raises `InputError` as `chat` does."""
        chat, tools = self.chat(tokenizer, system, options), self.tools
        return [len(chat.prompt(problem.prompt, tools)) for problem in problems]

    def play(
        self, sampler: Any, problems: Sequence[Problem], decoding: Decoding, *, first: int = 0
    ) -> list[list[Completion]]:
        """For each problem `decoding.n` episodes; `decoding.max_tokens` bounds all turns of one with their answers.

        Draws follow from the seed, the problem's number (from `first`), the episode's in its group and the turn. Raises
        `InputError` where the model's template cannot be used, or an environment breaks its contract.
        """
        chat, size, tools = self._chat(sampler), decoding.n, self.tools
        playing: list[Playing] = []
        for problem in problems:
            prompt = chat.prompt(problem.prompt, tools)
            for _ in range(size):
                caller = Caller(self._reset(len(playing), problem), self.limits)
                number = first * size + len(playing)
                playing.append(Playing(problem, caller, prompt, decoding.max_tokens, number))
        for turn in range(self.limits.turns):
            active = [one for one in playing if one.ended is None]
            if not active:
                break
            for one, completion in zip(active, self._sample(sampler, active, decoding, turn, first), strict=True):
                self._take(one, completion)
            last = turn + 1 == self.limits.turns
            with ThreadPoolExecutor(max(4, cores())) as pool:
                list(pool.map(partial(self._answer, chat, last=last), active))
        with ThreadPoolExecutor(max(4, cores())) as pool:
            completions = list(pool.map(partial(self._finish, chat), playing))
        for at, one in enumerate(playing):
            if one.caller.hung:
                self.pool[at] = None  # its thread may still be at work on it
        return [completions[at : at + size] for at in range(0, len(completions), size)]

    def _chat(self, sampler: Any) -> ToolChat:
        tokenizer = getattr(sampler, "tokenizer", None)
        if not hasattr(tokenizer, "added_tokens_decoder"):
            raise InputError(f"environment {self.name} needs a model that is here: a server shows no tokens")
        return self.chat(tokenizer, getattr(sampler, "system", None), getattr(sampler, "options", None))

    def _environment(self, at: int) -> Any:
        self.pool += [None] * (at + 1 - len(self.pool))
        if self.pool[at] is None:
            self.pool[at] = make_environment(self.factory)
        return self.pool[at]

    def _reset(self, at: int, problem: Problem) -> Any:
        """The environment of one episode, at its beginning."""
        environment = self._environment(at)
        if ask(environment, problem.meta["row"]) != problem.prompt:
            raise InputError(
                f"reset of environment {self.name} asks something else each time for problem {problem.id}: let what "
                "is random follow from a field of the row, so that all episodes of a group answer one question"
            )
        return environment

    def _sample(
        self, sampler: Any, active: Sequence[Playing], decoding: Decoding, turn: int, first: int
    ) -> list[Completion]:
        """The next turn of each."""
        if turn == 0:
            # A group's prompt is read once.
            prompts = [one.prompt_ids for one in active[:: decoding.n]]
            part = {"first": first} if first else {}
            return [one for group in sampler.generate(prompts, decoding, **part) for one in group]
        room = max(one.room for one in active)
        alone = replace(decoding, n=1, max_tokens=room, seed=derive(decoding.seed, "turn", turn))
        part = {"numbers": [one.number for one in active]} if getattr(sampler, "takes_numbers", False) else {}
        return [group[0] for group in sampler.generate([one.context for one in active], alone, **part)]

    def _take(self, one: Playing, completion: Completion) -> None:
        """A turn of the model, cut where the episode has no more room."""
        ids, logprobs = completion.token_ids[: one.room], completion.logprobs[: one.room]
        cut = completion.truncated or len(ids) < len(completion.token_ids)
        one.add(EpisodeTurn("assistant", completion.text, ids, logprobs))
        if cut:
            one.ended = "length"

    def _answer(self, chat: ToolChat, one: Playing, *, last: bool) -> None:
        """Run the calls of the newest turn; the episode ends where there are none, or nothing can follow."""
        if one.ended is not None:
            return
        calls = chat.read(one.turns[-1].token_ids)
        if not calls:
            one.ended = "stop"
            return
        answers: list[tuple[str, str]] = []
        for place, call in enumerate(calls):
            if one.caller.done:
                break
            text = one.caller.answer(call) if place < self.limits.calls else one.caller.too_many()
            text, cut = chat.cut(text, self.limits.answer_tokens)
            if cut:
                one.caller.counts["flooded"] += 1
                text += f"\nerror: the answer was cut after {self.limits.answer_tokens} tokens"
            answers.append((call.name, text))
        text = "\n".join(answer for _, answer in answers)
        if one.caller.done or last:
            one.ended = "stop" if one.caller.done else "length"
            one.add(EpisodeTurn("tool", text))
            return
        ids = chat.answers(answers)
        if len(ids) >= one.room:
            one.ended = "length"
            one.add(EpisodeTurn("tool", text))
            return
        one.add(EpisodeTurn("tool", text, tuple(ids)))

    def _finish(self, chat: ToolChat, one: Playing) -> Completion:
        """The episode as a completion, with the environment's verdict where it has one."""
        ended = one.ended or "length"
        ids = tuple(token for turn in one.turns for token in turn.token_ids)
        logprobs = tuple(p for turn in one.turns for p in turn.logprobs or [math.nan] * len(turn.token_ids))
        counts = {"calls": 0, **one.caller.counts}
        verdict = self._verdict(one, truncated=ended == "length")
        episode = Episode(tuple(one.prompt_ids), tuple(one.turns), verdict, counts)
        return Completion(chat.tokenizer.decode(ids, skip_special_tokens=True), ids, logprobs, ended, episode)

    def _verdict(self, one: Playing, *, truncated: bool) -> Verdict | None:
        environment = one.caller.environment
        if not rewards_itself(environment):
            return None
        if one.caller.hung:
            return Verdict.of(Status.WRONG, reason="a tool hung, which earns nothing")
        reward = reward_of(environment, f"{self.name} after an episode of {one.problem.id}")
        if reward is None:
            return Verdict.of(Status.UNDECIDED, reason="the environment gave no reward")
        missed = Status.TRUNCATED if truncated else Status.WRONG
        return Verdict(
            Status.CORRECT if reward >= 1 else missed, reward, reason=f"the environment's reward is {reward:g}"
        )
