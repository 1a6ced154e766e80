"""`CodeVerifier`: does a program pass its tests? The program runs in a sandbox, the tests anywhere but in there.

How a program could fool its grader, and why it cannot here:

- It exits early, prints "passed", patches `assert`, or walks frames to the verdict: no verdict is made in its process.
- It returns an object equal to everything: only plain data leaves the sandbox (sandbox/wire.py).
- It reads the expected values: they are never sent to it, and its file system holds none of your files.
- It hangs, forks, fills memory or disk, floods the output: limits, and a kill of everything at the deadline.

    >>> from rlpath.rewards.verifiers.code import CodeVerifier
    >>> verify = CodeVerifier()
    >>> verify("def add(a, b): return a + b", "assert add(1, 2) == 3").status.value
    'correct'
    >>> verify("import os; os._exit(0)", "assert add(1, 2) == 3").status.value
    'wrong'
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from rlpath.core.errors import InputError
from rlpath.core.types import Status, Verdict
from rlpath.rewards.guard import guarded
from rlpath.rewards.sandbox import Box, BoxError, Isolation, Limits, best_isolation
from rlpath.rewards.sandbox.remote import Undecided
from rlpath.rewards.sandbox.rewrite import STANDARD, asked_names, take_imports
from rlpath.rewards.sandbox.rewrite import parse_tests as parse_tests_source
from rlpath.rewards.sandbox.run_tests import target_of
from rlpath.rewards.sandbox.script import ending, read_until, script_box
from rlpath.rewards.sandbox.wire import WireError
from rlpath.rewards.verifiers.code_blocks import FoundCode, find_program
from rlpath.rewards.verifiers.code_tests import (
    AssertTests,
    BadTests,
    FunctionTests,
    ProgramTests,
    Tests,
    parse_tests,
    same_contest_output,
    same_output,
)

Finding = tuple[Status, str]


@dataclass(frozen=True)
class CodeVerifier:
    """Runs a program against the tests of the gold (forms in code_tests.py) and against `hidden` ones of those forms.

    The program is the last fenced or tagged piece of the completion that defines what the tests ask for
    (code_blocks.py), or all of it where it has none. A `question` that is itself Python (imports, helpers, a stub, as
    in HumanEval) is run before the program, and its helpers are the tests' own. Tests that take the program at its
    word, as `assert approx(add(1, 2), 3)` does where only the program defines `approx`, are `undecided`; with
    `trust_helpers` they count, and the reason says so.

    `allow_weaker` runs programs where the kernel refuses namespaces or the filter, and says so in every reason; without
    it the first call raises InputError there.
    """

    hidden: Any = None
    limits: Limits = field(default_factory=Limits)
    trust_helpers: bool = False
    allow_weaker: bool = False
    structured_gold: ClassVar = True

    @guarded
    def __call__(self, completion: str, gold: str, *, question: str | None = None, truncated: bool = False) -> Verdict:
        isolation, note = self._protections()
        try:
            suites = self._suites(gold)
        except BadTests as fault:
            return Verdict.of(Status.UNDECIDED, None, str(fault))
        wanted = wanted_names(suites["tests"], question or "")
        found = find_program(completion, wanted)
        if truncated and not found.whole:
            return Verdict.of(Status.TRUNCATED, None, "the completion was cut before its program ended")
        if not found.sources:
            return Verdict.of(Status.NO_ANSWER, None, "the completion holds no program")
        program = Submission(found, wanted, question or "", self.limits, isolation, self.trust_helpers)
        status, reasons = Status.CORRECT, []
        for name, tests in suites.items():
            status, reason = program.run(tests)
            reasons.append(f"{name}: {reason}")
            if status is not Status.CORRECT:
                break
        return Verdict.of(status, found.sources[-1], one_line("; ".join([*reasons, *note])))

    def _suites(self, gold: str) -> dict[str, Tests]:
        """The gold's tests and the hidden ones, which ask for the same function unless they name another."""
        suites = {"tests": parse_tests(gold)}
        if self.hidden is not None:
            hidden, first = parse_tests(self.hidden), suites["tests"]
            if isinstance(hidden, AssertTests) and isinstance(first, AssertTests):
                hidden = replace(
                    hidden, entry_point=hidden.entry_point or first.entry_point, prompt=hidden.prompt or first.prompt
                )
            suites["hidden tests"] = hidden
        return suites

    def _protections(self) -> tuple[Isolation, list[str]]:
        """The isolation to run within, and the words for what they lack; InputError where that was not agreed to."""
        isolation, missing = best_isolation()
        if not missing:
            return isolation, []
        words = " and ".join(f"{name} ({why})" for name, why in missing.items())
        if len(missing) == 2:
            raise InputError(f"programs cannot be contained here: the kernel refuses {words}; use another machine")
        if not self.allow_weaker:
            raise InputError(
                f"the kernel refuses to sandbox programs fully: {words}; allow unprivileged user namespaces, or pass "
                "allow_weaker=True to run programs without that protection"
            )
        return isolation, [f"run without {words}"]


@dataclass(frozen=True)
class Submission:
    """A program under test, with what it takes to run it."""

    found: FoundCode
    wanted: frozenset[str] | None
    question: str
    limits: Limits
    isolation: Isolation
    trust_helpers: bool

    def run(self, tests: Tests) -> Finding:
        """Status and reason for one set of tests."""
        try:
            match tests:
                case AssertTests():
                    return self.run_asserts(tests)
                case FunctionTests():
                    return self.run_function_cases(tests)
                case ProgramTests():
                    return self.run_script(tests)
        except BoxError as error:
            return Status.ERROR, f"sandbox: {error}"

    def job(self, prelude: str = "", *, supplied: bool = False) -> dict[str, Any]:
        """What a box needs to load the program; with `supplied`, the names that graders of contests import."""
        return {
            "sources": self.found.sources,
            "others": self.found.others,
            "prose": self.found.prose,
            "wanted": sorted(self.wanted or ()),
            "prelude": prelude or self.question,
            "supplied": supplied,
        }

    def run_asserts(self, tests: AssertTests) -> Finding:
        """Program in one box, tests in another, a socket between them; the verdict comes from the tests' box alone.

        A program that changes an argument which the tests compare has to pass twice: without the tests seeing the
        change, so that it gains nothing by emptying the argument, and with it, so that tests may forbid it.
        """
        found = self.run_asserts_once(tests, in_place=False)
        if found["status"] == "passed" and found.get("changed"):
            found = self.run_asserts_once(tests, in_place=True)
        statuses = {"passed": Status.CORRECT, "failed": Status.WRONG, "undecided": Status.UNDECIDED}
        return statuses[found["status"]], found["reason"]

    def run_asserts_once(self, tests: AssertTests, *, in_place: bool) -> dict[str, Any]:
        """What the tests' box found: `status`, `reason` and `changed`."""
        job = {
            "tests": tests.source,
            "entry_point": tests.entry_point,
            "prelude": tests.prompt or self.question,
            "trust_helpers": self.trust_helpers,
            "answer_limit": self.limits.output_kb << 10,
            "in_place": in_place,
        }
        with Box("functions", self.limits, isolation=self.isolation) as program:
            try:
                program.wire.send(self.job(tests.prompt))
            except WireError as error:
                return {"status": "failed", "reason": f"the program was not taken: {error}"}
            with Box("tests", self.limits, [program.channel.fileno()], self.isolation) as runner:
                program.channel.close()
                try:
                    runner.wire.send(job)
                    found = runner.wire.receive()
                except WireError as error:
                    return {"status": "failed", "reason": f"no verdict: {error}"}
                if found is None:
                    ended = f"no verdict: the tests' process ended ({ending(runner.end())})"
                    return {"status": "failed", "reason": ended}
            if "the program ended its process" in found["reason"]:
                found["reason"] += f" ({ending(program.end())})"
        return found

    def run_function_cases(self, tests: FunctionTests) -> Finding:
        """Arguments go in, values come out, and are compared here."""
        with Box("functions", self.limits, isolation=self.isolation) as box:

            def ask(message: dict[str, Any]) -> Any:
                box.wire.send(message)
                return value_of(box.wire.receive())

            try:
                ask(self.job(supplied=tests.contest))
                function = handle_of(ask({"get": tests.function}))
                for number, (arguments, expected) in enumerate(tests.cases, start=1):
                    values = arguments if isinstance(arguments, list) else []
                    keywords = arguments if isinstance(arguments, dict) else {}
                    call = {
                        "call": function,
                        "args": as_wire(values),
                        "kwargs": {k: as_wire(v) for k, v in keywords.items()},
                    }
                    if not tests.accepts(ask(call), expected):
                        return Status.WRONG, f"case {number} of {len(tests.cases)}: another value was expected"
            except Ended:
                return Status.WRONG, f"the program ended its process ({ending(box.end())})"
            except (ProgramError, WireError) as error:
                return Status.WRONG, str(error)
        return Status.CORRECT, f"{len(tests.cases)} cases passed"

    def run_script(self, tests: ProgramTests) -> Finding:
        """One fresh box for each text of stdin; exit status 0 and the expected stdout."""
        for number, (stdin, expected) in enumerate(tests.cases, start=1):
            status, reason = self.run_once(stdin, expected, tests.contest)
            if status is not Status.CORRECT:
                return status, f"case {number} of {len(tests.cases)}: {reason}"
        return Status.CORRECT, f"{len(tests.cases)} cases passed"

    def run_once(self, stdin: str, expected: str, contest: bool) -> Finding:
        with script_box(stdin, self.limits, self.isolation) as (box, output_of):
            try:
                box.wire.send(self.job(supplied=contest))
                output = read_until(output_of, box.deadline, self.limits.output_kb << 10)
            except WireError as error:
                return Status.WRONG, str(error)
            code = box.wait()
            if code != 0:
                return Status.WRONG, f"the program failed ({ending(code)})"
        compare = same_contest_output if contest else same_output
        if not compare(output.decode(errors="replace"), expected):
            return Status.WRONG, "another output was expected"
        return Status.CORRECT, ""


def wanted_names(tests: Tests, question: str) -> frozenset[str] | None:
    """What tests ask a program to define; empty where they do not say, None for tests of a script."""
    match tests:
        case ProgramTests():
            return None
        case FunctionTests(function=name):
            return frozenset({name})
        case AssertTests(source=source, entry_point=name, prompt=prompt):
            return names_in_asserts(source, name or target_of(prompt or question))
    return frozenset()


@functools.lru_cache(maxsize=1024)
def names_in_asserts(source: str, target: str) -> frozenset[str]:
    """The function under test, or the names that the tests read and do not define."""
    if target:
        return frozenset({target})
    try:
        tree = parse_tests_source(source)
        imported = take_imports(tree)
        return frozenset(asked_names(tree, set()) | set(imported.values())) - STANDARD.keys()
    except (Undecided, SyntaxError, ValueError, RecursionError):
        return frozenset()


class ProgramError(Exception):
    """What the program raised."""


class Ended(Exception):
    """The program's process is gone."""


def value_of(reply: Any) -> Any:
    """The value in a guest's reply, still in wire form."""
    if reply is None:
        raise Ended
    if not isinstance(reply, dict) or "error" in reply:
        error = reply.get("error") if isinstance(reply, dict) else None
        raise ProgramError(f"the program raised {printable(error)}")
    return reply.get("value")


def handle_of(wire: Any) -> dict[str, int]:
    """The number under which a guest keeps a function."""
    if isinstance(wire, dict) and type(wire.get("r")) is int:
        return {"r": wire["r"]}
    raise ProgramError("a TypeError: what the tests ask for is not a function")


def printable(error: Any) -> str:
    """A guest's account of an exception, which may be anything, as a short text."""
    parts = [part for part in error[:2] if isinstance(part, str)] if isinstance(error, list) else []
    return ": ".join(part[:200] for part in parts if part) or "something"


def one_line(text: str) -> str:
    """`text` without line breaks and control characters, which a program may have put there."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())


def as_wire(value: Any) -> Any:
    """A JSON value in wire form."""
    if isinstance(value, dict):
        return {"d": [[key, as_wire(item)] for key, item in value.items()]}
    if isinstance(value, list):
        return [as_wire(item) for item in value]
    return {"i": hex(value)} if type(value) is int and not -(1 << 63) <= value < 1 << 63 else value
