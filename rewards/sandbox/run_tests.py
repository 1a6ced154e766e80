"""Inside a second box: tests written as Python, whose calls travel to the program in the first box.

Tests and program never share a process: what the tests name of the program's is a `Remote` (remote.py).

Only one thing makes a pass: the tests ran to their end, called the program at least once, and at least one assert
held. A loop over an empty answer, or `all` of one, checks nothing and passes nothing. Where the tests take the program
at its word (flow.py), they decide nothing unless that was asked for.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import itertools
import random
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any

from rlpath.rewards.sandbox.flow import Flow
from rlpath.rewards.sandbox.remote import Program, Remote, Undecided, for_effect
from rlpath.rewards.sandbox.rewrite import (
    ALL,
    CANDIDATE,
    CHECKED,
    FOR_EFFECT,
    MODULE_ALIASES,
    STANDARD,
    TESTS,
    asked_names,
    case_classes,
    exception_names,
    failing_source,
    free_names,
    guess_target,
    instrument,
    missing_calls,
    parametrized_tests,
    parse_tests,
    plain_test_classes,
    reaches_into_program,
    take_imports,
    wanted_modules,
)
from rlpath.rewards.sandbox.source import is_task_code
from rlpath.rewards.sandbox.wire import Wire

REASON_LIMIT = 300
ALWAYS_STANDARD = {"typing", "unittest"}  # modules whose names are never asked of the program


def serve(wire: Wire, extras: list[int]) -> None:
    """Role "tests": take a job (tests, entry_point, prelude, trust_helpers, answer_limit) and send one verdict.

    Where the program changed an argument that the tests later compare, the change was kept from the tests. It is
    reported as `changed`, and a job with `in_place` shows the tests all such changes.
    """
    job = wire.receive()
    program = Program(Wire(extras[0], wire.deadline, job["answer_limit"]))
    random.seed(0)
    try:
        status, reason = run_tests(job, program)
    except Undecided as fault:
        status, reason = "undecided", str(fault)
    wire.send({"status": status, "reason": reason[:REASON_LIMIT], "changed": program.changed})


def run_tests(job: dict[str, Any], program: Program) -> tuple[str, str]:
    """("passed" or "failed", reason) of running the tests; Undecided if they cannot be run at all."""
    tree = parse_tests(job["tests"])
    if name := reaches_into_program(tree):
        raise Undecided(f"the tests use {name}, which would have to reach into the program's process")
    imported = take_imports(tree)
    if "numpy" in job["tests"]:
        refuse_nothing_for_something(importlib.import_module("numpy"))
    namespace = run_helpers(job["prelude"], job["entry_point"])
    try:
        functions = program.load()
    except Exception as error:  # noqa: BLE001 - whatever the program raised while it was loaded
        return "failed", f"the program does not load: {type(error).__name__}: {error}"
    target = job["entry_point"] or target_of(job["prelude"])
    calls = missing_calls(tree)
    if not target and any(CANDIDATE in ast.unparse(node) for node in calls):
        target = guess_target(functions, job["prelude"])
    tree.body += calls
    try:
        own, compared = bind_names(tree, target, imported, program, namespace)
        if own and not job["trust_helpers"]:
            raise Undecided(f"the tests rely on {', '.join(own)}, which only the program defines")
        if job.get("in_place"):
            compared = set()
        exec(compile(instrument(tree, compared), TESTS, "exec", dont_inherit=True), namespace)
        for name in case_classes(tree):
            run_cases(namespace[name])
        for name in plain_test_classes(tree):
            run_plain_class(namespace[name])
        for name in parametrized_tests(tree):
            run_parametrized(namespace[name])
    except Undecided:
        raise
    except AssertionError as error:
        return "failed", f"an assert failed: {failing_source(tree, error)}"
    except BaseException as error:  # noqa: BLE001 - tests meet whatever the program returns or raises
        return "failed", f"{type(error).__name__}: {error}: {failing_source(tree, error)}"
    if not program.calls or not namespace[CHECKED].count:
        return "failed", "the tests ended without a call to the program and an assert that held"
    note = f", relying on {', '.join(own)} of the program itself" if own else ""
    return "passed", f"{namespace[CHECKED].count} asserts held{note}"


class Counter:
    """Counts the asserts that held. One that asks for `all` of nothing checks nothing, and does not count."""

    def __init__(self) -> None:
        self.count = 0
        self.empty = False

    def __call__(self) -> None:
        self.count += not self.empty
        self.empty = False


class All:
    """The function `all`, which tells a counter where it is asked of nothing."""

    def __init__(self, counter: Counter) -> None:
        self.counter = counter

    def __call__(self, values: Iterable[object]) -> bool:
        self.counter.empty = True
        for value in values:
            self.counter.empty = False
            if not value:
                return False
        return True

    def of(self, owner: Any) -> Callable[..., Any]:
        """The method or function `all` of an array or of numpy."""

        def call(*args: Any, **keywords: Any) -> Any:
            asked = args[0] if args and inspect.ismodule(owner) else owner
            self.counter.empty = getattr(asked, "size", len(asked) if isinstance(asked, list) else None) == 0
            return owner.all(*args, **keywords)

        return call


def refuse_nothing_for_something(numpy: Any) -> None:
    """Make numpy's comparisons fail where one side is empty: `allclose([], 3)` holds, since it compares nothing."""

    def guarded(compare: Callable[..., Any], otherwise: Callable[[], Any]) -> Callable[..., Any]:
        def call(first: Any, second: Any, *args: Any, **keywords: Any) -> Any:
            if (numpy.size(first) == 0) != (numpy.size(second) == 0):
                return otherwise()
            return compare(first, second, *args, **keywords)

        return call

    def fail() -> None:
        raise AssertionError("one side is empty")

    for name in ("allclose", "isclose"):
        setattr(numpy, name, guarded(getattr(numpy, name), lambda: numpy.bool_(False)))
    for name in [
        name for name in dir(numpy.testing) if name.startswith("assert_") and name.endswith(("close", "equal"))
    ]:
        setattr(numpy.testing, name, guarded(getattr(numpy.testing, name), fail))


def run_cases(case: type) -> None:
    """Run a `unittest.TestCase`; raises the first error or failure of its tests."""
    unittest = importlib.import_module("unittest")
    raised: list[BaseException] = []

    class Result(unittest.TestResult):
        def addError(self, test: object, err: tuple[type, BaseException, TracebackType]) -> None:
            raised.append(err[1])

        addFailure = addError

        def addSubTest(self, test: object, subtest: object, err: Any) -> None:
            if err is not None:
                raised.append(err[1])

        def addUnexpectedSuccess(self, test: object) -> None:
            raised.append(AssertionError("a test that should fail did not"))

    unittest.defaultTestLoader.loadTestsFromTestCase(case).run(Result())
    for error in raised:
        if isinstance(error, Undecided):
            raise error
    if raised:
        raise raised[0]


def run_plain_class(case: type) -> None:
    """Run a class of tests as pytest does: a fresh instance for each test, with the methods that set it up."""
    for name in [name for name in dir(case) if name.startswith("test")]:
        tests = case()
        for part in ("setup_class", "setup_method"):
            if hasattr(tests, part):
                getattr(tests, part)()
        run_parametrized(getattr(tests, name))


def run_parametrized(test: Callable[..., object]) -> None:
    """Call a test once for each row of its `pytest.mark.parametrize`; Undecided where it wants other arguments."""
    tables: list[list[dict[str, object]]] = []
    for mark in getattr(test, "pytestmark", []):
        if mark.name == "parametrize":
            names, rows = (*mark.args, *mark.kwargs.values())[:2]
            names = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
            tables.append([dict(zip(names, cells(row, len(names)), strict=True)) for row in rows])
    wanted = set(inspect.signature(test).parameters)
    for rows in itertools.product(*tables):
        given = {name: value for row in rows for name, value in row.items()}
        if set(given) != wanted:
            raise Undecided(f"the test {test.__name__} wants {', '.join(sorted(wanted - set(given)))} from a fixture")
        test(**given)


def cells(row: Any, count: int) -> tuple[object, ...]:
    """The values of one row of `parametrize`, which may be a `pytest.param`, a tuple or a single value."""
    if type(row).__name__ == "ParameterSet":
        return tuple(row.values)
    return tuple(row) if count > 1 else (row,)


def run_helpers(prelude: str, entry_point: str) -> dict[str, Any]:
    """A namespace for the tests with what the task's own code defines besides the function asked for."""
    counter = Counter()
    namespace: dict[str, Any] = {"__name__": "__main__", CHECKED: counter, ALL: All(counter), FOR_EFFECT: for_effect}
    if not is_task_code(prelude):
        return namespace
    target = entry_point or target_of(prelude)
    body = [node for node in ast.parse(prelude).body if getattr(node, "name", None) != target]
    try:
        exec(compile(ast.Module(body, []), "<helpers>", "exec", dont_inherit=True), namespace)
    except Exception as error:  # noqa: BLE001 - the task's own code may fail in any way
        raise Undecided(f"the task's own code does not run: {type(error).__name__}: {error}") from None
    return namespace


def target_of(prelude: str) -> str:
    """The function a task's code asks for: its last one."""
    if not is_task_code(prelude):
        return ""
    return ([node.name for node in ast.parse(prelude).body if isinstance(node, ast.FunctionDef)] or [""])[-1]


def bind_names(
    tree: ast.Module, target: str, imported: dict[str, str], program: Program, namespace: dict[str, Any]
) -> tuple[list[str], set[str]]:
    """Give the tests what they name but do not define: the program's functions, or a standard module they forgot.

    Returns the program's names that the tests take at its word, and the variables that calls must not change.
    """
    asked = asked_names(tree, namespace.keys() - {target}) | imported.keys()
    if target and target in free_names(ast.unparse(tree)):
        asked.add(target)
    for name in wanted_modules(tree, free_names(ast.unparse(tree)) - namespace.keys() - asked):
        namespace[name] = importlib.import_module(MODULE_ALIASES.get(name, name))
    for name in exception_names(tree) & asked:  # by name, since no class of the program's can come here
        namespace[name] = program.exceptions[imported.get(name, name)] = type(name, (Exception,), {})
    names = {name: imported.get(name, name) for name in asked - namespace.keys()}
    if CANDIDATE in free_names(ast.unparse(tree)):
        names[CANDIDATE] = target
    own = Flow(tree, names).at_its_word()
    for name in [name for name in names if name in STANDARD and names[name] != target]:
        if name in own or name[:1].isupper() or STANDARD[name] in ALWAYS_STANDARD:
            namespace[name] = standard(name)
            del names[name]
    if not names:
        raise Undecided("the tests do not say which function they ask for")
    flow = Flow(tree, names)
    for name in sorted(names):
        namespace[name] = ask_for(names[name], name, program)
    return sorted(flow.at_its_word() - {target}), flow.compared_arguments()


def ask_for(name: str, name_in_tests: str, program: Program) -> Any:
    """What the program calls `name`, or the standard library where the program has nothing of a standard name."""
    try:
        found = program.ask(get=name)
    except NameError:
        if name_in_tests not in STANDARD:
            raise
        return standard(name_in_tests)
    if isinstance(found, Remote):
        object.__setattr__(found, "_class", name[:1].isupper())
    return found


def standard(name: str) -> Any:
    return getattr(importlib.import_module(STANDARD[name]), name)
