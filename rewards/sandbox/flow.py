"""Where the answers of the program under test meet within its tests, found by reading the tests.

A test decides something only where one side of it is out of the program's hands. Two uses:

- `assert approx(add(1, 2), 3)`, where the program defines both `approx` and `add`, decides nothing: the program is
  taken at its word. So is `assert add(1, 2) == expected(1, 2)`.
- `got = f(numbers)` may show the tests what `f` did to `numbers`, unless `got == sorted(numbers)` is asked later: a
  program that empties its argument and returns it would pass.

Each expression has *origins*: the functions of the program whose answers flow into it, the classes of the program whose
instances do, and the variables that were handed to the program. A function of the tests that is used as a value (in a
list, as a decorator, returned by another) has the origins of all it may return and of the program's names in it. The
analysis knows names only, neither order nor scope, so it may see a meeting where there is none, and then the tests are
undecided or an argument stays as it was.

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
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


class Flow:
    """The meetings in `tree`, whose program defines `program` (name in the tests → name in the program)."""

    def __init__(self, tree: ast.Module, program: dict[str, str]) -> None:
        self.program = program
        self.functions = definitions(tree)
        self.decorated = {name for name, nodes in self.functions.items() if any(map(is_decorated, nodes))}
        self.function = ""  # whose body is being read
        self.variables: defaultdict[str, Origins] = defaultdict(frozenset)
        self.returned: defaultdict[str, Origins] = defaultdict(frozenset)
        self.aliases: defaultdict[str, set[str]] = defaultdict(set)
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
        """Variables handed to the program that later meet an answer, or themselves, with their other names."""
        met = {origin.name for meeting in self.meetings for origin in meeting if origin.kind == "argument"}
        return {other for name in met for other in self.same_as(name)}

    def same_as(self, name: str) -> set[str]:
        """`name` and the variables that may be the same object."""
        found, new = {name}, [name]
        while new:
            more = self.aliases[new.pop()] - found
            found |= more
            new += more
        return found

    def alias(self, name: str, value: ast.expr) -> None:
        """Where `value` is itself a variable, both are the same object."""
        if isinstance(value, ast.Name | ast.Attribute) and (other := variable(value)) and name:
            self.aliases[name].add(other)
            self.aliases[other].add(name)

    def run(self, node: ast.stmt) -> None:
        """Take in one statement."""
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self.run_function(node)
                return
            case ast.ClassDef():
                self.run_class(node)
                return
            case ast.Match(subject=subject, cases=cases):
                origins = self.of(subject)
                for part in (part for case in cases for part in ast.walk(case.pattern)):
                    if isinstance(part, ast.MatchAs | ast.MatchStar) and part.name:
                        self.variables[part.name] |= origins
                for case in cases:
                    self.of(case.guard)
            case ast.Assign(targets=targets, value=value):
                origins = self.of(value)
                for target in targets:
                    self.bind(target, origins)
                    self.alias(variable(target), value)
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
                self.returned[self.function] |= self.of(value)
            case _:
                for part in ast.iter_child_nodes(node):
                    if isinstance(part, ast.expr):
                        self.of(part)
        for part in statements_within(node):
            self.run(part)

    def run_function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        """Take in a function: its body, its default values and what its decorators make of it."""
        outer, self.function = self.function, node.name
        for part in node.body:
            self.run(part)
        self.function = outer
        names = parameters(node)
        for name, default in zip(reversed(names), reversed(node.args.defaults), strict=False):
            self.variables[name] |= self.of(default)
        for decorator in node.decorator_list:
            self.variables[node.name] |= self.of_call(ast.Call(decorator, [ast.Name(node.name)], []))

    def run_class(self, node: ast.ClassDef) -> None:
        """Take in a class: its name stands for all that its body holds, and what it assigns is an attribute."""
        for part in node.body:
            self.run(part)
            names = [part.name] if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef) else targets_of(part)
            for name in names:
                found = self.of(ast.Name(name))
                self.variables[node.name] |= found
                if not isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef):
                    self.variables[f"self.{name}"] |= found

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
                return self.variables[name] | own | self.of_function(name)
            case ast.Call():
                return self.of_call(node)
            case ast.Attribute(value=ast.Name(id=name), attr=attribute) if name[:1].isupper() and attribute.isupper():
                return self.of(node.value)  # a constant of a class, or a member of an enum
            case ast.Attribute(value=value, attr=attribute):
                own = self.variables[f"self.{attribute}"]
                return own if is_own_attribute(node) else own | as_answers(self.of(value))
            case ast.Subscript(value=ast.Name(id=name), slice=ast.Constant()) if name[:1].isupper():
                return self.of(node.value)  # a member of an enum by its name
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
                self.alias(target.id, value)
                return origins
            case ast.Yield(value=value) | ast.YieldFrom(value=value):
                self.returned[self.function] |= self.of(value)
                return NONE
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
                for loop in node.generators:
                    self.bind(loop.target, self.of(loop.iter))
        return union(self.of(part) for part in expressions_within(node))

    def of_function(self, name: str) -> Origins:
        """The origins of a function of the tests as a value: what it returns and the program's names in it."""
        found = self.returned[name]
        for node in self.functions.get(name, []):
            for part in ast.walk(node):
                if isinstance(part, ast.Name) and part.id in self.program:
                    found |= {origin_of(self.program[part.id])}
        return found

    def of_call(self, node: ast.Call) -> Origins:
        """A call of the program's, of a function of the tests, or of any other."""
        arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
        origins = [self.of(argument) for argument in arguments]
        name = called_name(node.func)
        own = self.of_own_call(name, node, union(origins)) if name in self.functions else NONE
        plain = isinstance(node.func, ast.Name) or (
            isinstance(node.func, ast.Attribute) and is_own_attribute(node.func)
        )
        if name in self.functions and plain and name not in self.decorated:
            return own
        called = self.of(node.func)
        answers = {origin for origin in union(origins) if origin.kind == "answer"}
        if any(origin.kind != "argument" for origin in called):
            for given in {other for part in arguments for name in names_within(part) for other in self.same_as(name)}:
                self.variables[given] |= {Origin("argument", given)}
            if answers:
                self.meetings.add(as_answers(called) | answers)
            return called | answers | own
        if isinstance(node.func, ast.Attribute) and (name := variable(receiver(node.func.value))):
            self.variables[name] |= union(origins)  # results.append(f(1))
        if isinstance(node.func, ast.Name) and node.func.id in SILENT:
            return NONE
        return self.meet([called, *origins]) | own

    def of_own_call(self, name: str, node: ast.Call, origins: Origins) -> Origins:
        """A call of a function that the tests define: its parameters take on the origins of what they are given."""
        for function in self.functions[name]:
            names = parameters(function)
            if any(isinstance(argument, ast.Starred) for argument in node.args):
                for parameter in names:
                    self.variables[parameter] |= origins
            given = [*zip(names, node.args, strict=False)]
            for keyword in node.keywords:
                given += [(parameter, keyword.value) for parameter in ([keyword.arg] if keyword.arg else names)]
            for parameter, argument in given:
                self.variables[parameter] |= self.of(argument)
                self.alias(parameter, argument)
            if function.args.vararg:
                self.variables[function.args.vararg.arg] |= origins
            if function.args.kwarg:
                self.variables[function.args.kwarg.arg] |= origins
        return self.returned[name] | self.variables[name]

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


def receiver(node: ast.expr) -> ast.expr:
    """What a chain of method calls starts from: `x` of `x.setdefault(1, []).append`."""
    while isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        node = node.func.value
    return node


def definitions(tree: ast.Module) -> dict[str, list[Definition]]:
    """Every function of the tests by its name, at any depth: methods, inner functions and named lambdas too."""
    found: defaultdict[str, list[Definition]] = defaultdict(list)
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                found[name].append(node)
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Lambda() as function):
                found[name].append(function)
    return dict(found)


def is_decorated(node: Definition) -> bool:
    """Whether a call of this function may be a call of something else."""
    known = {"staticmethod", "classmethod", "property"}
    return not isinstance(node, ast.Lambda) and any(ast.unparse(part) not in known for part in node.decorator_list)


def parameters(node: Definition) -> list[str]:
    """The names of positional parameters as a caller counts them."""
    names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
    return names[1:] if names[:1] in (["self"], ["cls"]) else names


def called_name(node: ast.expr) -> str:
    """The last name of what is called."""
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def targets_of(node: ast.stmt) -> set[str]:
    """The variables that a statement assigns."""
    parts = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return set().union(*map(names_within, parts))


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
