"""Which part of a completion is the program, and that two attempts are one too many."""

import json
import sys
import time
from collections.abc import Iterator

import pytest

from rlpath.core.types import Status
from rlpath.rewards import CodeVerifier
from rlpath.rewards.sandbox import Limits, host, missing_protections
from rlpath.rewards.verifiers.code_blocks import find_program

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
    "a method": "```py\nclass Solution:\n    def add(self, a, b): return a + b\n```\n```\nSolution().add(1, 2)\n```",
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
    found = find_program(FENCED, names)
    assert (found.sources, found.whole) == ([FENCED, ADD], True)
    assert not find_program(f"{FENCED}```python\nprint(", names).whole
    assert not find_program(f"<answer>{ADD}", names).whole


def test_finding_tags_is_linear() -> None:
    """100 kB of tags take no time."""
    start = time.monotonic()
    for unit in ("<answer>", "[PYTHON]", "</answer>", "<answer>\n```\n", "<code>[PYTHON]```", "a: ", "x" * 99 + "\n"):
        find_program(unit * (100_000 // len(unit)), frozenset({"add"}))
        find_program(unit * (100_000 // len(unit)), None)
    assert time.monotonic() - start < 2
