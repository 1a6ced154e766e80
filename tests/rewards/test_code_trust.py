"""Tests that would take the program at its word, and arguments that change in place."""

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


@pytest.fixture(scope="module", autouse=True)
def _no_zygote_left() -> Iterator[None]:
    """The zygote of these tests ends with them."""
    yield
    host.close_zygote()


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
        "import unittest\nclass T(unittest.TestCase):\n    def test(self):\n"
        "        self.assertTrue(approx(add(1, 2), 3))",
        f"{APPROX}def add(a, b): return 9",
    ),
    "an attribute of a test case": (
        "import unittest\nclass T(unittest.TestCase):\n    def setUp(self):\n        self.got = add(1, 2)\n"
        "    def test(self):\n        self.assertTrue(approx(self.got, 3))",
        f"{APPROX}def add(a, b): return 9",
    ),
    "an alias in a list": (
        "fs = [add, expected]\nassert fs[0](1, 2) == fs[1](1, 2)", "def add(a, b): return 0\nexpected = add"
    ),
    "an alias in a dict": (
        "fs = {'f': add, 'g': expected}\n"
        "assert fs['f'](1, 2) == fs['g'](1, 2)", "def add(a, b): return 0\nexpected = add"
    ),
    "a helper in a list": (
        'checks = [approx]\nassert checks[0](add(1, 2), 3)', f"{APPROX}def add(a, b): return 9"
    ),
    "a class that holds both": (
        'class H:\n    f = staticmethod(add)\n    same = staticmethod(approx)\n'
        'assert H.same(H.f(1, 2), 3)', f"{APPROX}def add(a, b): return 9"
    ),
    "a method that asks": (
        'class H:\n    def go(self): return add(1, 2)\nassert approx(H().go(), 3)', f"{APPROX}def add(a, b): return 9"
    ),
    "a method that checks": (
        'class H:\n    def same(self, a, b): return approx(a, b)\n'
        'assert H().same(add(1, 2), 3)', f"{APPROX}def add(a, b): return 9"
    ),
    "a decorator": (
        'def deco(f):\n    def inner(*a):\n        return approx(f(*a), 3)\n    return inner\n@deco\n'
        'def t(a, b): return add(a, b)\nassert t(1, 2)', f"{APPROX}def add(a, b): return 9"
    ),
    "an inner function": (
        'def outer(f):\n    def inner(a, b):\n        return approx(f(a, b), 3)\n    return inner\n'
        'assert outer(add)(1, 2)', f"{APPROX}def add(a, b): return 9"
    ),
    "a function handed to map": (
        'def check(got):\n    assert approx(got, 3)\nlist(map(check, [add(1, 2)]))', f"{APPROX}def add(a, b): return 9"
    ),
    "setdefault": (
        'got = {}\ngot.setdefault(1, []).append(add(1, 2))\n'
        'assert approx(got[1][0], 3)', f"{APPROX}def add(a, b): return 9"
    ),
    "a generator": (
        'def answers():\n    yield add(1, 2)\nfor got in answers():\n'
        '    assert approx(got, 3)', f"{APPROX}def add(a, b): return 9"
    ),
    "a match": (
        'match add(1, 2):\n    case got:\n        assert approx(got, 3)', f"{APPROX}def add(a, b): return 9"
    ),
    "a method of a test case": (
        'import unittest\nclass T(unittest.TestCase):\n    def same(self, a, b): return approx(a, b)\n'
        '    def test(self): self.assertTrue(self.same(add(1, 2), 3))', f"{APPROX}def add(a, b): return 9"
    ),
    "an attribute of the class of a test case": (
        'import unittest\nclass T(unittest.TestCase):\n    f = staticmethod(add)\n'
        '    def test(self): self.assertTrue(approx(self.f(1, 2), 3))', f"{APPROX}def add(a, b): return 9"
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
        "run = lambda v: f(v)\ngot = run(xs)\nassert got == sorted(xs)",
        "def run(v): return f(v)\ngot = run(xs)\nassert got == sorted(xs)",
        "v = xs\ngot = f(v)\nassert got == sorted(xs)",
        "got = f(xs=xs)\nassert got == sorted(xs)",
        "fs = [f]\ngot = fs[0](xs)\nassert got == sorted(xs)",
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
