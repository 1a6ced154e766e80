"""Inside a box: from the pieces of a completion to the program that is run.

A piece may be Python as it stands, a function's body that continues a task's code, an interactive session, or Python
among prose. What it uses and does not define may stand in the completion's other pieces. All of this parses what a
model wrote, so it happens here, where a parser that is brought down harms nobody.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import importlib.util
import re
import sys
import textwrap
import types
from typing import Any

from rlpath.rewards.sandbox.rewrite import free_names

PROGRAM = "<program>"
UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError)
DEFINING = (
    ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign,
)  # fmt: skip
PROMPT = re.compile(r"[ \t]*(?:>>>|\.\.\.)(?: |$)")
CONTINUES = re.compile(r"(?:[ \t]|(?:else|elif|except|finally)\b|[)\]}])")
DEFINES = re.compile(r"(?:async[ \t]+)?def[ \t]+\w+[ \t]*\(|class[ \t]+\w+[ \t]*[(:]|@\w")
LONGEST_DEFINITION = 50  # parts without indentation within one definition, such as lines of a text in quotes
STAR = """
    string re datetime collections heapq bisect copy math random statistics itertools functools operator io sys json
    typing
"""
NAMED = "time fractions decimal"


def program_of(job: dict[str, Any]) -> tuple[types.CodeType, types.CodeType | None]:
    """The program's code and, where it is to be run before, the task's; raises SyntaxError where there is none.

    `sources` are tried in order, the most probable one last. `others` are further pieces, of which only definitions
    count, and only those of names that are missing.
    """
    sources, prelude = job["sources"], job["prelude"]
    task = compile(prelude, "<task>", "exec", dont_inherit=True) if prelude and is_task_code(prelude) else None
    for source in sources:
        if tree := parsed(source):
            return compiled(completed(tree, job)), task
    for source in sources if task else ():
        for body in (source, "    " + source.lstrip(), textwrap.indent(source, "    ")):
            if tree := parsed(prelude + body):
                return compiled(completed(tree, job)), None
    for source in sources[::-1]:
        if tree := parsed(without_prompts(source)):
            return compiled(completed(tree, job)), task
    if job.get("prose") and (tree := among_prose(sources[0])):
        return compiled(completed(tree, job)), task
    return compile(sources[-1], PROGRAM, "exec", dont_inherit=True), task  # raises the error


def compiled(tree: ast.Module) -> types.CodeType:
    return compile(tree, PROGRAM, "exec", dont_inherit=True)


def parsed(source: str) -> ast.Module | None:
    """The tree of `source` if it is a program with at least one statement."""
    try:
        tree = ast.parse(source)
        compile(tree, PROGRAM, "exec", dont_inherit=True)
    except UNREADABLE:
        return None
    return tree if tree.body else None


def is_task_code(text: str) -> bool:
    """Whether `text` is Python that imports or defines and does nothing else, as prompts of HumanEval, and no prose."""
    try:
        tree = ast.parse(text)
    except UNREADABLE:
        return False
    allowed = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)
    body = [node for node in tree.body if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))]
    return any(isinstance(node, allowed[:4]) for node in body) and all(isinstance(node, allowed) for node in body)


def completed(tree: ast.Module, job: dict[str, Any]) -> ast.Module:
    """`tree` behind the definitions that it lacks and that other pieces of the completion hold."""
    others = [other for source in job.get("others", ()) if (other := parsed(source) or parsed(without_prompts(source)))]
    if not others:
        return tree
    missing = free_names_of(tree) | set(job.get("wanted") or ())
    missing -= defined_names(tree.body) | set(dir(builtins))
    body, future = [], [node for node in tree.body if is_future(node)]
    while found := next((other for other in others if defined_names(definitions(other)) & missing), None):
        others.remove(found)
        body = [*definitions(found), *body]
        missing |= free_names_of(found)
        missing -= defined_names(body) | defined_names(tree.body) | set(dir(builtins))
    tree.body = [*future, *body, *(node for node in tree.body if not is_future(node))]
    return tree


def definitions(tree: ast.Module) -> list[ast.stmt]:
    return [node for node in tree.body if isinstance(node, DEFINING) and not is_future(node)]


def is_future(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"


def free_names_of(tree: ast.Module) -> set[str]:
    try:
        return free_names(ast.unparse(tree))
    except UNREADABLE:
        return set()


def defined_names(body: list[ast.stmt]) -> set[str]:
    """The names that statements bind at the top of a module, and the methods of a class `Solution`."""
    found: set[str] = set()
    for node in body:
        match node:
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                found |= {(alias.asname or alias.name).partition(".")[0] for alias in names}
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                found.add(name)
            case ast.ClassDef(name=name, body=parts):
                found |= {name} | ({part.name for part in parts if isinstance(part, ast.FunctionDef)}
                                   if name == "Solution" else set())  # fmt: skip
            case _:
                found |= {part.id for part in ast.walk(node)
                          if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}  # fmt: skip
    return found


def without_prompts(source: str) -> str:
    """What was typed in an interactive session; "" where `source` is none."""
    lines = [line for line in textwrap.dedent(source).splitlines() if PROMPT.match(line)]
    return "\n".join(PROMPT.sub("", line, count=1) for line in lines) + "\n" if lines else ""


def among_prose(text: str) -> ast.Module | None:
    """The statements among the lines of `text`; None where there are none or a definition among them is broken."""
    parts: list[str] = []
    for line in text.splitlines():
        if parts and (not line.strip() or CONTINUES.match(line)):
            parts[-1] += f"\n{line}"
        else:
            parts.append(line)
    body: list[ast.stmt] = []
    at = 0
    while at < len(parts):
        longest = LONGEST_DEFINITION if DEFINES.match(parts[at]) else 1
        for size in range(1, longest + 1):
            if tree := parsed("\n".join(parts[at : at + size])):
                body += [node for node in tree.body if does_something(node)]
                at += size
                break
        else:
            if longest > 1:
                return None
            at += 1
    return ast.Module(body, []) if body else None


def does_something(node: ast.stmt) -> bool:
    """Whether a statement is one a program has: a line of prose may be a name, a number or `Note: this`."""
    if isinstance(node, ast.Expr):
        return any(isinstance(part, ast.Call) for part in ast.walk(node))
    return not (isinstance(node, ast.AnnAssign) and node.value is None)


def supplied_names(text: str) -> dict[str, Any]:
    """What the graders of LiveCodeBench and APPS import before a program, as further built-in names.

    They are no names of the program's: tests that ask for `add` do not find that of the module `operator`.
    """
    found: dict[str, Any] = {}
    for name in STAR.split():
        module = importlib.import_module(name)
        public = getattr(module, "__all__", None) or [key for key in vars(module) if not key.startswith("_")]
        found |= {key: getattr(module, key) for key in public}
    found |= {name: importlib.import_module(name) for name in (STAR + NAMED).split()}
    if re.search(r"\bnp\.", text) and importlib.util.find_spec("numpy"):
        found["np"] = importlib.import_module("numpy")
    sys.setrecursionlimit(50_000)
    return {**found, **vars(builtins)}
