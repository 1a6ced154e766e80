"""Inside a second box: tests written as Python, whose calls travel to the program in the first box.

Tests and program never share a process: what the tests name of the program's is a `Remote` (remote.py).

Only one thing makes a pass: the tests ran to their end, called the program at least once, and at least one assert
held. A loop over an empty answer checks nothing and passes nothing.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import random
import re
import symtable
import sys
from typing import Any

from rlpath.rewards.sandbox.guest import is_task_code
from rlpath.rewards.sandbox.remote import Program, Undecided, for_effect
from rlpath.rewards.sandbox.wire import Wire

REASON_LIMIT = 300
CHECKED, CANDIDATE, FOR_EFFECT = "__an_assert_held__", "__candidate__", "__for_effect__"
TESTS = "<tests>"
MODULE_ALIASES = {"np": "numpy", "numpy": "numpy"}
# Built-ins that tests put around an answer; none of them is the function asked for if another name is there.
WRAPPERS = """
    abs all any bool bytes complex dict enumerate filter float frozenset hasattr int isinstance issubclass iter len
    list map max min next print range repr reversed round set sorted str tuple type zip
"""


def serve(wire: Wire, extras: list[int]) -> None:
    """Role "judge": take a job (tests, entry_point, prelude, trust_helpers, answer_limit) and send one verdict."""
    job = wire.receive()
    program = Program(Wire(extras[0], wire.deadline, job["answer_limit"]))
    random.seed(0)
    try:
        status, reason = judge(job, program)
    except Undecided as fault:
        status, reason = "undecided", str(fault)
    wire.send({"status": status, "reason": reason[:REASON_LIMIT]})


def judge(job: dict[str, Any], program: Program) -> tuple[str, str]:
    """("passed" or "failed", reason) of running the tests; Undecided if they cannot be run at all."""
    tree = parse_tests(job["tests"])
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
        own = bind_names(tree, target, program, namespace)
        if own and not job["trust_helpers"]:
            raise Undecided(f"the tests rely on {', '.join(own)}, which only the program defines")
        exec(compile(instrument(tree), TESTS, "exec", dont_inherit=True), namespace)
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
    """Counts the asserts that held."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


def parse_tests(tests: str) -> ast.Module:
    """The tests as a tree; Undecided unless they are Python with at least one assert."""
    try:
        tree = ast.parse(tests)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise Undecided(f"the tests are not Python ({type(error).__name__}: {error})") from None
    if not any(isinstance(node, ast.Assert) for node in ast.walk(tree)):
        raise Undecided("the tests hold no assert")
    return tree


def run_helpers(prelude: str, entry_point: str) -> dict[str, Any]:
    """A namespace for the tests with what the task's own code defines besides the function asked for."""
    namespace: dict[str, Any] = {"__name__": "tests", CHECKED: Counter(), FOR_EFFECT: for_effect}
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
    return [node.name for node in ast.parse(prelude).body if isinstance(node, ast.FunctionDef)][-1]


def guess_target(functions: list[str], question: str) -> str:
    """The function a bare `check(candidate)` means: the program's last one that the question names, or its last."""
    words = set(re.findall(r"\w+", question))
    return ([name for name in functions if name in words] or functions or [""])[-1]


def missing_calls(tree: ast.Module) -> list[ast.stmt]:
    """Calls of `check(candidate)` and `test_…()` functions that the tests define and do not call themselves."""
    called = called_names(tree)
    found: list[str] = []
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef) or node.name in called:
            continue
        wanted = len(node.args.args) - len(node.args.defaults)
        if node.name == "check" and wanted == 1:
            found.append(f"check({CANDIDATE})")
        elif node.name.startswith("test") and wanted == 0:
            found.append(f"{node.name}()")
    return ast.parse("\n".join(found)).body


def bind_names(tree: ast.Module, target: str, program: Program, namespace: dict[str, Any]) -> list[str]:
    """Give the tests what they name but do not define: the program's functions, or a standard module they forgot.

    Returns the names, besides the function under test, for which the program is taken at its word. A built-in name is
    the program's only if it is the target or if the tests ask nothing else of the program, as in `sum(1, 2) == 3`.
    """
    wanted = free_names(ast.unparse(tree)) - namespace.keys()
    if CANDIDATE in wanted:
        namespace[CANDIDATE] = program.ask(get=target)
    unknown = {name for name in wanted if name == target or not hasattr(builtins, name)} - {CANDIDATE}
    known = sys.stdlib_module_names | MODULE_ALIASES.keys()
    modules = {name for name in unknown & known if is_used_as_module(tree, name)}
    for name in modules:
        namespace[name] = importlib.import_module(MODULE_ALIASES.get(name, name))
    asked = unknown - modules
    if not asked and CANDIDATE not in wanted:
        asked = (called_names(tree) & wanted) - set(WRAPPERS.split()) or called_names(tree) & wanted
        if len(asked) != 1:
            raise Undecided("the tests do not say which function they ask for")
    for name in sorted(asked):
        namespace[name] = program.ask(get=name)
    return sorted(asked - {target}) if target or len(asked) > 1 else []


def called_names(tree: ast.Module) -> set[str]:
    return {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}


def is_used_as_module(tree: ast.Module, name: str) -> bool:
    """Whether every mention of `name` is `name.attribute`."""
    mentions = sum(isinstance(node, ast.Name) and node.id == name for node in ast.walk(tree))
    dotted = sum(
        isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == name
        for node in ast.walk(tree)
    )
    return mentions == dotted


def free_names(source: str) -> set[str]:
    """Names that `source` reads at module level, from any scope, and does not itself define there."""
    top = symtable.symtable(source, TESTS, "exec")
    defined = {symbol.get_name() for symbol in top.get_symbols() if symbol.is_assigned() or symbol.is_imported()}
    found, tables = set(), [top]
    while tables:
        table = tables.pop()
        tables += table.get_children()
        found |= {
            symbol.get_name()
            for symbol in table.get_symbols()
            if symbol.is_referenced() and (table is top or symbol.is_global())
        }
    return found - defined


class Instrument(ast.NodeTransformer):
    """Puts a call of the counter behind every assert, and marks calls whose result is not used."""

    def visit_Assert(self, node: ast.Assert) -> list[ast.stmt]:
        call = ast.Expr(ast.Call(ast.Name(CHECKED, ast.Load()), [], []))
        return [node, ast.copy_location(call, node)]

    def visit_Expr(self, node: ast.Expr) -> ast.Expr:
        if isinstance(node.value, ast.Call):
            node.value.func = ast.Call(ast.Name(FOR_EFFECT, ast.Load()), [node.value.func], [])
        return node


def instrument(tree: ast.Module) -> ast.Module:
    return ast.fix_missing_locations(Instrument().visit(tree))


def failing_source(tree: ast.Module, error: BaseException) -> str:
    """The innermost statement of the tests that was running when `error` came up."""
    lines, trace = [], error.__traceback__
    while trace:
        if trace.tb_frame.f_code.co_filename == TESTS:
            lines.append(trace.tb_lineno)
        trace = trace.tb_next
    if not lines:
        return "before the tests began"
    statements = [node for node in ast.walk(tree) if isinstance(node, ast.stmt) and node.lineno == lines[-1]]
    return ast.unparse(statements[0]) if statements else f"line {lines[-1]}"
