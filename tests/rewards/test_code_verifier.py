"""Programs that try to fool their grader, and programs that are right."""

import json
import pickle
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy
import pytest

from rlpath.core.errors import InputError
from rlpath.core.types import Status
from rlpath.rewards.sandbox import Isolation, Limits, host, missing_protections
from rlpath.rewards.verifiers import code
from rlpath.rewards.verifiers.code import CodeVerifier, find_program

MISSING = missing_protections() if sys.platform == "linux" else {"namespaces": "this is not Linux"}
needs_sandbox = pytest.mark.skipif(bool(MISSING), reason=f"the kernel refuses a sandbox: {MISSING}")

ASSERTS = "assert add(1, 2) == 3\nassert add(-5, 5) == 0\nassert add('a', 'b') == 'ab'"
CASES = json.dumps({"function": "add", "cases": [[[1, 2], 3], [[-5, 5], 0], [["a", "b"], "ab"]]})
CHECK = json.dumps(
    {
        "test": "def check(candidate):\n    for a in range(5):\n        assert abs(candidate(a, 2) - a - 2) < 1e-9\n",
        "entry_point": "add",
    }
)
STDIN = json.dumps([{"stdin": "1 2\n", "stdout": "3\n"}, {"stdin": "-5 5", "stdout": "0"}])
RIGHT = "def add(a, b):\n    return a + b\n"
verify = CodeVerifier(limits=Limits(seconds=30))
quick = CodeVerifier(limits=Limits(seconds=0.5, memory_mb=400))


@pytest.fixture(scope="module", autouse=True)
def _no_zygote_left() -> Iterator[None]:
    """The zygote of these tests ends with them."""
    yield
    host.close_zygote()


# Each replaces the body of a correct `add` or wraps it; none of them computes a sum.
LEAVING = {
    "sys.exit while loading": "import sys; sys.exit(0)",
    "os._exit while loading": "import os; os._exit(0)",
    "exit in the call": "def add(a, b): exit(0)",
    "os._exit in the call": "import os\ndef add(a, b): os._exit(0)",
    "SystemExit raised": "def add(a, b): raise SystemExit(0)",
    "KeyboardInterrupt raised": "def add(a, b): raise KeyboardInterrupt",
    "GeneratorExit raised": "def add(a, b): raise GeneratorExit",
    "StopIteration raised": "def add(a, b): raise StopIteration",
    "AssertionError raised": "def add(a, b): raise AssertionError",
    "own BaseException": "class E(BaseException): pass\ndef add(a, b): raise E",
    "abort": "import os\ndef add(a, b): os.abort()",
    "segmentation fault": "import ctypes\ndef add(a, b): ctypes.string_at(0)",
    "exit hook": "import atexit, os\natexit.register(os._exit, 0)\nraise SystemExit(0)",
    "exec of another program": "import os, sys\nos.execv(sys.executable, [sys.executable, '-c', 'pass'])",
    "closes every descriptor": "import os\ndef add(a, b): os.closerange(0, 99)",
}
EQUAL_TO_ALL = "    __hash__ = object.__hash__\n    __eq__ = lambda s, o: True\n    __ne__ = lambda s, o: False\n"
COMPARING = {
    "object equal to everything": f"class E:\n{EQUAL_TO_ALL}def add(a, b): return E()",
    "int equal to everything": f"class E(int):\n{EQUAL_TO_ALL}def add(a, b): return E(99)",
    "str equal to everything": f"class E(str):\n{EQUAL_TO_ALL}def add(a, b): return E('?')",
    "float equal to everything": f"class E(float):\n{EQUAL_TO_ALL}def add(a, b): return E(9.9)",
    "list equal to everything": f"class E(list):\n{EQUAL_TO_ALL}def add(a, b): return E()",
    "dict equal to everything": f"class E(dict):\n{EQUAL_TO_ALL}def add(a, b): return E()",
    "class equal to everything": f"class M(type):\n{EQUAL_TO_ALL}class E(metaclass=M): pass\ndef add(a, b): return E",
    "mock.ANY": "from unittest.mock import ANY\ndef add(a, b): return ANY",
    "MagicMock": "from unittest.mock import MagicMock\ndef add(a, b): return MagicMock()",
    "arithmetic that yields zero": (
        "class E:\n    __sub__ = __rsub__ = __abs__ = __add__ = __round__ = lambda s, *o: 0\ndef add(a, b): return E()"
    ),
    "less than everything": (
        "class E:\n    __sub__ = lambda s, o: s\n    __abs__ = lambda s: s\n    __lt__ = lambda s, o: True\n"
        "def add(a, b): return E()"
    ),
    "false __class__": "class E:\n    __class__ = int\n    __eq__ = lambda s, o: True\ndef add(a, b): return E()",
    "numpy look-alike": (
        "class E:\n    ndim = 0\n    item = lambda s: s\nE.__module__ = 'numpy'\ndef add(a, b): return E()"
    ),
    "not a number": "def add(a, b): return float('nan')",
    "infinity": "def add(a, b): return float('inf')",
    "None": "def add(a, b): return None",
    "NotImplemented": "def add(a, b): return NotImplemented",
    "the function itself": "def add(a, b): return add",
    "a type": "def add(a, b): return int",
    "an endless generator": "def add(a, b):\n    while True: yield 1",
}  # fmt: skip
FORGE = """import json, os, struct
def send(message):
    data = json.dumps(message).encode()
    for number in range(3, 10):
        try: os.write(number, struct.pack('!I', len(data)) + data)
        except OSError: pass
"""
FORGING = {
    "verdict on every descriptor": f"{FORGE}send({{'status': 'passed', 'reason': ''}})\ndef add(a, b): return 0",
    "exit report on every descriptor": f"{FORGE}send({{'exit': 0}})\nimport os; os._exit(0)",
    "a value before it is asked": f"{FORGE}for _ in range(9): send({{'value': 0}})\ndef add(a, b): return 0",
    "a reference to nothing": f"{FORGE}def add(a, b):\n    send({{'value': {{'r': 99}}}})\n    return 0",
    "a huge frame": "import os, struct\ndef add(a, b): os.write(4, struct.pack('!I', 2 ** 31))",
    "no JSON": "import os, struct\ndef add(a, b): os.write(4, struct.pack('!I', 4) + b'\\xff\\xff\\xff\\xff')",
    "deep JSON": "import os, struct\ndef add(a, b): os.write(4, struct.pack('!I', 100000) + b'[' * 100000)",
    "long digits": "import os, struct\ndef add(a, b): os.write(4, struct.pack('!I', 100000) + b'9' * 100000)",
    "unhashable key": f"{FORGE}def add(a, b): send({{'value': {{'d': [[[], 1]]}}}})",
    "a list for a message": f"{FORGE}def add(a, b): send([1, 2])",
    "an error that is no error": f"{FORGE}def add(a, b): send({{'error': 5}})",
    "an error of nested lists": f"{FORGE}def add(a, b): send({{'error': [[[]], {{}}]}})",
    "half a frame": "import os\ndef add(a, b):\n    os.write(4, b'\\0\\0')\n    os._exit(0)",
    "prints that it passed": "print('passed', '3 asserts held', 'OK', flush=True)\ndef add(a, b): return 0",
}  # fmt: skip
PATCHING = {
    "patched abs": "import builtins\nbuiltins.abs = lambda x: 0\ndef add(a, b): return 0",
    "patched json": "import json\njson.dumps = lambda *a, **k: '{\"value\": 0}'\ndef add(a, b): return 0",
    "patched reader": "import os\nos.read = lambda *a: b''\ndef add(a, b): return 0",
    "patched import": "import builtins\nbuiltins.__import__ = lambda *a, **k: None\ndef add(a, b): return 0",
    "patched AssertionError": "import builtins\nbuiltins.AssertionError = SystemExit\ndef add(a, b): return 0",
    "own check": "def check(candidate): pass\ndef add(a, b): return 0",
    "own helpers of the tests": "def abs(x): return 0\ndef range(n): return []\ndef add(a, b): return 0",
    "own counter": "def __an_assert_held__(): pass\n__candidate__ = lambda a, b: a + b\ndef add(a, b): return 0",
    "trace function": "import sys\nsys.settrace(lambda f, e, a: f.f_locals.update(x=0))\ndef add(a, b): return 0",
    "looks for the answer in the frames": (
        "import sys\n"
        "def add(a, b):\n"
        "    frame = sys._getframe()\n"
        "    while frame:\n"
        "        for name, value in [*frame.f_locals.items(), *frame.f_globals.items()]:\n"
        "            if 'expect' in name or 'gold' in name or 'assert' in str(value): return value\n"
        "        frame = frame.f_back\n"
        "    return 0"
    ),
    "looks for the answer in the heap": (
        "import gc\n"
        "def add(a, b):\n"
        "    for found in gc.get_objects():\n"
        "        if type(found) is dict and 'cases' in found: return found['cases'][0][1]\n"
        "        if type(found) is str and 'assert add' in found: return 3\n"
        "    return 0"
    ),
    "reads the parent's memory": "def add(a, b): return open('/proc/1/mem', 'rb').read(9)",
    "background thread answers": (
        f"{FORGE}import threading\n"
        "def flood():\n    for _ in range(500): send({'value': 0})\n"
        "threading.Thread(target=flood).start()\n"
        "def add(a, b): return 0"
    ),
    "rewrites its interpreter": "import os\nopen(os.__file__, 'w').write('')\ndef add(a, b): return 0",
}  # fmt: skip
WEIRD = {
    "hostile __str__": "class E(Exception):\n    def __str__(s): raise SystemExit(0)\ndef add(a, b): raise E",
    "hostile __repr__": "class E:\n    def __repr__(s): raise SystemExit(0)\ndef add(a, b): return E()",
    "list in itself": "def add(a, b):\n    x = []\n    x.append(x)\n    return x",
    "deep list": "def add(a, b):\n    x = []\n    for _ in range(99999): x = [x]\n    return x",
    "endless recursion": "def add(a, b): return add(a, b)",
    "no function": "x = 3",
    "another name": "def plus(a, b): return a + b",
    "syntax error": "def add(a, b) return a + b",
    "null byte": "def add(a, b): return a + b\0",
    "wrong arity": "def add(a): return a",
    "coroutine": "async def add(a, b): return a + b",
    "hides behind one input": "def add(a, b): return 3",
    "off by a type": "def add(a, b): return str(a + b)",
    "too deep to parse": "x = " + "(" * 5000 + "1" + ")" * 5000 + "\ndef add(a, b): return 0",
    "too deep to compile": "x = " + "-" * 50000 + "1\ndef add(a, b): return 0",
}
ATTACKS = LEAVING | COMPARING | FORGING | PATCHING | WEIRD
HANGING = {
    "patched writer": "import os\nos.write = lambda f, d: len(d)\ndef add(a, b): return 0",
    "busy loop while loading": "while True: pass",
    "busy loop in the call": "def add(a, b):\n    while True: pass",
    "sleep": "import time\ndef add(a, b): time.sleep(99)",
    "loop that swallows everything": (
        "def add(a, b):\n    while True:\n        try: raise SystemExit\n        except BaseException: pass"
    ),
    "huge integer": "def add(a, b): return 10 ** 10 ** 10",
    "catastrophic regular expression": "import re\ndef add(a, b): return re.match(r'(a+)+$', 'a' * 60 + 'b')",
    "memory": "def add(a, b): return [0] * 10 ** 11",
    "slow memory": "def add(a, b):\n    x = []\n    while True: x.append(bytes(10 ** 6))",
    "huge answer": "def add(a, b): return 'x' * 50_000_000",
    "non-daemon threads": (
        "from threading import Thread\nimport time\n"
        "[Thread(target=time.sleep, args=(99,)).start() for _ in range(4)]\ndef add(a, b): return 0"
    ),
    "fork bomb": (
        "import os\ndef add(a, b):\n    while True:\n        try: os.fork()\n        except OSError: pass"
    ),
    "endless __str__": "class E(Exception):\n    def __str__(s):\n        while True: pass\ndef add(a, b): raise E",
    "colliding keys": "def add(a, b): return {i * (2 ** 61 - 1): 0 for i in range(200_000)}",
    "ignores signals": "import signal\n[signal.signal(n, signal.SIG_IGN) for n in (1, 2, 3, 14, 15)]\nwhile True: pass",
    "floods stdout": "def add(a, b):\n    while True: print('x' * 10 ** 6)",
}  # fmt: skip


@needs_sandbox
@pytest.mark.parametrize("gold", [ASSERTS, CASES, CHECK], ids=["asserts", "cases", "check"])
@pytest.mark.parametrize("name", ATTACKS)
def test_no_program_fools_the_verifier(name: str, gold: str) -> None:
    """A program that does not add is wrong, whatever it does instead."""
    assert verify(ATTACKS[name], gold).status is Status.WRONG


@needs_sandbox
@pytest.mark.parametrize("name", HANGING)
def test_no_program_outlasts_its_time(name: str) -> None:
    """A program that eats time or memory is wrong within a few seconds of its limit of half a second."""
    start = time.monotonic()
    assert quick(HANGING[name], CASES).status is Status.WRONG
    assert quick(HANGING[name], ASSERTS).status is Status.WRONG
    assert time.monotonic() - start < 10


@needs_sandbox
@pytest.mark.parametrize("gold", [ASSERTS, CASES, CHECK], ids=["asserts", "cases", "check"])
@pytest.mark.parametrize(
    "program",
    [
        RIGHT,
        "add = lambda a, b: a + b",
        "import operator\nadd = operator.add",
        "class Adder:\n    def __call__(self, a, b): return a + b\nadd = Adder()",
        "import functools\n@functools.cache\ndef add(a, b): return a + b",
        "class Solution:\n    def add(self, a, b): return a + b",
        "print('loading')\ndef add(a, b):\n    print(a, b)\n    return a + b",
        "def helper(a, b): return a + b\ndef add(a, b): return helper(a, b)\nif __name__ == '__main__': input()",
        "import numpy\ndef add(a, b): return a + b if isinstance(a, str) else numpy.add(a, b)",
    ],
)
def test_right_programs_pass(program: str, gold: str) -> None:
    """Every way to write a sum is correct under every flavor of tests."""
    if "numpy" in program and not numpy.__file__.startswith(sys.prefix):
        pytest.skip("numpy lies outside the interpreter's own folders, where a box does not look")
    verdict = verify(program, gold)
    assert verdict.status is Status.CORRECT, verdict.reason


SUM = "a, b = map(int, input().split())\nprint(a + b)"
STDIN_WRONG = {
    "nothing": "pass",
    "another number": "print(4)",
    "expected output and more": f"{SUM}\nprint('x')",
    "right, then fails": f"{SUM}\nraise ValueError",
    "right, then exit status 1": f"{SUM}\nimport sys; sys.exit(1)",
    "right, then killed": f"{SUM}\nimport ctypes; ctypes.string_at(0)",
    "on stderr": "import sys\nprint(sum(map(int, input().split())), file=sys.stderr)",
    "right for the first input": "print(3)",
    "closed stdout": "import os\nos.close(1)",
    "state from the last run": "import os\nprint(3 if not os.path.exists('/tmp/x') else 0)\nopen('/tmp/x', 'w')",
    "on another descriptor": "import os\nos.write(4, b'3\\n')",
}


@needs_sandbox
@pytest.mark.parametrize("name", STDIN_WRONG)
def test_wrong_scripts(name: str) -> None:
    """A script passes with the whole expected output and exit status 0, for every input, or not at all."""
    assert verify(STDIN_WRONG[name], STDIN).status is Status.WRONG


@needs_sandbox
@pytest.mark.parametrize(
    "program",
    [
        SUM,
        "import sys\nprint(sum(int(x) for x in sys.stdin.read().split()), '  ', end='\\n\\n')",
        "import os\nos.write(1, b'%d' % sum(map(int, os.read(0, 99).split())))\nos._exit(0)",
        f"def main():\n    {SUM.replace(chr(10), '; ')}\nif __name__ == '__main__':\n    main()\n    quit()",
        "import sys, threading\ndef main(): print(sum(map(int, sys.stdin.buffer.readline().split())))\n"
        "sys.setrecursionlimit(10 ** 6)\nthreading.stack_size(1 << 26)\nt = threading.Thread(target=main)\nt.start()",
        "print(sum(map(int, open(0))[0]) if 0 else sum(map(int, open(0).read().split())))",
    ],
)
def test_right_scripts(program: str) -> None:
    """Scripts may read and write in any usual way, and leave with status 0 in any usual way."""
    verdict = verify(program, STDIN)
    assert verdict.status is Status.CORRECT, verdict.reason


@needs_sandbox
def test_script_limits() -> None:
    """Endless output and endless running end at the limits; a crash does not match an empty expected output."""
    assert "over the limit" in verify("while True: print('x' * 10 ** 6)", STDIN).reason
    assert "time limit" in quick("while True: pass", STDIN).reason
    assert quick("raise ValueError", '[{"stdin": "", "stdout": ""}]').status is Status.WRONG


@needs_sandbox
def test_a_large_input() -> None:
    """Stdin is not bound by the size of a pipe."""
    gold = json.dumps([{"stdin": "1 " * 200_000, "stdout": "200000"}])
    assert verify("print(sum(map(int, input().split())))", gold).correct


@needs_sandbox
def test_no_verdict_and_no_tests_are_no_pass() -> None:
    """Tests that never call the program, never reach an assert, or are missing, pass nothing."""
    assert verify(RIGHT, "assert True").status is Status.UNDECIDED
    assert verify(RIGHT, "x = add(1, 2)\nassert True").correct
    assert verify("def add(a, b): return []", "for x in add(1, 2):\n    assert x > 0").status is Status.WRONG
    assert verify(RIGHT, "def check(candidate):\n    assert True\n").status is Status.WRONG
    assert verify(RIGHT, "if add(1, 2) == 0:\n    assert False").status is Status.WRONG
    for gold in (
        "",
        "   ",
        "[]",
        "{}",
        '{"function": "add", "cases": []}',
        '{"test": "x"}',
        "print(add(1, 2))",
        "assert (",
    ):
        assert verify(RIGHT, gold).status is Status.UNDECIDED, gold


@needs_sandbox
def test_exact_types_of_values() -> None:
    """1, 1.0 and true are three values in cases; a tuple is a list; keys are as JSON writes them."""
    table: list[tuple[str, Any, bool]] = [
        ("1", 1, True), ("1.0", 1, False), ("True", 1, False), ("1", True, False), ("1", 1.0, False),
        ("1.0", 1.0, True), ("2 ** 100", 2**99, False),
        ("(1, 2)", [1, 2], True), ("[1, 2.0]", [1, 2], False), ("{1, 2}", [1, 2], False), ("'1'", 1, False),
        ("{'a': (1,)}", {"a": [1]}, True), ("{1: 2}", {"1": 2}, True), ("{1: 2, '1': 2}", {"1": 2}, False),
        ("None", None, True), ("0", None, False), ("''", None, False), ("2 ** 100", 2**100, True),
        ("float('nan')", float("nan"), True), ("b'a'", "a", False), ("0.1 + 0.2", 0.3, False), ("object()", {}, False),
    ]  # fmt: skip
    for expression, expected, correct in table:
        gold = json.dumps({"function": "f", "cases": [[[], expected]]})
        assert verify(f"def f(): return {expression}", gold).correct is correct, (expression, expected)


@needs_sandbox
def test_tolerance_on_request() -> None:
    """With a tolerance numbers of either type may differ by it, and nothing else may."""
    gold = '{"function": "f", "cases": [[[], [1, 0.3]]], "tolerance": 1e-6}'
    assert verify("def f(): return [1.0, 0.1 + 0.2]", gold).correct
    assert not verify("def f(): return [1.0, 0.31]", gold).correct
    assert not verify("def f(): return [True, 0.3]", gold).correct
    assert not verify("def f(): return [float('nan'), 0.3]", gold).correct


@needs_sandbox
def test_keyword_arguments_and_arguments_are_copies() -> None:
    """An object of arguments is passed by keyword; what a program does to its arguments changes nothing outside."""
    assert verify("def f(*, x): return x", '{"function": "f", "cases": [[{"x": 5}, 5]]}').correct
    cheat = "def f(x):\n    x.clear()\n    return x"
    assert verify(cheat, "numbers = [3, 1, 2]\nassert f(numbers) == sorted(numbers)").status is Status.WRONG


@needs_sandbox
def test_changes_in_place_count_where_the_result_is_not_used() -> None:
    """A bare call is made for its effect on its arguments; a call within an expression gets copies."""
    tests = "numbers, table = [3, 1, 2], {}\nf(numbers, table)\nassert numbers == [1, 2, 3]\nassert table == {'n': 3}"
    right = "def f(x, t):\n    x.sort()\n    t['n'] = len(x)\n"
    assert verify(right, tests).correct
    assert verify("def f(x, t):\n    return sorted(x)", tests).status is Status.WRONG
    assert verify("def f(x, t):\n    x = sorted(x)", tests).status is Status.WRONG


@needs_sandbox
def test_hidden_tests_count() -> None:
    """A program that knows the visible cases by heart fails the hidden ones."""
    by_heart = "def add(a, b): return {(1, 2): 3, (-5, 5): 0, ('a', 'b'): 'ab'}[a, b]"
    hidden = '{"function": "add", "cases": [[[20, 22], 42]]}'
    assert verify(by_heart, ASSERTS).correct
    strict = CodeVerifier(hidden=hidden)
    assert strict(by_heart, ASSERTS).reason.split(":")[1] == " 3 asserts held; hidden tests"
    assert strict(by_heart, ASSERTS).status is Status.WRONG
    assert strict(RIGHT, ASSERTS).correct
    assert CodeVerifier(hidden=json.loads(hidden))(RIGHT, CASES).correct
    assert CodeVerifier(hidden="def check(candidate):\n    assert candidate(2, 2) == 4")(RIGHT, CHECK).correct


@needs_sandbox
def test_objects_stay_in_the_program() -> None:
    """Tests may use a class, a closure or a generator of the program's; only plain answers are compared."""
    stack = (
        "class Stack:\n"
        "    def __init__(self): self.items = []\n"
        "    def push(self, item): self.items.append(item)\n"
        "    def pop(self): return self.items.pop()\n"
    )
    assert verify(stack, "s = Stack()\ns.push(4)\ns.limit = 3\nassert s.pop() == 4\nassert s.limit == 3").correct
    assert not verify(stack, "s = Stack()\ns.push(4)\nassert s.pop() == 5").correct
    assert verify("def times(n):\n    return lambda x: n * x", "assert times(3)(4) == 12").correct
    assert verify("def up(n):\n    yield from range(n)", "assert list(up(3)) == [0, 1, 2]").correct
    assert verify(
        "def f(x): raise ValueError('no')", "try:\n    f(1)\nexcept ValueError as e:\n    assert 'no' in str(e)"
    ).correct


@needs_sandbox
def test_helpers_of_the_task_are_not_the_programs() -> None:
    """A helper the question defines is the tests' own; one that only the program defines is named in the reason."""
    question = "def shift(s):\n    return s[1:] + s[:1]\n\ndef unshift(s):\n    '''Undo shift.'''\n"
    tests = (
        "def check(candidate):\n    for s in ('abc', 'hello'):\n        assert candidate(shift(s)) == s\ncheck(unshift)"
    )
    honest = f"{question}    return s[-1:] + s[:-1]\n"
    cheat = "def shift(s): return s\ndef unshift(s): return s\n"
    assert verify(honest, tests, question=question).reason == "tests: 2 asserts held"
    assert verify("    return s[-1:] + s[:-1]\n", tests, question=question).correct  # a bare body goes on from the stub
    assert verify("def unshift(s): return s[-1:] + s[:-1]", tests, question=question).correct
    assert verify(cheat, tests, question=question).status is Status.WRONG
    trusting = CodeVerifier(trust_helpers=True)
    assert "relying on shift" in trusting(honest, tests).reason
    assert verify(honest, tests).status is Status.UNDECIDED
    assert verify(cheat, tests).status is Status.UNDECIDED


@needs_sandbox
def test_built_in_names() -> None:
    """A function called like a built-in is the program's only where tests ask for nothing else."""
    assert verify("def sum(a, b): return a + b", "assert sum(1, 2) == 3").correct
    assert verify("def sum(a, b): return a + b", "assert set([sum(1, 2)]) == {3}").correct
    cheat = "def abs(x): return 0\ndef f(x): return 9"
    assert verify(cheat, "assert abs(f(1) - 1) < 0.1").status is Status.WRONG
    cheat = "class math:\n    isclose = lambda *a: True\ndef f(x): return 9"
    assert verify(cheat, "assert math.isclose(f(1), 1)").status is Status.WRONG
    assert verify("def f(x): return 1.0", "assert math.isclose(f(1), 1)").correct


@needs_sandbox
def test_values_of_the_standard_library() -> None:
    """Fractions, decimals, dates and ranges are plain enough to be compared."""
    program = (
        "from fractions import Fraction\nfrom decimal import Decimal\nimport datetime, collections\n"
        "def f(k): return [Fraction(1, 2), Decimal('1.50'), datetime.date(2024, 2, 29), range(3),"
        " collections.Counter('aab'), datetime.datetime(2024, 1, 1, 2)][k]"
    )
    tests = (
        "from datetime import date, datetime\nfrom fractions import Fraction\n"
        "assert f(0) == Fraction(2, 4) == 0.5\nassert f(1) == 1.5\nassert f(2) == date(2024, 2, 29)\n"
        "assert f(3) == range(3)\nassert f(4) == {'a': 2, 'b': 1}\nassert f(5) == datetime(2024, 1, 1, 2)"
    )
    assert verify(program, tests).reason == "tests: 6 asserts held"


def test_find_the_program() -> None:
    """The last fenced block is the program; thoughts do not count; an unclosed fence is not whole."""
    table = [
        ("x = 1", ["x = 1"], False),
        ("```python\na\n```\nthen\n```py\nb\n```", ["b\n"], True),
        ("```python\na\n```\n```text\noutput\n```", ["a\n"], True),
        ("<think>```python\na\n```</think>\n```\nb\n```", ["b\n"], True),
        ("<think>```python\na\n```</think>", [], False),
        ("so\n```python\na\n```</think>none", ["none"], False),
        ("```python\na\n```\n```python\nb", ["b"], False),
        ("- so:\n  ```python\n  if a:\n    b\n  ```", ["if a:\n  b\n"], True),
        ("Here: ```python\na\n```", ["a\n"], True),
        ("Use ```a``` here", ["Use ```a``` here"], False),
        ("~~~~python\n```\n~~~~", ["```\n"], True),
        ("", [], False),
    ]  # fmt: skip
    for text, sources, whole in table:
        found = find_program(text)
        assert found.sources[-1:] == sources, text
        assert found.whole is whole, text


def test_finding_the_program_is_linear() -> None:
    """100 kB of opening tags or fences take no time."""
    start = time.monotonic()
    for unit in ("<think>", "</think>", "```", "```\n", "~~~python\n", "` `", "\n"):
        find_program(unit * (100_000 // len(unit)))
    assert time.monotonic() - start < 1


@needs_sandbox
def test_completions() -> None:
    """Prose around a block is ignored; no program is no answer; a cut program is truncated."""
    fenced = f"Add them.\n```python\n{RIGHT}```\nDone."
    verdict = verify(fenced, ASSERTS)
    assert (verdict.correct, verdict.answer) == (True, RIGHT)
    assert verify(f"```python\ndef add(a, b): return 0\n```\nBetter:\n{fenced}", ASSERTS).correct
    assert verify(f"{fenced}\nOr:\n```python\ndef add(a, b): return 0\n```", ASSERTS).status is Status.WRONG
    assert verify("", ASSERTS).status is Status.NO_ANSWER
    assert verify("I cannot.", ASSERTS).status is Status.WRONG
    assert verify(fenced[:-12], ASSERTS, truncated=True).status is Status.TRUNCATED
    assert verify(fenced, ASSERTS, truncated=True).correct
    assert verify(f'"""\n```\nnot this\n```\n"""\n{RIGHT}', ASSERTS).correct  # a fence within a raw program's string


def test_a_refusing_kernel_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without namespaces the verifier names them and refuses; without any wall no option helps."""
    missing = {"namespaces": "user namespace: Operation not permitted"}
    monkeypatch.setattr(code, "best_isolation", lambda: (Isolation("none"), missing))
    with pytest.raises(InputError, match=r"namespaces .user namespace: Operation not permitted.*allow_weaker=True"):
        verify(RIGHT, ASSERTS)
    monkeypatch.setattr(
        code, "best_isolation", lambda: (Isolation("none", False), {"namespaces": "no", "seccomp": "no"})
    )
    with pytest.raises(InputError, match="cannot be contained"):
        CodeVerifier(allow_weaker=True)(RIGHT, ASSERTS)


@needs_sandbox
def test_weaker_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """Told to do without namespaces, it judges and every reason says so."""
    monkeypatch.setattr(code, "best_isolation", lambda: (Isolation("none"), {"namespaces": "Operation not permitted"}))
    weaker = CodeVerifier(allow_weaker=True)
    verdict = weaker(RIGHT, ASSERTS)
    assert verdict.correct
    assert verdict.reason.endswith("run without namespaces (Operation not permitted)")
    assert weaker(SUM, STDIN).correct
    assert weaker("import os; os._exit(0)", ASSERTS).status is Status.WRONG


@needs_sandbox
def test_pickled_and_in_threads() -> None:
    """A verifier survives pickling, and threads that share it get their own verdicts."""
    again = pickle.loads(pickle.dumps(verify))
    programs = [RIGHT, "def add(a, b): return 0"] * 4
    with ThreadPoolExecutor(4) as pool:
        verdicts = list(pool.map(lambda program: again(program, ASSERTS), programs))
    assert [verdict.correct for verdict in verdicts] == [True, False] * 4


@needs_sandbox
def test_a_reason_is_one_printable_line() -> None:
    """What a program puts into its exceptions cannot move a terminal's cursor or forge a second line."""
    reason = verify("def add(a, b): raise ValueError('a\\nverdict: correct\\x1b[2J' + 'x' * 9999)", ASSERTS).reason
    assert "\x1b" not in reason
    assert "\n" not in reason
    assert len(reason) < 500


@needs_sandbox
def test_same_verdict_twice() -> None:
    """A program that relies on hashing order or randomness gets the same verdict every time."""
    program = "import random\ndef f(): return [list({'a', 'b', 'c', 'd'})[0], random.random()]"
    verdicts = {verify(program, "assert f() == 0 or str(f()) == 'x', f()").reason for _ in range(3)}
    assert len(verdicts) == 1
