"""What the code verifier takes besides plain functions and asserts, each beside the program that would abuse it."""

import base64
import json
import pickle
import sys
import time
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from rlpath.core.types import Status
from rlpath.rewards import CodeVerifier, as_trl_reward
from rlpath.rewards.sandbox import Limits, host, missing_protections
from rlpath.rewards.verifiers.code_blocks import find_program
from rlpath.rewards.verifiers.code_rows import BadTests
from rlpath.rewards.verifiers.code_tests import parse_tests

MISSING = missing_protections() if sys.platform == "linux" else {"namespaces": "this is not Linux"}
needs_sandbox = pytest.mark.skipif(bool(MISSING), reason=f"the kernel refuses a sandbox: {MISSING}")
verify = CodeVerifier(limits=Limits(seconds=20))
RIGHT, WRONG, UNDECIDED = Status.CORRECT, Status.WRONG, Status.UNDECIDED
ADD = "def add(a, b):\n    return a + b\n"
ASSERTS = "assert add(1, 2) == 3\nassert add(-5, 5) == 0"
CASES = json.dumps({"function": "add", "cases": [[[1, 2], 3]]})
CHECK = json.dumps({"test": "def check(candidate):\n    assert candidate(1, 2) == 3\n", "entry_point": "add"})


@pytest.fixture(scope="module", autouse=True)
def _no_zygote_left() -> Iterator[None]:
    """The zygote of these tests ends with them."""
    yield
    host.close_zygote()


FENCED = f"```python\n{ADD}```\n"
FOLLOWED = {
    "usage": f"{FENCED}For example:\n```python\nprint(add(1, 2))\n```",
    "usage with a result": f"{FENCED}```python\nresult = add(1, 2)\nprint(result)  # 3\n```",
    "import of the solution": f"{FENCED}```python\nfrom solution import add\nprint(add(1, 2))\n```",
    "output in a text block": f"{FENCED}Output:\n```text\n3\n```",
    "output in a bare block": f"{FENCED}Output:\n```\n3\n```",
    "output that is no Python": f"{FENCED}```\nThe sum is 3.\n```",
    "asserts": f"{FENCED}Tests:\n```python\nassert add(1, 2) == 3\nassert add(0, 0) == 0\n```",
    "a session": f"{FENCED}```\n>>> add(1, 2)\n3\n```",
    "a session tagged python": f"{FENCED}```python\n>>> add(1, 2)\n3\n```",
    "a shell command": f"{FENCED}```bash\npython add.py\n```",
    "a bare shell command": f"{FENCED}```\n$ python add.py\n3\n```",
    "a test function": f"{FENCED}```python\ndef test_add():\n    assert add(1, 2) == 3\ntest_add()\n```",
    "a unittest class": f"{FENCED}```python\nimport unittest\nclass TestAdd(unittest.TestCase):\n    pass\n```",
    "a main block": f"{FENCED}```python\nif __name__ == '__main__':\n    print(add(1, 2))\n```",
    "usage and output": f"{FENCED}```python\nprint(add(1, 2))\n```\n```\n3\n```",
    "a comparison with another name": f"{FENCED}```python\nx = add\nassert x(1, 2) == 3\n```",
    "an equality at the start of a line": f"{FENCED}```python\nadd == add\n```",
    "an empty block": f"{FENCED}```python\n```",
    "JSON": f'{FENCED}```json\n{{"add": 3}}\n```',
    "a draft before": f"```python\ndef add(a, b): return 0\n```\nBetter:\n{FENCED}Use:\n```python\nadd(1, 2)\n```",
    "tags": f"[PYTHON]\n{ADD}[/PYTHON]",
    "tags on a line": f"Here: [PYTHON]{ADD}[/PYTHON] and so on",
    "tags and tests": f"[PYTHON]\n{ADD}[/PYTHON]\n[TESTS]\nassert add(1, 2) == 3\n[/TESTS]",
    "an answer without a fence": f"<think>plus</think><answer>\n{ADD}</answer>",
    "an answer with a fence": f"Easy.\n<answer>\n{FENCED}</answer>",
    "an answer cut by a stop string": f"<answer>{ADD}",
    "a code tag": f"<code>\n{ADD}</code>",
    "prose in the answer tag": f"{FENCED}<answer>See above.</answer>",
    "a lambda": "```python\nadd = lambda a, b: a + b\n```\n```python\nprint(add(1, 2))\n```",
    "an annotated name": "```python\nfrom typing import Any\nadd: Any = lambda a, b: a + b\n```\n```\n3\n```",
    "a method": "```python\nclass Solution:\n    def add(self, a, b): return a + b\n```\n```\nSolution().add(1, 2)\n```",
}  # fmt: skip


@needs_sandbox
@pytest.mark.parametrize("name", FOLLOWED)
def test_a_solution_among_other_blocks_is_found(name: str) -> None:
    """Usage, output, sessions and asserts behind a right program change nothing, for every kind of tests."""
    for gold in (ASSERTS, CASES, CHECK):
        verdict = verify(FOLLOWED[name], gold)
        assert verdict.correct, (gold, verdict)


@needs_sandbox
@pytest.mark.parametrize(
    "completion",
    [
        f"{FENCED}Or:\n```python\ndef add(a, b): return 0\n```",
        f"{FENCED}Or:\n```python\nadd = lambda a, b: 0\n```",
        f"{FENCED}Wait:\n```python\ndef add(a, b) return a + b\n```",
        f"{FENCED}Or:\n<answer>\ndef add(a, b): return 0\n</answer>",
        f"[PYTHON]\n{ADD}[/PYTHON]\n[PYTHON]\ndef add(a, b): return 0\n[/PYTHON]",
        f"<think>{FENCED}</think>```python\nprint(3)\n```",
        "```python\nfrom solution import add\n```",
    ],
)
def test_the_last_definition_counts(completion: str) -> None:
    """Two definitions are not two attempts: the later one is judged, also where it does not compile."""
    for gold in (ASSERTS, CASES, CHECK):
        assert verify(completion, gold).status is WRONG, completion


@needs_sandbox
def test_a_script_among_other_blocks_is_found() -> None:
    """The last block that reads stdin is the script; a wrong one behind it counts."""
    gold = json.dumps([{"stdin": "1 2\n", "stdout": "3\n"}])
    script = "```python\na, b = map(int, input().split())\nprint(a + b)\n```\n"
    for after in ("```\n3\n```", "Input:\n```\n1 2\n```\nOutput:\n```\n3\n```", "```\n$ echo 1 2 | python sum.py\n```"):
        assert verify(script + after, gold).correct, after
    assert verify(f"{script}```python\ninput()\nprint(4)\n```", gold).status is WRONG
    assert verify("```python\nprint(3)\n```\n```\n3\n```", gold).correct  # it does what is asked


def test_a_block_that_is_cut_is_not_whole() -> None:
    """A completion that ends within a later block may have been about to correct itself."""
    names = frozenset({"add"})
    assert find_program(FENCED, names) == ([FENCED, ADD], True)
    assert find_program(f"{FENCED}```python\nprint(", names)[1] is False
    assert find_program(f"<answer>{ADD}", names)[1] is False


def test_finding_tags_is_linear() -> None:
    """100 kB of tags take no time."""
    start = time.monotonic()
    for unit in ("<answer>", "[PYTHON]", "</answer>", "<answer>\n```\n", "<code>[PYTHON]```", "a: ", "x" * 99 + "\n"):
        find_program(unit * (100_000 // len(unit)), frozenset({"add"}))
        find_program(unit * (100_000 // len(unit)), None)
    assert time.monotonic() - start < 2


APPROX = "def approx(a, b): return True\n"
WORD = {
    "the program's own approx": ("assert approx(add(1, 2), 3)", f"{APPROX}def add(a, b): return 9"),
    "through a variable": ("got = add(1, 2)\nassert approx(got, 3)", f"{APPROX}def add(a, b): return 9"),
    "through a list": (
        "got = []\ngot.append(add(1, 2))\nassert approx(got[0], 3)", f"{APPROX}def add(a, b): return 9"
    ),
    "through a function of the tests": (
        "def same(x, y):\n    assert approx(x, y)\nsame(add(1, 2), 3)", f"{APPROX}def add(a, b): return 9"
    ),
    "through what a function returns": (
        "def get():\n    return add(1, 2)\nassert approx(get(), 3)", f"{APPROX}def add(a, b): return 9"
    ),
    "through a loop": (
        "for got in [add(1, 2)]:\n    assert approx(got, 3)", f"{APPROX}def add(a, b): return 9"
    ),
    "through a comprehension": (
        "assert all(approx(x, 3) for x in [add(1, 2)])", f"{APPROX}def add(a, b): return 9"
    ),
    "within check": (
        "def check(candidate):\n    assert approx(candidate(1, 2), 3)\ncheck(add)", f"{APPROX}def add(a, b): return 9"
    ),
    "an expected value of its own": (
        "assert add(1, 2) == expected(1, 2)", "def add(a, b): return 0\ndef expected(a, b): return 0"
    ),
    "a difference of two answers": (
        "assert abs(add(1, 2) - expected(1, 2)) < 1", "def add(a, b): return 0\ndef expected(a, b): return 0"
    ),
    "an instance that checks": (
        "c = Checker()\nassert c.same(add(1, 2), 3)",
        "class Checker:\n    def same(self, a, b): return True\ndef add(a, b): return 0",
    ),
    "a class that converts": (
        "assert Wrap(add(1, 2)).value == 3",
        "class Wrap:\n    def __init__(self, x): self.value = 3\ndef add(a, b): return 0",
    ),
    "encoding and decoding": (
        "assert decode(encode('abc')) == 'abc'", "def encode(s): return s\ndef decode(s): return s"
    ),
    "unittest": (
        "import unittest\nclass T(unittest.TestCase):\n    def test(self):\n        self.assertTrue(approx(add(1, 2), 3))",
        f"{APPROX}def add(a, b): return 9",
    ),
    "an attribute of a test case": (
        "import unittest\nclass T(unittest.TestCase):\n    def setUp(self):\n        self.got = add(1, 2)\n"
        "    def test(self):\n        self.assertTrue(approx(self.got, 3))",
        f"{APPROX}def add(a, b): return 9",
    ),
}  # fmt: skip


@needs_sandbox
@pytest.mark.parametrize("name", WORD)
def test_the_program_is_not_taken_at_its_word(name: str) -> None:
    """Where a name of the program's decides over an answer of the program's, the tests decide nothing."""
    tests, cheat = WORD[name]
    verdict = verify(cheat, tests)
    assert verdict.status is UNDECIDED
    assert "which only the program defines" in verdict.reason
    assert CodeVerifier(trust_helpers=True)(cheat, tests).correct  # the hole that is closed by default


@needs_sandbox
def test_helpers_that_decide_nothing_or_are_known() -> None:
    """Several functions under test, classes that make input, and names of the standard library are no helpers."""
    two = "def add(a, b): return a + b\ndef sub(a, b): return a - b"
    assert verify(two, "assert add(1, 2) == 3\nassert sub(2, 1) == 1").correct
    assert verify(two, "assert add(1, 2) == 3 and sub(2, 1) == 1").correct
    assert verify(two.replace("a - b", "0"), "assert add(1, 2) == 3\nassert sub(2, 1) == 1").status is WRONG
    pair = "class Pair:\n    def __init__(self, a, b): self.a, self.b = a, b\ndef span(ps): return ps[0].b - ps[0].a"
    assert verify(pair, "assert span([Pair(5, 24)]) == 19").correct
    count = "from collections import Counter\ndef count(s): return Counter(s)"
    assert verify(
        count, "assert count('aab') == Counter('aab')\nassert count('b').most_common(1) == [('b', 1)]"
    ).correct
    liar = (
        "class Counter:\n    __eq__ = lambda s, o: True\n    def __init__(s, *a): pass\ndef count(s): return Counter()"
    )
    assert verify(liar, "assert count('aab') == Counter('aab')").status in (WRONG, UNDECIDED)
    cheat = "def isclose(a, b): return True\ndef half(x): return 9"
    assert verify(cheat, "assert isclose(half(1), 0.5)").status is WRONG
    assert verify("def half(x): return x / 2", "assert isclose(half(1), 0.5)").correct
    assert verify("def gcd(a, b):\n    return a if not b else gcd(b, a % b)", "assert gcd(12, 8) == 4").correct
    assert verify("def gcd(a, b): return 1", "assert gcd(12, 8) == 4").status is WRONG


@needs_sandbox
def test_changes_in_place_beside_a_result() -> None:
    """An argument changes as the program changed it where the tests compare it with values of their own alone."""
    remove = "def f(xs):\n    xs[:] = sorted(set(xs))\n    return len(xs)"
    for tests in (
        "nums = [2, 1, 1]\nk = f(nums)\nassert k == 2\nassert nums[:k] == [1, 2]",
        "nums = [2, 1, 1]\nassert f(nums) == 2\nassert nums == [1, 2]",
        "for nums, want in [([2, 1, 1], [1, 2])]:\n    k = f(nums)\n    assert k == 2\n    assert nums[:k] == want",
        "def check(candidate):\n    nums = [2, 1, 1]\n    k = candidate(nums)\n    want = [1, 2]\n"
        "    assert k == len(want)\n    for i in range(k):\n        assert nums[i] == want[i]\ncheck(f)",
        "from collections import deque\nd = deque([3, 1])\nassert g(d) == 3\nassert d == deque([1])",
    ):
        program = f"{remove}\ndef g(d): return d.popleft()"
        verdict = verify(program, tests)
        assert verdict.correct, (tests, verdict.reason)
        lazy = "def f(xs): return len(set(xs))\ndef g(d): return d[0]"
        assert verify(lazy, tests).status is WRONG, tests


@needs_sandbox
@pytest.mark.parametrize(
    "tests",
    [
        "got = f(xs)\nassert got == sorted(xs)",
        "want = xs\ngot = f(xs)\nassert got == sorted(want)",
        "def same(a, b):\n    assert a == b\nsame(f(xs), sorted(xs))",
        "got = f(xs)\nassert len(got) == len(xs)\nassert all(x in got for x in xs)",
        "got = f(xs)\nassert set(got) - set(xs) == set()\nassert len(got) == len(xs)",
        "import unittest\nclass T(unittest.TestCase):\n    def test(self):\n        got = f(xs)\n"
        "        self.assertEqual(got, sorted(xs))",
        "def check(candidate):\n    got = candidate(xs)\n    assert got == sorted(xs)\ncheck(f)",
    ],
)
def test_a_program_cannot_empty_what_its_answer_is_compared_with(tests: str) -> None:
    """Where an argument meets the answer, the tests keep what they handed over."""
    tests = f"xs = [3, 1, 2]\n{tests}"
    assert verify("def f(xs): return sorted(xs)", tests).correct
    assert verify("def f(xs):\n    xs.clear()\n    return xs", tests).status is WRONG


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
        "import os\ndef f(k):\n    import struct, json\n    d = json.dumps({'value': {'n': ['T', [[]], [1]]}}).encode()\n"
        "    os.write(4, struct.pack('!I', len(d)) + d)\n    return 1",
    )
    for cheat in forged:
        assert verify(cheat, "assert f(0) == 3").status is WRONG


@needs_sandbox
def test_coroutines() -> None:
    """A program may run an event loop, and tests may await its coroutines; one that nobody awaits is no answer."""
    program = "import asyncio\nasync def f(x):\n    await asyncio.sleep(0)\n    return x + 1\n"
    assert verify(f"{program}def g(x): return asyncio.run(f(x))", "assert g(1) == 2\nassert g(2) == 3").correct
    threads = f"{program}async def h(x):\n    return await asyncio.to_thread(lambda: x + 1)\ndef g(x): return asyncio.run(h(x))"
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
    nothing = "import unittest\nclass T(unittest.TestCase):\n    def test(self):\n        add(1, 2)\n        self.skipTest('')"
    assert verify(ADD, f"{nothing}\n        self.assertEqual(1, 1)").status is WRONG
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
        "import unittest\nclass T(unittest.TestCase):\n    def test(self):\n        with self.assertRaises(Broke): pay(9)",
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


def packed(cases: list[dict[str, str]]) -> str:
    return base64.b64encode(zlib.compress(pickle.dumps(json.dumps(cases)))).decode()


FUNCTIONAL = [{"input": "[1, 2]\n3", "output": "6", "testtype": "functional"}]
STDIN = [{"input": "1 2\n", "output": "3\n", "testtype": "stdin"}]
ROWS: dict[str, tuple[dict[str, Any], str]] = {
    "APPS, script": (
        {"problem_id": 1, "question": "Add.", "solutions": "[]", "difficulty": "interview", "url": "", "starter_code": "",
         "input_output": json.dumps({"inputs": ["1 2\n"], "outputs": ["3\n"]})},
        "print(sum(map(int, input().split())))",
    ),
    "APPS, lines": (
        {"input_output": {"inputs": [["1", "2"]], "outputs": [["3"]]}}, "print(int(input()) + int(input()))",
    ),
    "APPS, function": (
        {"input_output": json.dumps({"fn_name": "add", "inputs": [[1, 2], [0, 0]], "outputs": [3, 0]}), "url": ""}, ADD,
    ),
    "APPS, function in a list of one": (
        {"input_output": json.dumps({"fn_name": "add", "inputs": [[1, 2], [0, 0]], "outputs": [[3], [0]]})}, ADD,
    ),
    "LiveCodeBench, script": (
        {"question_title": "A", "question_content": "Add.", "platform": "atcoder", "question_id": "a", "contest_id": "1",
         "contest_date": "2024-01-01", "starter_code": "", "difficulty": "easy", "metadata": "{}",
         "public_test_cases": json.dumps(STDIN), "private_test_cases": packed(STDIN)},
        "print(sum(map(int, input().split())))",
    ),
    "LiveCodeBench, function": (
        {"public_test_cases": json.dumps(FUNCTIONAL), "private_test_cases": packed(FUNCTIONAL),
         "metadata": '{"func_name": "total"}', "starter_code": "class Solution: ..."},
        "class Solution:\n    def total(self, xs, y): return sum(xs) + y",
    ),
    "HumanEval": (
        {"task_id": "HumanEval/0", "prompt": "def add(a, b):\n    '''Add.'''\n", "entry_point": "add",
         "canonical_solution": "    return a + b\n", "test": "METADATA = {}\ndef check(candidate):\n    assert candidate(1, 2) == 3"},
        ADD,
    ),
    "MBPP": (
        {"task_id": 2, "text": "Add.", "code": ADD, "test_list": ["assert add(1, 2) == 3"], "test_setup_code": "",
         "challenge_test_list": []}, ADD,
    ),
    "MBPP, sanitized": (
        {"source_file": "a", "task_id": 2, "prompt": "Add two numbers.", "code": ADD, "test_imports": ["import math"],
         "test_list": ["assert math.isclose(add(1, 2), 3)"]}, ADD,
    ),
}  # fmt: skip


@needs_sandbox
@pytest.mark.parametrize("name", ROWS)
def test_rows_of_data_sets(name: str) -> None:
    """A row as it is published holds its tests: a right program passes, and one that ignores its input fails."""
    row, program = ROWS[name]
    verdict = verify(program, json.dumps(row))
    assert verdict.correct, verdict.reason
    assert as_trl_reward(verify)(prompts=[""], completions=[program], gold=[row]) == [1.0]
    for cheat in ("print(0)", "def add(a, b): return 0", "class Solution:\n    def total(self, *a): return 0"):
        assert verify(cheat, json.dumps(row)).status is WRONG


class Run:
    def __reduce__(self) -> Any:
        return (print, ("unpickled",))


@pytest.mark.parametrize(
    "row",
    [
        {"public_test_cases": "[]", "private_test_cases": base64.b64encode(zlib.compress(pickle.dumps(Run()))).decode()},
        {"public_test_cases": "[]", "private_test_cases": base64.b64encode(zlib.compress(b"no pickle")).decode()},
        {"public_test_cases": "[]", "private_test_cases": base64.b64encode(zlib.compress(b"0" * 300_000_000)).decode()},
        {"public_test_cases": "[]", "private_test_cases": "!!"},
        {"public_test_cases": "[]"},
        {"public_test_cases": json.dumps(FUNCTIONAL)},
        {"public_test_cases": json.dumps(FUNCTIONAL + STDIN), "metadata": '{"func_name": "total"}'},
        {"public_test_cases": json.dumps(STDIN), "unknown": 1},
        {"public_test_cases": "[1]"},
        {"input_output": "["},
        {"input_output": "[]"},
        {"input_output": "{}"},
    ],
)  # fmt: skip
def test_broken_rows_are_refused(row: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """A row without readable tests, or with a pickle of anything but text, is refused; nothing is unpickled."""
    with pytest.raises(BadTests):
        parse_tests(row)
    assert capsys.readouterr().out == ""


@needs_sandbox
def test_programs_that_loop_wait_together() -> None:
    """Three programs that loop until their limit of a second are judged in one second and a bit, not in three."""
    reward = as_trl_reward(CodeVerifier(limits=Limits(seconds=1)), gold="tests")
    reward(prompts=[""], completions=[ADD], tests=[CASES])  # starts the zygote
    start = time.monotonic()
    assert reward(prompts=[""] * 3, completions=["while True: pass"] * 3, tests=[CASES] * 3) == [0.0] * 3
    assert time.monotonic() - start < 2.5
