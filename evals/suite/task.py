"""What a task is: problems, the ways to ask them, and three readings of an answer.

A task is a frozen declaration. Its first template is the protocol; the others are there to see whether a result
depends on how the question was put. Problems hold the bare question, so that verifiers see what was asked and a
template is only ever applied once, here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rlpath.core.errors import InputError
from rlpath.core.types import Completion, Decoding, Problem, ProblemSet, Sampler, Status, Verdict, Verifier


@dataclass(frozen=True, slots=True)
class Template:
    """One way to put a question. `text` holds {question} once.

    chat: as a user turn under the model's chat template; otherwise as plain text to be continued
    shots: solved examples before the question, from the task's exemplars: turns of a chat, or text blocks
    stop: plain text is cut at the first of these, as it has no end of turn
    likelihood: nothing is written; of the question's options the most probable continuation of the text is the answer
    system: what the system turn of a chat says, "" for none; options: further values for the chat template, by name
    """

    name: str
    text: str
    chat: bool = True
    shots: int = 0
    stop: tuple[str, ...] = ()
    likelihood: bool = False
    system: str = ""
    options: tuple[tuple[str, Any], ...] = ()

    def __post_init__(self) -> None:
        if self.text.count("{question}") != 1:
            raise ValueError(f"template {self.name} must hold {{question}} once")

    def render(self, question: str) -> str:
        """The question under this template."""
        return self.text.replace("{question}", question)


@dataclass(frozen=True, slots=True)
class Exemplar:
    """A solved example from a training split, shown before the question."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Task:
    """One task of the suite.

    load: (size, seed) → problems whose prompt is the bare question, with our verifier
    templates: the first is the protocol
    max_tokens: the longest completion
    strict: what a format-bound harness would accept; flexible: what a lenient one would
    exemplars: solved examples for templates with shots
    trivial: completions that need no model, by name: every model should beat all of them
    guessable: whether gold answers are short enough to be guessed, and the same for several problems
    """

    name: str
    load: Callable[[int | None, int], ProblemSet]
    templates: tuple[Template, ...]
    max_tokens: int
    strict: Verifier
    flexible: Verifier
    exemplars: Callable[[], Sequence[Exemplar]] = tuple
    trivial: Mapping[str, Callable[[Problem, Sequence[Problem]], str]] = field(default_factory=dict)
    guessable: bool = True

    def template(self, name: str) -> Template:
        """The template of that name; "chat" and "text" stand for the first of that kind where none is called so.

        Raises InputError where there is none.
        """
        kinds = {"chat": True, "text": False}
        named = [template for template in self.templates if template.name == name]
        named += [template for template in self.templates if template.chat is kinds.get(name)]
        if not named:
            known = ", ".join(template.name for template in self.templates)
            raise InputError(f"task {self.name} has no template {name!r}: choose one of {known}")
        return named[0]


@dataclass(frozen=True)
class PatternVerifier:
    """Accepts the match of a pattern where it equals the gold once commas and currency are stripped.

    What other harnesses do, kept for comparison: it reads group 1 of the first pattern that is found at all (its first
    match, or its last), compares text, and knows nothing of truncation: a cut completion that matches is accepted.
    """

    patterns: tuple[str, ...]
    last: bool = False

    def __call__(self, completion: str, gold: str, *, question: str | None = None, truncated: bool = False) -> Verdict:
        for pattern in self.patterns:
            found = re.findall(pattern, completion)
            if found:
                answer = _bare(found[-1 if self.last else 0])
                return Verdict.of(Status.CORRECT if answer == _bare(gold) else Status.WRONG, answer)
        return Verdict.of(Status.NO_ANSWER, reason="no pattern is found")


def _bare(text: str) -> str:
    text = re.sub(r"[,$%]", "", text).strip().rstrip(".")
    text = re.sub(r"(\.\d*?)0+$", r"\1", text).rstrip(".") if re.fullmatch(r"-?\d+\.\d*", text) else text
    return text.lower()


class TemplatedSampler:
    """A sampler that is asked bare questions and puts them by a template; a `Sampler` itself.

    `calls` counts how often the sampler was asked.
    """

    def __init__(self, sampler: Any, template: Template, exemplars: Sequence[Exemplar]) -> None:
        self.sampler: Sampler = sampler
        self.tokenizer: Any = sampler.tokenizer
        self.template = template
        self.exemplars = list(exemplars)[: template.shots]
        self.backend = self.sampler.backend
        # What an environment of several turns asks of a sampler.
        self.system, self.options = template.system or None, dict(template.options) or None
        self.calls = 0

    def sampler_facts(self) -> dict[str, str]:
        """What of the sampler decides a completion beside weights and decoding."""
        return {name: str(getattr(self.sampler, name, "")) for name in ("backend", "dtype", "device")}

    def encode(self, prompt: str) -> list[int]:
        """Token ids of the question under the template."""
        if not self.template.chat:
            return self.tokenizer(self.text(prompt))["input_ids"]
        turns = [{"role": "system", "content": self.template.system}] if self.template.system else []
        turns += [turn for exemplar in self.exemplars for turn in self._turns(exemplar)]
        turns.append({"role": "user", "content": self.template.render(prompt)})
        return self.tokenizer.apply_chat_template(
            turns, add_generation_prompt=True, return_dict=False, **dict(self.template.options)
        )

    def text(self, question: str) -> str:
        """What is put, as plain text: exemplars and question a blank line apart."""
        shown = [f"{self.template.render(example.question)} {example.answer}" for example in self.exemplars]
        return "\n\n".join([*shown, self.template.render(question)])

    def _turns(self, exemplar: Exemplar) -> list[dict[str, str]]:
        question, answer = self.template.render(exemplar.question), exemplar.answer
        return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]

    def generate(self, prompts: Sequence[Sequence[int]], decoding: Decoding) -> list[list[Completion]]:
        """Completions, cut at the template's stop strings."""
        self.calls += 1
        # A sampler that can goes on no further than that.
        able = self.template.stop and getattr(self.sampler, "stops_at_text", False)
        stops: dict[str, Any] = {"stop": self.template.stop} if able else {}
        groups = self.sampler.generate(prompts, decoding, **stops)
        return [[self._cut(completion) for completion in group] for group in groups]

    def _cut(self, completion: Completion) -> Completion:
        ends = [at for stop in self.template.stop if (at := completion.text.find(stop)) >= 0]
        if not ends:
            return completion
        # The tokens stay: they were generated, and their number is a cost.
        return Completion(completion.text[: min(ends)], completion.token_ids, completion.logprobs, "stop")
