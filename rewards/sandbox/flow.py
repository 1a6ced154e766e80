"""Where the answers of the program under test meet within its tests, found by reading the tests.

A test decides something only where one side of it is out of the program's hands. Two uses:

- `assert approx(add(1, 2), 3)`, where the program defines both `approx` and `add`, decides nothing: the program is
  taken at its word. So is `assert add(1, 2) == expected(1, 2)`.
- `got = f(numbers)` may show the tests what `f` did to `numbers`, unless `got == sorted(numbers)` is asked later: a
  program that empties its argument and returns it would pass.

Each expression has *origins*: the functions of the program whose answers flow into it, the classes of the program whose
instances do, and the variables that were handed to the program. The analysis knows names only, neither order nor scope,
so it may see a meeting where there is none, and then the tests are undecided or an argument stays as it was.

By the convention of PEP 8, a name with a capital is a class: an instance handed to a function is input, not an answer.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable
from typing import Literal, NamedTuple

PASSES = 10  # until the origins of variables stay the same; longer chains of variables do not occur in tests
SILENT = {"print"}  # functions that decide nothing


class Origin(NamedTuple):
    kind: Literal["answer", "instance", "argument"]
    name: str


Origins = frozenset[Origin]
NONE: Origins = frozenset()


class Flow:
    """The meetings in `tree`, whose program defines `program` (name in the tests → name in the program)."""

    def __init__(self, tree: ast.Module, program: dict[str, str]) -> None:
        self.program = program
        self.functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
        self.variables: defaultdict[str, Origins] = defaultdict(frozenset)
        self.returned: defaultdict[str, Origins] = defaultdict(frozenset)
        self.meetings: set[Origins] = set()
        for _ in range(PASSES):
            before = dict(self.variables), dict(self.returned)
            for statement in tree.body:
                self.run(statement)
            if before == (self.variables, self.returned):
                break

    def at_its_word(self) -> set[str]:
        """The program's names whose answers meet the answers of another."""
        found: set[str] = set()
        for meeting in self.meetings:
            names = {origin.name for origin in meeting if origin.kind == "answer"}
            if len(names) > 1:
                found |= names
        return found

    def compared_arguments(self) -> set[str]:
        """Variables handed to the program that later meet an answer, or themselves."""
        return {origin.name for meeting in self.meetings for origin in meeting if origin.kind == "argument"}

    def run(self, node: ast.stmt, function: str = "") -> None:
        """Take in one statement, of the body of `function` if that is not empty."""
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                for part in node.body:
                    self.run(part, node.name)
                return
            case ast.Assign(targets=targets, value=value):
                origins = self.of(value)
                for target in targets:
                    self.bind(target, origins)
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                self.bind(target, self.of(value))
            case ast.AugAssign(target=target, value=value):
                self.meet([self.of(target), self.of(value)])
                self.bind(target, self.of(value))
            case ast.For(target=target, iter=value) | ast.AsyncFor(target=target, iter=value):
                self.bind(target, self.of(value))
            case ast.With(items=items) | ast.AsyncWith(items=items):
                for item in items:
                    origins = self.of(item.context_expr)
                    if item.optional_vars:
                        self.bind(item.optional_vars, origins)
            case ast.Return(value=ast.expr() as value):
                self.returned[function] |= self.of(value)
            case _:
                for part in ast.iter_child_nodes(node):
                    if isinstance(part, ast.expr):
                        self.of(part)
        for part in statements_within(node):
            self.run(part, function)

    def bind(self, target: ast.expr, origins: Origins) -> None:
        """`target` takes on `origins`; so does the variable of which it is an item or an attribute."""
        match target:
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                for part in parts:
                    self.bind(part, origins)
            case ast.Starred(value=value):
                self.bind(value, origins)
            case _:
                if name := variable(target):
                    self.variables[name] |= origins

    def of(self, node: ast.expr | None) -> Origins:
        """The origins of an expression; meetings within it are noted."""
        match node:
            case None | ast.Constant():
                return NONE
            case ast.Name(id=name):
                own = {origin_of(self.program[name])} if name in self.program else set()
                return self.variables[name] | own
            case ast.Call():
                return self.of_call(node)
            case ast.Attribute(value=value):
                return self.variables[variable(node)] if is_own_attribute(node) else as_answers(self.of(value))
            case ast.Subscript(value=value, slice=index):
                self.of(index)
                return as_answers(self.of(value))
            case ast.Compare(left=left, comparators=others):
                return self.meet([self.of(left), *map(self.of, others)])
            case ast.BinOp(left=left, right=right):
                return self.meet([self.of(left), self.of(right)])
            case ast.NamedExpr(target=target, value=value):
                origins = self.of(value)
                self.bind(target, origins)
                return origins
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
                for loop in node.generators:
                    self.bind(loop.target, self.of(loop.iter))
        return union(self.of(part) for part in expressions_within(node))

    def of_call(self, node: ast.Call) -> Origins:
        """A call of the program's, of a function of the tests, or of any other."""
        arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
        origins = [self.of(argument) for argument in arguments]
        if isinstance(node.func, ast.Name) and node.func.id in self.functions:
            return self.of_own_call(self.functions[node.func.id], node, union(origins))
        called = self.of(node.func)
        answers = {origin for origin in union(origins) if origin.kind == "answer"}
        if any(origin.kind != "argument" for origin in called):
            for argument in arguments:
                for name in names_within(argument):
                    self.variables[name] |= {Origin("argument", name)}
            if answers:
                self.meetings.add(as_answers(called) | answers)
            return called | answers
        if isinstance(node.func, ast.Attribute) and (name := variable(node.func.value)):
            self.variables[name] |= union(origins)  # results.append(f(1))
        if isinstance(node.func, ast.Name) and node.func.id in SILENT:
            return NONE
        return self.meet([called, *origins])

    def of_own_call(self, function: ast.FunctionDef, node: ast.Call, origins: Origins) -> Origins:
        """A call of a function that the tests define: its parameters take on the origins of what they are given."""
        names = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
        if any(isinstance(argument, ast.Starred) for argument in node.args):
            for name in names:
                self.variables[name] |= origins
        for name, argument in zip(names, node.args, strict=False):
            self.variables[name] |= self.of(argument)
        for keyword in node.keywords:
            for name in [keyword.arg] if keyword.arg else names:
                self.variables[name] |= self.of(keyword.value)
        return self.returned[function.name]

    def meet(self, operands: list[Origins]) -> Origins:
        """Note that these meet, if there are at least two; what comes of them."""
        met = [origins for origins in operands if origins]
        if len(met) > 1:
            self.meetings.add(union(map(as_answers, met)))
        return union(met)


def origin_of(name: str) -> Origin:
    return Origin("instance" if name[:1].isupper() else "answer", name)


def as_answers(origins: Iterable[Origin]) -> Origins:
    """What an instance says of itself is an answer."""
    return frozenset(Origin("answer", origin.name) if origin.kind == "instance" else origin for origin in origins)


def union(parts: Iterable[Origins]) -> Origins:
    return frozenset().union(*parts)


def is_own_attribute(node: ast.Attribute) -> bool:
    """Whether this is an attribute of a test case's own `self`."""
    return isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")


def variable(node: ast.expr) -> str:
    """The variable that an assignment to `node` changes: `x` for `x[0].y`, `self.x` for `self.x.y`; "" if none."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Starred):
        if isinstance(node, ast.Attribute) and is_own_attribute(node):
            return f"self.{node.attr}"
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def names_within(node: ast.expr) -> set[str]:
    """Every variable in an expression."""
    found = {variable(part) for part in ast.walk(node) if isinstance(part, ast.Name | ast.Attribute)}
    return found - {""}


def expressions_within(node: ast.AST) -> list[ast.expr]:
    """The expressions directly below `node`, with those of its comprehensions, slices and keywords."""
    found: list[ast.expr] = []
    for part in ast.iter_child_nodes(node):
        if isinstance(part, ast.expr):
            found.append(part)
        elif isinstance(part, ast.comprehension | ast.keyword | ast.arguments):
            found += expressions_within(part)
    return found


def statements_within(node: ast.stmt) -> list[ast.stmt]:
    """The statements directly below `node`, with those of its handlers and cases."""
    found: list[ast.stmt] = []
    for part in ast.iter_child_nodes(node):
        if isinstance(part, ast.stmt):
            found.append(part)
        elif isinstance(part, ast.ExceptHandler | ast.match_case):
            found += part.body
    return found
