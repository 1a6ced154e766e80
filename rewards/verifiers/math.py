r"""`MathVerifier`: is the final answer mathematically the gold answer?

Both are parsed by our own grammar to a small tree; nothing a model wrote is ever evaluated as code.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from rlpath.core.types import Status, Verdict
from rlpath.rewards.guard import guarded
from rlpath.rewards.maths.compare import agree, synonyms
from rlpath.rewards.maths.expressions import GoldTooLarge
from rlpath.rewards.maths.form import asked_decimals, form_problem, item_count
from rlpath.rewards.maths.lexer import MAX_LENGTH
from rlpath.rewards.maths.parser import parse
from rlpath.rewards.maths.rounding import rounded
from rlpath.rewards.maths.tree import Node, Num, Text, Unreadable
from rlpath.rewards.maths.values import Clock, TooLarge, Undefined
from rlpath.rewards.reading.extract import Said, Statement, doubtful, hear, part_of_more, said
from rlpath.rewards.reading.literals import ANY_NUMBER, hedged
from rlpath.rewards.reading.regions import is_sentence, last_region, offered_elsewhere, region_of
from rlpath.rewards.reading.vocabulary import denied, has_alternative
from rlpath.rewards.reading.wording import in_symbols, like_gold

_EMPHASIS = re.compile(r"^(\*\*|__|\*|`)([^*_`]+)\1$")
_WORKING = re.compile(r"(-?[\d.,{}\\!]*\d)(?:\s|\\ )+\(([^()]+)\)")
_INTEGER = re.compile(r"-?\d{1,15}")
_COMMA = re.compile(r"(?<=\d),(?=[1-9]|0(?!\d))")
_RELATES = re.compile(
    r"\b(?:after|before|until|since|between|beside|near|than|from|of|next to|opposite|follows) (?:an? |the )?$"
)
_LABEL = re.compile(r"(?<![\w\\])([A-Za-z](?:_\d)?)\s*=\s*\$?$")
_DRESS = re.compile(r"\\(?:left|right|displaystyle)(?![A-Za-z])|\\[,;:! ]|(?<=\\)[dt](?=frac)|[\s$]")
_WORDS_DRESS = re.compile(r"\\(?:text|mathrm)(?![A-Za-z])|[{}.]")
_PARTED = re.compile(r"(?<=[\w,])\s+(?=\w)")
_PARTED_DIGITS = re.compile(r"(?<=\d)[{}._]+(?=\d)|\}\{")


@dataclass(frozen=True)
class MathVerifier:
    r"""Accepts a completion whose one final answer is mathematically equal to the gold answer and of its type.

    The gold may be a number, an expression, an interval, a set or list, a tuple, a matrix, an equation, an
    inequality or words, in LaTeX or plain. 0.333 is not 1/3; an exact value may be what a
    decimal gold answer of four digits or more rounds. With `question` given, an answer that only repeats the question's
    expression is refused. `seconds` bounds the work on one
    completion, in any thread.

    >>> verify = MathVerifier()
    >>> verify(r"so the area is $\boxed{\dfrac{3\sqrt{3}}{4}}$.", r"\frac{\sqrt{27}}{4}").status
    <Status.CORRECT: 'correct'>
    >>> verify(r"\boxed{[-2, 7)}", r"x \in [-2,7]").status
    <Status.WRONG: 'wrong'>
    >>> verify("The solutions are x = 2 or x = 1.", "1, 2").status
    <Status.CORRECT: 'correct'>
    >>> verify(r"\boxed{37 \cdot 43}", "1591", question=r"What is $37 \cdot 43$?").reason
    "the question's own expression, not its value"
    """

    seconds: float = 1.0

    @guarded
    def __call__(self, completion: str, gold: str, *, question: str | None = None, truncated: bool = False) -> Verdict:
        wanted = read_gold(gold)
        if not wanted.text:
            return Verdict.of(Status.UNDECIDED, reason="the gold answer is empty")
        if wanted.is_prose:
            return Verdict.of(Status.UNDECIDED, reason="the gold answer is prose: no one answer is marked in it")
        heard = hear(completion, question, truncated=truncated)
        if isinstance(heard, Verdict):
            return heard
        judge = _Judge(wanted, question, Clock(self.seconds))
        return judge.statements(heard) if heard.statements else judge.last(heard)


@dataclass(frozen=True, slots=True)
class Gold:
    """A gold answer: its text without a box around it, its tree where it has one, and how many answers it lists."""

    text: str
    tree: Node | None
    plain: str
    count: int
    is_prose: bool


MOST_GOLD_WORDS = 5  # an answer in words is shorter, such as "no real solutions"; what is longer is a solution
_WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{2,}")


@lru_cache(maxsize=4096)
def read_gold(gold: str) -> Gold:
    """The gold answer as text and tree; a worked solution counts by its one box or `####` line."""
    heard = said(gold)
    text = heard.text.strip()
    stated = {s.text.strip() for s in heard.statements if s.channel in ("box", "hashes", "tag")}
    if len(stated) == 1:
        text = stated.pop()
    prose = len(_WORD.findall(text)) > MOST_GOLD_WORDS
    try:
        tree = _read(text.rstrip("."))
        return Gold(text, tree, _plain(text), item_count(tree), prose)
    except Unreadable:
        return Gold(text, None, _plain(text), 1, prose)


@lru_cache(maxsize=4096)
def _read(text: str) -> Node:
    """The tree of `text`. It is kept: the completions of a group give the same few answers."""
    return parse(in_symbols(text))


class _Judge:
    """One completion's judging: the gold, the question and the clock that all its comparisons share."""

    def __init__(self, gold: Gold, question: str | None, clock: Clock) -> None:
        self.gold, self.question, self.clock = gold, question, clock

    def statements(self, heard: Said) -> Verdict:
        strong = [s for s in heard.statements if s.channel != "phrase"]
        for s in strong:
            if problem := part_of_more(heard.text, s):
                return Verdict.of(Status.WRONG, s.text[:200], problem)
        verdicts = self._all_of(strong, heard.text) if strong else []
        for statement in heard.statements:
            if statement.channel == "phrase":
                verdict = self._phrase(statement, heard, lone=not strong)
                verdicts += [verdict] if verdict else []
        if not verdicts:
            return self.last(heard)
        wrong = [v for v in verdicts if not v.correct]
        if wrong and len(wrong) < len(verdicts):
            return Verdict.of(Status.WRONG, wrong[-1].answer, "two different final answers")
        if wrong:
            return wrong[-1]
        first, last = heard.statements[0], heard.statements[-1]
        if problem := offered_elsewhere(heard.text, first, last, self._says_the_same, listed=self._listed()):
            return Verdict.of(Status.WRONG, verdicts[-1].answer, problem)
        return verdicts[-1]

    def _says_the_same(self, text: str) -> bool:
        return _Judge(self.gold, None, self.clock).text(region_of(text.strip(), "") or text).correct

    def _listed(self) -> bool:
        return self.gold.count > 1

    def _all_of(self, strong: list[Statement], said: str) -> list[Verdict]:
        """The verdicts on boxes, tags and lines; one where several boxes hold the parts of the answer."""
        texts = list(dict.fromkeys(s.text.strip() for s in strong))
        if len(texts) > 1 and all(s.channel == "box" for s in strong):
            labels = [_LABEL.search(said, max(0, s.start - 20), s.start) for s in strong]
            named = [f"{m.group(1)}={s.text}" for m, s in zip(labels, strong, strict=True) if m]
            parts = named if len(named) == len(strong) else texts if len(texts) <= self.gold.count else []
            if parts and (together := self.text(", ".join(parts))).correct:
                return [together]
        return [self.text(text) for text in texts]

    def _phrase(self, statement: Statement, heard: Said, *, lone: bool) -> Verdict | None:
        """The verdict on "the answer is ..."; None where what follows is not an answer but talk about one."""
        start = statement.end - len(statement.text)
        text = region_of(statement.text, heard.text[max(0, start - 2) : start])
        if text is None:
            return (
                Verdict.of(Status.WRONG, statement.text[:200], "no answer can be read from the sentence")
                if lone
                else None
            )
        verdict = self.text(text)
        if not lone and (verdict.status is Status.NO_ANSWER or (not verdict.correct and self._only_words(text))):
            return None
        return verdict

    def _only_words(self, text: str) -> bool:
        """True for "the answer is correct" where a formula is asked: such words are no second answer."""
        return not isinstance(self.gold.tree, Text) and re.search(r"[\d$\\=]", text) is None and len(text) > 2

    def last(self, heard: Said) -> Verdict:
        """Judge a completion that announces no answer: itself if it is one, else the last thing it states."""
        text = heard.text.strip().rstrip(".").strip()
        if not text:
            return Verdict.of(Status.NO_ANSWER, reason="nothing is said")
        if len(text) <= 400 and "\n" not in text and not is_sentence(text):
            whole = self.text(text)
            if whole.status is not Status.NO_ANSWER:
                return whole
        if isinstance(self.gold.tree, Text):
            return self._in_words(heard.text)
        region = last_region(heard.text, listed=self._listed())
        if region is None:
            return Verdict.of(Status.NO_ANSWER, text[-200:], "no final answer is stated")
        return self.text(region)

    def _in_words(self, said_text: str) -> Verdict:
        """Judge the last sentence where the gold is words: it has to say them, undenied and with no alternative."""
        assert isinstance(self.gold.tree, Text)
        words = self.gold.tree.words
        sentence = re.split(r"(?<=[.!])\s+|\n", said_text.strip().rstrip(".!"))[-1][-300:]
        whole = self.text(sentence)
        if whole.correct:
            return whole
        plain = re.sub(r"[^a-z0-9 ]", " ", re.split(r",? (?:so|thus|hence|therefore)\b", sentence.lower())[-1])
        named = next((w for w in sorted(synonyms(words)) if re.search(rf"\b{re.escape(w)}\b", plain)), None)
        if named is None:
            return Verdict.of(Status.NO_ANSWER, sentence[:200], "no final answer is stated")
        if _RELATES.search(plain.partition(named)[0]):
            return Verdict.of(Status.WRONG, sentence[:200], "something that is named after the answer")
        rest = sentence.lower().replace(named, " ")
        joined = has_alternative(rest) or re.search(r"\b(?:and|but|if)\b", rest)
        if denied(rest) or doubtful(sentence) or sentence.endswith("?") or joined:
            return Verdict.of(Status.WRONG, sentence[:200], "the answer is denied or hedged")
        return Verdict.of(Status.CORRECT, sentence[:200], "the same words")

    def text(self, text: str) -> Verdict:
        """The verdict on one piece of text that is said to be the answer; `no_answer` where it cannot be read."""
        text = _EMPHASIS.sub(r"\2", text.strip().rstrip(".").strip())
        shown = text[:200]
        if len(text) > MAX_LENGTH:
            return Verdict.of(Status.NO_ANSWER, shown, "longer than an answer")
        if _INTEGER.fullmatch(text) and _INTEGER.fullmatch(self.gold.text):
            same = int(text) == int(self.gold.text)
            return Verdict.of(
                Status.CORRECT if same else Status.WRONG, shown, "equal" if same else "a different number"
            )
        if _plain(text) == self.gold.plain:
            return Verdict.of(Status.CORRECT, shown, "the same text")
        try:
            tree = self._parsed(like_gold(text, self.gold.text))
        except Unreadable as problem:
            return self._unparsed(text, str(problem))
        if self.gold.tree is None:
            if _folded(text) == _folded(self.gold.text):
                return Verdict.of(Status.CORRECT, shown, "the same text")
            return Verdict.of(Status.WRONG, shown, "not the gold answer's text, and that cannot be parsed")
        return self._compared(tree, text)

    def _parsed(self, text: str) -> Node:
        """The tree of `text`; where a list is asked for, a comma before three digits separates."""
        if self._listed() and "," in text:
            text = _COMMA.sub(", ", in_symbols(text))
        return _read(text)

    def _unparsed(self, text: str, problem: str) -> Verdict:
        if _folded(text) == _folded(self.gold.text):
            return Verdict.of(Status.CORRECT, text[:200], "the same text")
        several = ANY_NUMBER.search(text) and hedged(text) and not self._listed()
        status = Status.WRONG if several else Status.NO_ANSWER
        return Verdict.of(status, text[:200], f"cannot be read as an answer: {problem}")

    def _compared(self, tree: Node, text: str) -> Verdict:
        assert self.gold.tree is not None
        working = _WORKING.fullmatch(text)
        if working and _says_how(working.group(1), working.group(2), self.clock):
            return self.text(working.group(1))
        try:
            same = agree(tree, self.gold.tree, self.clock) or self._rounds(tree, self.gold.tree)
        except GoldTooLarge:
            return Verdict.of(Status.UNDECIDED, text[:200], "the gold answer is too large to evaluate")
        except (TooLarge, Undefined, Unreadable) as problem:
            return Verdict.of(Status.WRONG, text[:200], f"beyond what is evaluated: {problem}")
        if not same:
            return Verdict.of(Status.WRONG, text[:200], "not equal to the gold answer")
        if self.question and (problem := form_problem(tree, self.gold.tree, self.question)):
            return Verdict.of(Status.WRONG, text[:200], problem)
        return Verdict.of(Status.CORRECT, text[:200], "equal")

    def _rounds(self, tree: Node, gold: Node) -> bool:
        """Whether one is the other rounded: as the gold answer is, or as the question asks."""
        if rounded(tree, gold, self.clock):
            return True
        asked = asked_decimals(self.question or "")
        return (
            asked is not None
            and isinstance(tree, Num)
            and tree.decimals >= asked
            and rounded(gold, tree, self.clock, 3)
        )


def _says_how(value: str, working: str, clock: Clock) -> bool:
    """Whether the brackets in "18 (9 * 2)" hold how 18 came about, and are not multiplied to it."""
    try:
        return agree(parse(in_symbols(working)), parse(in_symbols(value)), clock)
    except (GoldTooLarge, TooLarge, Undefined, Unreadable):
        return False


def _plain(text: str) -> str:
    """`text` without spaces and the dress of TeX, to see that two texts are the same; what it parts stays parted."""
    return _DRESS.sub("", _PARTED.sub("_", text))


def _folded(text: str) -> str:
    """`text` as words, where it is no formula: without braces, points and capitals."""
    text = _WORDS_DRESS.sub("", _PARTED_DIGITS.sub("|", _plain(text)))
    return text.replace("_", "").casefold()
