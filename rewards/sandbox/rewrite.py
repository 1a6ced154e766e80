"""Tests written as Python, made ready to run beside a program that lives elsewhere.

What tests import from a module that is not there ("from solution import add") they mean to get from the program.
Test functions and test cases that nobody calls are called. Every assert that held is counted, whatever its form.
"""

from __future__ import annotations

import ast
import builtins
import importlib.util
import re
import symtable
import sys

from rlpath.rewards.sandbox.remote import Undecided

CHECKED, CANDIDATE, FOR_EFFECT, ALL = "__an_assert_held__", "__candidate__", "__for_effect__", "__all_of__"
TESTS = "<tests>"
MODULE_ALIASES = {"np": "numpy", "numpy": "numpy"}
LIBRARIES = {"hypothesis", "numpy", "pandas", "parameterized", "pytest", "scipy", "sklearn", "sympy", "torch"}
# Built-ins that tests put around an answer; none of them is the function asked for if another name is there.
WRAPPERS = """
    abs all any bool bytes complex dict enumerate filter float frozenset hasattr int isinstance issubclass iter len
    list map max min next print range repr reversed round set sorted str tuple type zip
"""
# What tests may use without importing it, where the program is not asked for it or where it decides the test.
STANDARD = {
    name: module
    for module, names in {
        "collections": "ChainMap Counter OrderedDict defaultdict deque namedtuple",
        "copy": "deepcopy",
        "datetime": "timedelta",
        "decimal": "Decimal",
        "fractions": "Fraction",
        "math": "inf isclose isfinite isinf isnan nan pi sqrt",
        "typing": "Any Dict List Optional Set Tuple Union",
        "unittest": "TestCase",
    }.items()
    for name in names.split()
}
# What tests use to change or hear what happens in their own process, where the program is not.
# Each with a module that they are imported from, or an empty text.
REACHING = {
    "patch": "mock", "redirect_stdout": "contextlib", "redirect_stderr": "contextlib", "assertLogs": "unittest",
    "monkeypatch": "", "capsys": "", "capfd": "", "caplog": "",
}  # fmt: skip
BROAD = {"AssertionError", "BaseException", "Exception"}


def parse_tests(tests: str) -> ast.Module:
    """The tests as a tree; Undecided unless they are Python with at least one assert, in any form."""
    try:
        tree = ast.parse(tests)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise Undecided(f"the tests are not Python ({type(error).__name__}: {error})") from None
    if not any(isinstance(node, ast.Assert) or is_assert_method(node) for node in ast.walk(tree)):
        raise Undecided("the tests hold no assert")
    return WithoutRunners().visit(tree)


def is_assert_method(node: ast.AST) -> bool:
    """Whether this is a call such as `self.assertEqual(...)` or `pytest.raises(...)`."""
    if not isinstance(node, ast.Call):
        return False
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return name.startswith("assert") or name == "raises"


def is_call_of_runner(node: ast.stmt) -> bool:
    """`unittest.main()` and the like, which would end the process."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and ast.unparse(node.value.func) in ("unittest.main", "pytest.main", "main")
    )


class WithoutRunners(ast.NodeTransformer):
    """Takes out the calls that `is_call_of_runner` finds."""

    def visit_Expr(self, node: ast.Expr) -> ast.stmt:
        return ast.copy_location(ast.Pass(), node) if is_call_of_runner(node) else node


def take_imports(tree: ast.Module) -> dict[str, str]:
    """Take out imports from the program's own module; name in the tests → name in the program. Raises Undecided."""
    taken: dict[str, str] = {}
    modules: set[str] = set()
    for node in [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]:
        if isinstance(node, ast.ImportFrom):
            if node.level or is_absent(node.module or ""):
                taken |= {alias.asname or alias.name: alias.name for alias in node.names if alias.name != "*"}
                node.names = []
        else:
            absent = {alias.asname or alias.name for alias in node.names if is_absent(alias.name)}
            modules |= absent
            node.names = [alias for alias in node.names if (alias.asname or alias.name) not in absent]
    Unqualify(modules).visit(tree)
    return taken


def is_absent(module: str) -> bool:
    """Whether there is no such module here; Undecided for a library that the tests need and that is not installed."""
    root = module.partition(".")[0]
    if not root or root in sys.stdlib_module_names:
        return not root
    try:
        found = importlib.util.find_spec(root) is not None
    except (ImportError, ValueError):
        found = False
    if not found and root in LIBRARIES:
        raise Undecided(f"the tests import {root}, which is not installed")
    return not found


class Unqualify(ast.NodeTransformer):
    """`solution.add` becomes `add` for each module that stands for the program; emptied imports go."""

    def __init__(self, modules: set[str]) -> None:
        self.modules = modules

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        self.generic_visit(node)
        if isinstance(node.value, ast.Name) and node.value.id in self.modules:
            return ast.copy_location(ast.Name(node.attr, node.ctx), node)
        return node

    def visit_Import(self, node: ast.Import) -> ast.stmt:
        return node if node.names else ast.copy_location(ast.Pass(), node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.stmt:
        return node if node.names else ast.copy_location(ast.Pass(), node)


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


def case_classes(tree: ast.Module) -> list[str]:
    """The classes of the tests that derive from `unittest.TestCase`, directly or from each other."""
    found: list[str] = []
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            bases = [ast.unparse(base) for base in node.bases]
            if any(base.endswith("TestCase") or base in found for base in bases):
                found.append(node.name)
    return found


def plain_test_classes(tree: ast.Module) -> list[str]:
    """The classes of tests in the manner of pytest: named `Test…`, with methods named `test…`."""
    cases = case_classes(tree)
    return [
        node.name
        for node in tree.body
        if isinstance(node, ast.ClassDef) and node.name.startswith("Test") and node.name not in cases
        and any(isinstance(part, ast.FunctionDef) and part.name.startswith("test") for part in node.body)
    ]  # fmt: skip


def parametrized_tests(tree: ast.Module) -> list[str]:
    """The `test_…(…)` functions that want arguments and that the tests do not call themselves."""
    called = called_names(tree)
    return [
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test") and node.name not in called
        and len(node.args.args) > len(node.args.defaults)
    ]  # fmt: skip


def reaches_into_program(tree: ast.Module) -> str:
    """What the tests use that only works within one process with the program, such as `patch` or `redirect_stdout`."""
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    used |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    used |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    imports = " ".join(ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom))
    return next((name for name in sorted(used & REACHING.keys()) if REACHING[name] in imports), "")


def exception_names(tree: ast.Module) -> set[str]:
    """Names that the tests use as exceptions: in `except` clauses, `assertRaises` and `raises`."""
    kinds: list[ast.expr] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and node.type:
            kinds.append(node.type)
        elif isinstance(node, ast.Call) and is_assert_method(node) and "aises" in ast.unparse(node.func):
            kinds += node.args[:1]
    return {part.id for kind in kinds for part in ast.walk(kind) if isinstance(part, ast.Name)}


def asked_names(tree: ast.Module, given: set[str]) -> set[str]:
    """Names that the tests read and neither define nor are `given`, and that are no module: the program's, it seems.

    A built-in name is the program's only if the tests ask nothing else of the program, as in `sum(1, 2) == 3`.
    """
    wanted = free_names(ast.unparse(tree)) - given
    unknown = {name for name in wanted if not hasattr(builtins, name)} - wanted_modules(tree, wanted)
    if unknown - STANDARD.keys() or CANDIDATE in wanted:
        return unknown
    called = called_names(tree) & wanted
    asked = (called & unknown) or called - set(WRAPPERS.split()) or called
    return asked if len(asked) == 1 else unknown


def wanted_modules(tree: ast.Module, names: set[str]) -> set[str]:
    """Those of `names` that are standard modules the tests forgot to import."""
    known = sys.stdlib_module_names | MODULE_ALIASES.keys()
    return {name for name in names & known if is_used_as_module(tree, name)}


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
    """Counts what held, hears of each `all` over nothing, and marks the calls whose arguments may change in place.

    Those are calls whose result is not used, and calls with variables of which none is in `compared` (flow.py).
    """

    def __init__(self, compared: set[str]) -> None:
        self.compared = compared

    def visit_Assert(self, node: ast.Assert) -> list[ast.stmt]:
        self.generic_visit(node)
        return [node, held(node)]

    def visit_Expr(self, node: ast.Expr) -> ast.stmt | list[ast.stmt]:
        checks = is_assert_method(node.value)
        self.generic_visit(node)
        if isinstance(node.value, ast.Call) and not checks:
            node.value.func = ast.Call(ast.Name(FOR_EFFECT, ast.Load()), [node.value.func], [])
        return [node, held(node)] if checks else node

    def visit_With(self, node: ast.With) -> ast.stmt | list[ast.stmt]:
        self.generic_visit(node)
        return [node, held(node)] if any(is_assert_method(item.context_expr) for item in node.items) else node

    def visit_Try(self, node: ast.Try) -> ast.Try:
        """A handler of one kind of error, behind a body that says `assert False`, is where such a test passes."""
        fails = any(isinstance(part, ast.Assert) and ast.unparse(part.test) == "False" for part in node.body)
        self.generic_visit(node)
        for handler in node.handlers:
            names = {part.id for part in ast.walk(handler.type or ast.Name("Exception")) if isinstance(part, ast.Name)}
            if fails and not names & BROAD:
                handler.body.insert(0, held(handler))
        return node

    def visit_Call(self, node: ast.Call) -> ast.Call:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id == "all":
            node.func = ast.Name(ALL, ast.Load())
            return node
        if isinstance(node.func, ast.Attribute) and node.func.attr == "all":  # of an array, or numpy's function
            node.func = ast.Call(ast.Attribute(ast.Name(ALL, ast.Load()), "of", ast.Load()), [node.func.value], [])
            return node
        arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
        names = {part.id for argument in arguments for part in ast.walk(argument) if isinstance(part, ast.Name)}
        own = {f"self.{part.attr}" for argument in arguments for part in ast.walk(argument)
               if isinstance(part, ast.Attribute)}  # fmt: skip
        if names and not (names | own) & self.compared and not is_assert_method(node):
            node.func = ast.Call(ast.Name(FOR_EFFECT, ast.Load()), [node.func], [])
        return node


def held(node: ast.AST) -> ast.Expr:
    """The statement that counts, to stand behind `node`."""
    call = ast.Expr(ast.Call(ast.Name(CHECKED, ast.Load()), [], []))
    return ast.copy_location(call, node)


def instrument(tree: ast.Module, compared: set[str]) -> ast.Module:
    return ast.fix_missing_locations(Instrument(compared).visit(tree))


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
