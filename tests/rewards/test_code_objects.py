"""Instances, named tuples, coroutines, test cases and exceptions, each beside the program that would abuse it."""

import json
import sys
from collections.abc import Iterator

import pytest

from rlpath.core.types import Status
from rlpath.rewards import CodeVerifier
from rlpath.rewards.sandbox import Limits, host, missing_protections

MISSING = missing_protections() if sys.platform == "linux" else {"namespaces": "this is not Linux"}
needs_sandbox = pytest.mark.skipif(bool(MISSING), reason=f"the kernel refuses a sandbox: {MISSING}")
verify = CodeVerifier(limits=Limits(seconds=20))
RIGHT, WRONG, UNDECIDED = Status.CORRECT, Status.WRONG, Status.UNDECIDED
ADD = "def add(a, b):\n    return a + b\n"


@pytest.fixture(scope="module", autouse=True)
def _no_zygote_left() -> Iterator[None]:
    """The zygote of these tests ends with them."""
    yield
    host.close_zygote()


VECTOR = (
    "class Vector:\n"
    "    def __init__(self, x, y): self.x, self.y = x, y\n"
    "    def __add__(self, o): return Vector(self.x + o.x, self.y + o.y)\n"
    "    def __eq__(self, o): return (self.x, self.y) == (o.x, o.y)\n"
    "    def __len__(self): return 2\n"
    "    def __str__(self): return f'({self.x}, {self.y})'\n"
    "    def __getitem__(self, i): return (self.x, self.y)[i]\n"
    "    def __contains__(self, v): return v in (self.x, self.y)\n"
    "    def __bool__(self): return bool(self.x or self.y)\n"
    "    def __mul__(self, k): return Vector(k * self.x, k * self.y)\n"
    "    def __hash__(self): return 3\n"
    "    def __lt__(self, o): return self.x < o.x\n"
    "def mirror(v): return Vector(v.x, -v.y)\n"
)


@needs_sandbox
@pytest.mark.parametrize(
    ("tests", "status"),
    [
        ("assert len(Vector(1, 2)) == 2", RIGHT),
        ("assert len(Vector(1, 2)) == 3", WRONG),
        ("assert str(Vector(1, 2)) == '(1, 2)'", RIGHT),
        ("assert f'{Vector(1, 2)}' == '(1, 2)'", RIGHT),
        ("assert (Vector(1, 2) + Vector(3, 4)).x == 4", RIGHT),
        ("assert (Vector(1, 2) + Vector(3, 4)).x == 5", WRONG),
        ("assert Vector(1, 2)[1] == 2", RIGHT),
        ("assert 2 in Vector(1, 2)", RIGHT),
        ("assert 3 not in Vector(1, 2)", RIGHT),
        ("assert Vector(1, 0)\nassert not Vector(0, 0)", RIGHT),
        ("assert Vector(1, 2) != None", RIGHT),
        ("assert mirror(Vector(1, 2)).y == -2", RIGHT),
        ("assert str(mirror(Vector(1, 2))) == '(1, -2)'", RIGHT),
        ("assert Vector(1, 2) == Vector(1, 2)", UNDECIDED),
        ("assert mirror(Vector(1, 2)) == Vector(1, -2)", UNDECIDED),
        ("assert Vector(1, 2) == (1, 2)", UNDECIDED),
        ("assert Vector(1, 2) < Vector(2, 2)", UNDECIDED),
        ("assert (Vector(1, 2) * 3).x == 3", UNDECIDED),
        ("assert {Vector(1, 2): 1}[Vector(1, 2)] == 1", UNDECIDED),
        ("assert isinstance(Vector(1, 2), Vector)", UNDECIDED),
        ("try:\n    assert Vector(1, 2) == Vector(1, 2)\nexcept Exception:\n    pass\nassert len(Vector(1, 2)) == 2",
         UNDECIDED),
        ("import unittest\nclass T(unittest.TestCase):\n    def test(self):\n"
         "        self.assertEqual(Vector(1, 2), Vector(1, 2))", UNDECIDED),
    ],
)  # fmt: skip
def test_operators_on_instances(tests: str, status: Status) -> None:
    """What an instance says of itself is an answer; whether two are equal is for the program to say, so undecided."""
    verdict = verify(VECTOR, tests)
    assert verdict.status is status, verdict.reason


@needs_sandbox
@pytest.mark.parametrize(
    "program",
    [
        "class E:\n    __add__ = __radd__ = __sub__ = __rsub__ = lambda s, o: 0\n    __abs__ = lambda s: 0\n"
        "    __contains__ = lambda s, o: True\n    __len__ = lambda s: 1\n    __bool__ = lambda s: True\n"
        "    __iter__ = lambda s: iter(())\n    __eq__ = lambda s, o: True\n    __hash__ = None\n"
        "    __lt__ = __le__ = __gt__ = __ge__ = lambda s, o: True\n    __index__ = __int__ = lambda s: 7\n"
        "def f(x): return E()",
        "async def f(x): return 3",
    ],
)
@pytest.mark.parametrize(
    "tests",
    [
        "assert f(1) == 3",
        "assert abs(f(1) - 3) < 1e-6",
        "assert 3 - f(1) == 0",
        "assert f(1) < 4",
        "assert 3 in f(1)",
        "assert f(1)",
        "assert not f(1) != 3",
        "assert f(1) in [3]",
        "assert [3].index(f(1)) == 0",
        "assert {3: 1}[f(1)] == 1",
        "assert sum([f(1)]) == 0",
        "assert f(1) is True",
        "import unittest\nclass T(unittest.TestCase):\n    def test(self): self.assertTrue(f(1))",
        "import unittest\nclass T(unittest.TestCase):\n    def test(self): self.assertEqual(f(1), 3)",
        "import unittest\nclass T(unittest.TestCase):\n    def test(self): self.assertAlmostEqual(f(1), 3)",
        "import unittest\nclass T(unittest.TestCase):\n    def test(self): self.assertIn(3, f(1))",
    ],
)
def test_an_answer_that_is_an_object_is_not_plain_data(program: str, tests: str) -> None:
    """An object in place of a number or a list decides nothing, and does not get its program out of the group."""
    assert verify(program, tests).status is WRONG


@needs_sandbox
def test_named_tuples_enums_and_collections_keep_their_attributes() -> None:
    """Attributes of what is plain data otherwise; a pure enum's name and value are asked of the program."""
    program = (
        "from collections import Counter, OrderedDict, deque, namedtuple\nfrom enum import Enum, IntEnum, StrEnum\n"
        "from typing import NamedTuple\nPoint = namedtuple('Point', 'x y')\n"
        "class Size(NamedTuple):\n    width: int\n    height: int = 2\n"
        "class Color(Enum):\n    RED = 1\nclass Level(IntEnum):\n    LOW = 1\nclass Word(StrEnum):\n    HI = 'hi'\n"
        "def f(k): return [Point(1, 2), Size(3), deque([1, 2], 2), Color.RED, Level.LOW, Word.HI, Counter('aab'),"
        " OrderedDict(a=1)][k]\ndef g(p): return p.x + p.y\n"
    )
    tests = (
        "from collections import deque, namedtuple, OrderedDict\nP = namedtuple('P', 'x y')\n"
        "assert f(0).x == 1 and f(0) == (1, 2) and f(0)._fields == ('x', 'y') and f(0)._asdict() == {'x': 1, 'y': 2}\n"
        "assert f(1).height == 2\nassert f(2) == deque([1, 2]) and f(2).maxlen == 2 and f(2)[0] == 1\n"
        "assert f(3).name == 'RED' and f(3).value == 1\nassert f(4) == 1 and f(4).name == 'LOW' and f(4).value == 1\n"
        "assert f(5) == 'hi' and f(5).name == 'HI' and f(5).value == 'hi'\nassert f(6).most_common(1) == [('a', 2)]\n"
        "assert f(7) == OrderedDict(a=1)\nassert g(P(1, 2)) == 3"
    )
    verdict = verify(program, tests)
    assert verdict.correct, verdict.reason
    for expression, expected in (("f(0)", [1, 2]), ("f(4)", 1), ("f(6)", {"a": 2, "b": 1}), ("[f(0)]", [[1, 2]])):
        gold = json.dumps({"function": "h", "cases": [[[], expected]]})
        assert verify(f"{program}def h(): return {expression}", gold).correct, expression
    forged = (
        "class T(tuple):\n    _fields = ('__eq__', 'x')\ndef f(k): return T((1, 2))",
        "class T(tuple):\n    _fields = ('x): import os #', 'y')\ndef f(k): return T((1, 2))",
        "import os, struct, json\ndef f(k):\n    d = json.dumps({'value': {'n': ['T', [[]], [1]]}}).encode()\n"
        "    os.write(4, struct.pack('!I', len(d)) + d)\n    return 1",
    )
    for cheat in forged:
        assert verify(cheat, "assert f(0) == 3").status is WRONG


@needs_sandbox
def test_coroutines() -> None:
    """A program may run an event loop, and tests may await its coroutines; one that nobody awaits is no answer."""
    program = "import asyncio\nasync def f(x):\n    await asyncio.sleep(0)\n    return x + 1\n"
    assert verify(f"{program}def g(x): return asyncio.run(f(x))", "assert g(1) == 2\nassert g(2) == 3").correct
    threads = program + (
        "async def h(x):\n    return await asyncio.to_thread(lambda: x + 1)\ndef g(x): return asyncio.run(h(x))"
    )
    assert verify(threads, "assert g(1) == 2").correct
    tests = (
        "import asyncio\nassert asyncio.run(f(1)) == 2\n"
        "async def all_of_them():\n    assert await f(2) == 3\n    return await asyncio.gather(f(1), f(2))\n"
        "assert asyncio.run(all_of_them()) == [2, 3]"
    )
    verdict = verify(program, tests)
    assert verdict.correct, verdict.reason
    assert verify(program.replace("x + 1", "x"), tests).status is WRONG
    assert verify(program, "assert f(1) == 2").status is WRONG
    assert verify("def f(x): return 2", "import asyncio\nassert asyncio.run(f(1)) == 2").status is WRONG
    assert verify("import asyncio\nprint(asyncio.run(asyncio.sleep(0, 3)))", '[{"stdin": "", "stdout": "3"}]').correct


@needs_sandbox
def test_event_loops_open_no_socket() -> None:
    """What stands for a socket pair is two pipes; every call of the kernel's that makes a socket is refused."""
    program = (
        "import socket, _socket\n"
        "def f(kind):\n"
        "    try:\n"
        "        [lambda: _socket.socketpair(), lambda: socket.socket(), lambda: socket.socket(socket.AF_UNIX),\n"
        "         lambda: socket.create_connection(('127.0.0.1', 1))][kind]()\n"
        "    except OSError:\n        return 'refused'\n    return 'open'\n"
    )
    assert verify(program, "assert [f(kind) for kind in range(4)] == ['refused'] * 4").correct


UNITTEST = (
    "import unittest\nfrom solution import add\n\nclass TestAdd(unittest.TestCase):\n"
    "    @classmethod\n    def setUpClass(cls):\n        cls.a = 1\n"
    "    def setUp(self):\n        self.b = 2\n"
    "    def test_small(self):\n        self.assertEqual(add(self.a, self.b), 3)\n"
    "    def test_error(self):\n        with self.assertRaises(TypeError):\n            add(1, 'a')\n"
    "    def test_many(self):\n        for n in range(3):\n            with self.subTest(n=n):\n"
    "                self.assertEqual(add(n, n), 2 * n)\n\n"
    "if __name__ == '__main__':\n    unittest.main()\n"
)


@needs_sandbox
def test_unittest_classes() -> None:
    """Test cases are run; the first failure, or an error, is the verdict; no test that checks is no pass."""
    assert verify(ADD, UNITTEST).correct
    assert verify("def add(a, b): return 3", UNITTEST).status is WRONG
    for tests in (UNITTEST.replace("from solution import add", ""), UNITTEST.replace("solution", "main"),
                  UNITTEST.replace("from solution import add", "import solution").replace(" add(", " solution.add(")
                  .replace("(add(", "(solution.add("),
                  UNITTEST.replace("import add", "import add as plus").replace("add(", "plus("),
                  UNITTEST.replace("from solution import add", "from solution import *"),
                  UNITTEST.replace("if __name__ == '__main__':\n    unittest", "unittest")):  # fmt: skip
        verdict = verify(ADD, tests)
        assert verdict.correct, (tests, verdict.reason)
        assert verify("def add(a, b): return 3", tests).status is WRONG
    skipped = UNITTEST.replace("        self.assertEqual", "        self.skipTest('')\n        self.assertEqual")
    skipped = skipped.replace("with self.assertRaises", "self.skipTest('')\n        with self.assertRaises")
    assert verify(ADD, skipped.replace("for n in", "self.skipTest('')\n        for n in")).status is WRONG
    leaving = "import sys, os\ndef add(a, b): sys.exit(0)"
    assert verify(leaving, UNITTEST).status is WRONG
    assert (
        verify("import unittest\nunittest.TestCase.assertEqual = print\ndef add(a, b): return 0", UNITTEST).status
        is WRONG
    )


@needs_sandbox
def test_exceptions() -> None:
    """An exception class of the program's own is known by its name; a handler behind `assert False` is a test."""
    program = (
        "class Broke(ValueError): pass\nclass Poor(Broke): pass\n"
        "def pay(n):\n    if n > 5: raise Poor('no')\n    return n\n"
    )
    handler = "try:\n    pay(9)\n    assert False\nexcept {}:\n    pass"
    for tests in (
        handler.format("Broke"),
        handler.format("Poor"),
        handler.format("ValueError"),
        "import unittest\nclass T(unittest.TestCase):\n    def test(self):\n        self.assertRaises(Broke, pay, 9)",
        "from unittest import TestCase\nclass T(TestCase):\n    def test(self):\n"
        "        with self.assertRaises(Broke): pay(9)",
    ):
        verdict = verify(program, tests)
        assert verdict.correct, (tests, verdict.reason)
        assert verify("class Broke(Exception): pass\nPoor = Broke\ndef pay(n): return n", tests).status is WRONG, tests
    for broad in ("Exception", "AssertionError", "(ValueError, AssertionError)", "BaseException"):
        assert verify("def pay(n): return n", handler.format(broad)).status is WRONG, broad
    assert verify("def pay(n): return n", handler.replace("except {}", "except")).status is WRONG
    message = "try:\n    pay(9)\nexcept Poor as error:\n    assert str(error) == 'no'"
    assert verify(program, message).correct
    assert verify(program.replace("'no'", "'yes'"), message).status is WRONG


PROTOCOLS = {
    "next": ("def f(n):\n"
        "    yield from range(n)", "g = f(2)\nassert next(g) == 0\nassert next(g) == 1\nassert next(g, 7) == 7"),
    "a context manager": (
        "class C:\n    def __enter__(self):\n        self.x = 1\n        return self\n"
        "    def __exit__(self, *error): self.x = 2",
        "with C() as c:\n    assert c.x == 1\nassert c.x == 2",
    ),
    "items": (
        "class D:\n    def __init__(self): self.d = {}\n    def __setitem__(self, k, v): self.d[k] = v\n"
        "    def __getitem__(self, k): return self.d[k]\n    def __delitem__(self, k): del self.d[k]\n"
        "    def __contains__(self, k): return k in self.d",
        "d = D()\nd[1] = 2\nassert d[1] == 2\ndel d[1]\nassert 1 not in d",
    ),
    "an asynchronous generator": (
        "async def f(n):\n    for i in range(n): yield i",
        "import asyncio\nasync def main():\n    assert [x async for x in f(3)] == [0, 1, 2]\nasyncio.run(main())",
    ),
    "an asynchronous context manager": (
        "class A:\n    async def __aenter__(self): return self\n    async def __aexit__(self, *error): return True\n"
        "    async def go(self): return 1",
        "import asyncio\nasync def main():\n    async with A() as a:\n        assert await a.go() == 1\n"
        "asyncio.run(main())",
    ),
    "an enum": (
        "from enum import Enum\nclass C(Enum):\n    R = 1\n    G = 2\ndef after(c): return C.G",
        "assert [c.name for c in C] == ['R', 'G']\nassert after(C.R).name == 'G'\nassert after(C['R']).value == 2",
    ),
    "a keyword in place": ("def f(xs): xs.sort()", "xs = [2, 1]\nf(xs=xs)\nassert xs == [1, 2]"),
    "functions in a dict": (
        "def add(a, b): return a + b\ndef sub(a, b): return a - b",
        "ops = {'+': add, '-': sub}\nassert ops['+'](1, 2) == 3\nassert ops['-'](3, 2) == 1",
    ),
    "a class of pytest": (ADD, "class TestAdd:\n    def setup_method(self): self.x = 1\n    def test(self):\n"
        "        assert add(self.x, 2) == 3"),
    "a table of pytest": (
        ADD, "import pytest\n@pytest.mark.parametrize('a, b, c', [(1, 2, 3), pytest.param(0, 0, 0)])\n"
        "def test(a, b, c):\n    assert add(a, b) == c",
    ),
    "raises alone": ("def f(x): raise ValueError('x')", "import pytest\nwith pytest.raises(ValueError):\n    f(1)"),
}  # fmt: skip


@needs_sandbox
@pytest.mark.parametrize("name", PROTOCOLS)
def test_protocols(name: str) -> None:
    """Right programs whose tests step, enter, set or list what the program made, or are written for pytest."""
    program, tests = PROTOCOLS[name]
    verdict = verify(program, tests)
    assert verdict.correct, verdict.reason
    assert (
        verify("def f(*a, **k): return 0\nadd = sub = after = f\nclass C: pass\nA = D = C", tests).status is not RIGHT
    )


@needs_sandbox
def test_a_context_manager_swallows_no_assert() -> None:
    """The program never learns of an exception in the body, so what its `__exit__` returns changes nothing."""
    program = "class C:\n    def __enter__(self): return self\n    def __exit__(self, *error): return True\n    x = 1"
    tests = "c = C()\nassert c.x == 1\nwith c:\n    assert c.x == 2"
    assert verify(program, tests).status is WRONG
    later = program.replace("def __exit__", "async def __aexit__").replace("def __enter__", "async def __aenter__")
    tests = "import asyncio\nasync def main():\n    async with C() as c:\n        assert c.x == 2\nasyncio.run(main())"
    assert verify(later, tests).status is WRONG


@needs_sandbox
@pytest.mark.parametrize(
    "tests",
    [
        "from unittest.mock import patch\nwith patch('random.choice', return_value=3):\n    assert add(1, 2) == 3",
        "import io, contextlib\nout = io.StringIO()\nwith contextlib.redirect_stdout(out):\n    add(1, 2)\n"
        "assert out.getvalue() == '3'",
        "def test(capsys):\n    add(1, 2)\n    assert capsys.readouterr().out == '3'",
        "def test(numbers):\n    assert add(*numbers) == 3",
    ],
)
def test_tests_that_need_one_process_or_a_fixture_are_undecided(tests: str) -> None:
    """Such tests fail for every program, so nothing is decided."""
    for program in (ADD, "def add(a, b): return 9"):
        assert verify(program, tests).status is UNDECIDED
