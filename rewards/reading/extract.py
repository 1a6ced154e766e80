"""Where in a completion the final answer is stated.

A completion may state its answer in several channels: a box, an `<answer>` tag, a `####` line, a sentence such as "the
answer is 18". Every channel counts, so a completion that says two different things has not given one answer. Text
that is thought rather than said (`<think>`), struck out, commented out, or copied from the question does not count.
All scans are linear in the length of the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import Literal, NamedTuple

from rlpath.core.types import Status, Verdict
from rlpath.rewards.reading import surroundings
from rlpath.rewards.reading.vocabulary import DOUBT

MAX_STATEMENTS = 400
MAX_REGION = 500

Channel = Literal["box", "tag", "hashes", "phrase", "last"]

_THINK = r"think|thinking|thought|thoughts|reasoning|scratchpad|reflection|analysis"
_THINK_BLOCK = re.compile(rf"<({_THINK})\b[^<>]*>.*?</\1\s*>", re.I | re.S)
_THINK_OPEN = re.compile(rf"<(?:{_THINK})\b[^<>]*>", re.I)
_THINK_CLOSE = re.compile(rf"</(?:{_THINK})\s*>", re.I)
_HIDDEN = re.compile(
    r"<!--.*?-->|~~[^~\n]*~~|<(s|del|strike)>[^<]*</\1>|\\(?:[bx]?cancel|sout|phantom)\{[^{}]*\}", re.S
)
_COMMENT_LINE = re.compile(r"^[ \t]*%[^\n]*$", re.M)
# The format characters (Unicode category Cf): zero-width and direction marks, soft hyphens, tags.
_INVISIBLE = re.compile(
    "[\u00ad\u0600-\u0605\u061c\u06dd\u070f\u08e2\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff"
    "\ufff9-\ufffb\U000110bd\U000e0001\U000e0020-\U000e007f]"
)
_CALCULATOR = re.compile(r"<<[^<>\n]*>>")
_END_TOKEN = re.compile(r"(?:<\|[^<>|\n]{1,40}\|>|</s>)\s*$")

_BOX = re.compile(r"\\(?:boxed|fbox|framebox)(?![A-Za-z])\s*")
_BARE = re.compile(r"[-+]?\w[\w.,]*")
_BRACES = re.compile(r"\\.|[{}]", re.S)
_PERCENT_BEHIND = re.compile(r"\s*(?:\\\)|\$)?\s*(?:\\?%|percent\b|°|\^\{?\\circ\}?)")
_TAG = re.compile(r"<(answer|final_answer|final)\b[^<>]*>", re.I)
_HASHES = re.compile(r"####+[ \t]*((?:(?!####)[^\n])*)")
_IS = r"(?:is|are|equals|comes(?: out)? to|(?:would|will|should|must|has to|ought to) (?:then |thus |therefore )?be)\b"
_PHRASE = re.compile(
    r"(?<![\w\\/])(?:"
    rf"answers?[ \t]*(?:[*_`]{{0,3}}[:：=]|[*_`]{{1,3}}[ \t]*{_IS}|{_IS})"
    rf"|answers?[ \t]+(?:to|for)\b[^.\n:=]{{0,80}}?[ \t](?:{_IS})"
    r"|final answer[*_`#]{0,3}[ \t]*\n"
    r"|ans(?::|\.(?=[ \t]))"
    r"|(?:answers?|result)[ \t]+(?:-|–|—|->|=>|→)[ \t]"
    r"|(?:respuesta|r[ée]ponse|risposta|resposta|antwort|ответ|lösung|ergebnis|resultado)"
    r"(?: final| finale| correcta| correcte| corretta| correta)?"
    r"[ \t]*(?:[*_`]{0,3}[:：=]|(?:es|est|è|é|ist|lautet|равен|это|—|-)(?!\w))"
    r")[*_`]{0,3}[ \t]*:?[*_`]{0,3}",
    re.I,
)
# What `_PHRASE` begins with, in lower case: to look for it is much faster than to search for the pattern.
_NAME = re.compile(
    "(?:final )?answer|ans[.:]|result|respuesta|r[ée]ponse|risposta|resposta|antwort|ответ|lösung|ergebnis"
)
_PARTS_OF_NAMES = ("ans", "result", "posta", "puesta", "ponse", "antwort", "ergebnis")
_PARTS_BEYOND_ASCII = (*_PARTS_OF_NAMES, "ответ", "lösung")
_ANNOUNCES = re.compile(r"\W*(?:(?:the|my|our|final|correct|is|a) ?)*\W*", re.I)
_CJK_PHRASE = re.compile(
    r"(?:(?:最终|正确|最後の|最終)?(?:答案|答え|解答|正解|答|结果|结论|정답|답변|답)\s*(?:[:：]|是|为|為|は|이|은|는|=)+\s*[:：]?"
    r"|故?答案为)"
)
_SHORT_PHRASE = re.compile(r"^[ \t*_]*A[ \t]*[*_]{0,2}:[*_]{0,2}", re.M)
_SENTENCE_END = re.compile(r"[.?。](?=[\s\"'”’)*_]|$)|(?<!\\)!(?=[\"'”’)*_]*(?:\s+[A-Z]|\s*$))|\n")
_DRESS = re.compile(r"[ \t\n*_`:$\\\[(]*")
_NOT_FINAL = re.compile(
    r"\b(?:if|suppose|assum\w+|unless|some (?:\w+ )?think|whether"
    r"|not|never|(?:might|may|could|would) (?:think|say|guess|argue|claim|expect|answer)|thinks|thought|mistaken\w*"
    r"|students?|someone|somebody|people|naive|tempting|trap|claims?|claimed|says|said|nobody|no one"
    rf"|check\w*|verif\w+|confirm\w*|{DOUBT})\b"
    r"|\b(?:wrong|incorrect|first|second|third|next|each|initial|previous|preliminary|intermediate|partial|tentative)"
    r" (?:\w+ )?answers?\b|n['’]t\b",
    re.I,
)
_CLAUSE_END = re.compile(r"[.!?;:]\s|\n|,?\s(?:so|thus|therefore|hence|but)\s", re.I)
_RETRACTION = re.compile(
    r"\b(?:(?:that|this|it|which|answer|above)(?:'s|’s| is| was| must be| seems| looks)"
    r" (?:all )?(?:wrong|incorrect|not (?:right|correct|true|the (?:final |right |correct )?answer)|an? "
    r"(?:error|mistake)|false|a joke)"
    r"|wait,? no|i(?: a|['’])m not sure|scratch that|disregard|ignore (?:that|this|it|the above|what)"
    r"|(?:just|only) kidding"
    r"|take (?:that|it|this) back|on second thoughts?|i (?:was|am) (?:wrong|mistaken)|made (?:a|an) (?:mistake|error)"
    r"|(?:not|n't|no longer) (?:my|the) (?:final |real |actual )?answer)\b",
    re.I,
)


class Statement(NamedTuple):
    """One place where the completion says what its answer is.

    `complete` is False where the text stops so close behind that a longer answer may have been cut off.
    """

    channel: Channel
    text: str
    start: int
    end: int
    complete: bool


class Said(NamedTuple):
    """A completion without its thoughts, and the statements of an answer found in it, in order."""

    text: str
    statements: tuple[Statement, ...]
    thinking_unclosed: bool
    retracted: bool

    @property
    def flooded(self) -> bool:
        return len(self.statements) > MAX_STATEMENTS


def hear(completion: str, question: str | None = None, *, truncated: bool = False) -> Said | Verdict:
    """What `completion` says, or the verdict where it gives no one answer: cut off, taken back, or given in floods."""
    heard = said(completion, question)
    if truncated:
        heard = heard._replace(statements=tuple(s for s in heard.statements if s.complete))
        if not heard.statements:
            return Verdict.of(Status.TRUNCATED, reason="cut off before a complete final answer")
    if heard.flooded:
        return Verdict.of(Status.WRONG, reason="hundreds of final answers")
    if heard.retracted:
        return Verdict.of(Status.WRONG, reason="the answer is taken back after it was stated")
    return heard


def said(completion: str, question: str | None = None) -> Said:
    """What `completion` says aloud, and where it states an answer."""
    text, unclosed = without_thoughts(completion)
    if question:
        text = without_echo(text, question)
    found = tuple(statements(text))
    return Said(text, found, unclosed, retracted=_retracted(text, found))


def without_thoughts(completion: str) -> tuple[str, bool]:
    """`completion` without reasoning blocks, comments and struck-out text, and whether a reasoning block stayed open.

    >>> without_thoughts("<think>it is 17</think>It is 18.")
    ('It is 18.', False)
    >>> without_thoughts("it is 17</think>It is 18.<think>or 19")
    ('It is 18.', True)
    """
    text = completion
    if not text.isascii():
        text = _INVISIBLE.sub("", text)
    unclosed = False
    if "<<" in text:
        text = _CALCULATOR.sub("", text)
    if text.rstrip()[-1:] == ">":
        text = _END_TOKEN.sub("", text)
    if "<" in text or "~~" in text or "ancel" in text or "\\sout" in text or "\\phantom" in text:
        text = _strip_think_blocks(text)
        opened = _THINK_OPEN.search(text)
        if opened:
            text, unclosed = text[: opened.start()], True
        text = _HIDDEN.sub(" ", text) if text.count("<!--") < 100 else text.split("<!--", 1)[0]
    if "%" in text:
        text = _COMMENT_LINE.sub("", text)
    return text, unclosed


def spoken(completion: str) -> str:
    """`completion` without reasoning blocks and otherwise untouched, for verifiers of the very characters."""
    text = _strip_think_blocks(completion)
    opened = _THINK_OPEN.search(text)
    return text[: opened.start()] if opened else text


def _strip_think_blocks(text: str) -> str:
    closes = list(_THINK_CLOSE.finditer(text))
    if not closes:
        return text
    if len(closes) == 1:
        text = _THINK_BLOCK.sub(" ", text, count=1)
    # What is left in front of a closing tag is thought too: chat templates often put the opening tag in the prompt,
    # and several blocks leave nothing said between them that a reader would take for the answer.
    left = [*_THINK_CLOSE.finditer(text)]
    return text[left[-1].end() :].lstrip("\n") if left else text.strip(" ")


def without_echo(text: str, question: str) -> str:
    """`text` without verbatim copies of the question's sentences, so that its numbers are not read as an answer."""
    for part in _sentences(question):
        if part in text:
            text = text.replace(part, " ")
    return text


@lru_cache(maxsize=4096)
def _sentences(question: str) -> tuple[str, ...]:
    """The question and its sentences, without those too short to be recognized as copied."""
    parts = [question.strip(), *(part.strip() for part in re.split(r"(?<=[.!?:])\s+|\n", question))]
    return tuple(dict.fromkeys(part for part in parts if len(part) >= 16))


def statements(text: str) -> list[Statement]:
    """The statements of an answer in `text`, in order; one nested in another counts once, as the inner one."""
    found = _some(_boxes(text)) if "\\" in text else []
    found += _phrases(text, found)
    if "####" in text:
        found += [s for s in _some(_hash_lines(text)) if not _contains_any(s, found)]
    if "</" in text:
        found += [s for s in _some(_tags(text)) if not _contains_any(s, found)]
    return sorted(found, key=lambda s: s.start) if len(found) > 1 else found


def _some(stream: Iterator[Statement]) -> list[Statement]:
    """Enough of `stream` to see that there are too many."""
    return list(islice(stream, MAX_STATEMENTS + 1))


def _contains_any(outer: Statement, others: list[Statement]) -> bool:
    return any(outer.start <= other.start < outer.end for other in others[: MAX_STATEMENTS + 1])


def _boxes(text: str) -> Iterator[Statement]:
    if "\\boxed" not in text and "\\fbox" not in text and "\\framebox" not in text:
        return
    closing: dict[int, int] | None = None
    done = -1
    for match in _BOX.finditer(text):
        start = match.end()
        if match.start() < done:
            continue
        if braced := text.startswith("{", start):
            if closing is None:
                closing = matching_braces(text, start)
            done = closing.get(start, -1)
            content = text[start + 1 : done] if done > 0 else ""
        else:
            bare = _BARE.match(text, start)
            done = bare.end() if bare else -1
            content = text[start:done] if bare else ""
        if content.strip(" \\,;$~\n\t"):
            end = done + braced
            if sign := _PERCENT_BEHIND.match(text, end):
                content, end = content + sign.group().strip(" $)").removeprefix("\\)"), sign.end()
            yield Statement("box", content, match.start(), end, complete=True)


def matching_braces(text: str, start: int = 0) -> dict[int, int]:
    """For each opening brace from `start` on the index of the one that closes it; escaped braces are ordinary text."""
    closing: dict[int, int] = {}
    stack: list[int] = []
    for match in _BRACES.finditer(text, start):
        if match.group() == "{":
            stack.append(match.start())
        elif match.group() == "}" and stack:
            closing[stack.pop()] = match.start()
    return closing


def _tags(text: str) -> Iterator[Statement]:
    position = 0
    lowered = text.lower() if "<" in text else ""
    while match := _TAG.search(text, position):
        close = lowered.find(f"</{match.group(1).lower()}>", match.end())
        if close < 0:
            return
        content = text[match.end() : close]
        if content.strip():
            yield Statement("tag", content, match.start(), close, complete=True)
        position = close


def _hash_lines(text: str) -> Iterator[Statement]:
    for match in _HASHES.finditer(text):
        content = match.group(1).strip(" #*\t")
        if content and any(c.isalnum() for c in content):
            yield Statement("hashes", content, match.start(), match.end(), complete=match.end() < len(text))


def _phrases(text: str, stronger: list[Statement]) -> list[Statement]:
    found: list[Statement] = []
    markers = _markers(text)
    for n, marker in enumerate(markers):
        start, behind = marker.span()
        end = _region_end(text, behind)
        following = markers[n + 1].start() if n + 1 < len(markers) else len(text) + 1
        if following <= end:
            end = max(behind, following)
            if _ANNOUNCES.fullmatch(text, behind, end):
                continue  # "Final Answer: The final answer is 18" announces one answer
        region = text[behind:end].strip()
        if not region or text[end : end + 1] == "?":
            continue
        if stronger and any(s.start < end and start < s.end for s in stronger):
            continue
        if marker.re is not _SHORT_PHRASE and _NOT_FINAL.search(text, _clause_start(text, start), behind):
            continue
        complete = len(text) > end and not (text[end] == "." and end + 1 == len(text))
        found.append(Statement("phrase", region, start, end, complete))
    return found


def _markers(text: str) -> list[re.Match[str]]:
    """The words that announce an answer, in order."""
    plain = text.isascii()
    lowered = text.lower() if plain else text.replace("İ", "I").lower()  # the one letter whose small form is longer
    found: list[re.Match[str]] = []
    if any(map(lowered.__contains__, _PARTS_OF_NAMES if plain else _PARTS_BEYOND_ASCII)):
        for name in islice(_NAME.finditer(lowered), 2 * MAX_STATEMENTS):
            if found and name.start() < found[-1].end():
                continue
            marker = _PHRASE.match(text, name.start())
            if marker is None and name.group()[0] == "f":
                marker = _PHRASE.match(text, name.end() - len("answer"))
            found += [marker] if marker else []
    if short := [at for at in map(text.find, ("A:", "A*", "A :")) if at >= 0]:
        line = text.rfind("\n", 0, min(short)) + 1
        found += islice(_SHORT_PHRASE.finditer(text, line), 2 * MAX_STATEMENTS)
    if not plain:
        found += islice(_CJK_PHRASE.finditer(text), 2 * MAX_STATEMENTS)
    if len(found) < 2:
        return found
    by_start = {marker.start(): marker for marker in reversed(found)}  # the first kind of two that begin together
    return [by_start[start] for start in sorted(by_start)]


def _region_end(text: str, start: int) -> int:
    """Where the sentence that begins at `start` ends; a marker alone on its line speaks of the next one."""
    if dress := _DRESS.match(text, start):
        start = dress.end()
    limit = min(len(text), start + MAX_REGION)
    stop = _SENTENCE_END.search(text, start, limit)
    return stop.start() if stop and (stop.end() < limit or limit == len(text)) else limit


def doubtful(sentence: str) -> bool:
    """True where `sentence` speaks of an answer that its writer does not give as final ("if the answer is 18")."""
    return "answer" in sentence.lower() and _NOT_FINAL.search(sentence) is not None


def _clause_start(text: str, position: int) -> int:
    if position == 0 or text[position - 1] == "\n":
        return position
    start = max(0, position - 200)
    for end in _CLAUSE_END.finditer(text, start, position):
        start = end.end()
    return start


def _retracted(text: str, found: tuple[Statement, ...]) -> bool:
    """True where the last statement is taken back, behind it or, in a sentence, within."""
    start = found[-1].start if found and found[-1].channel == "phrase" else found[-1].end if found else len(text)
    return _RETRACTION.search(text, start) is not None


def part_of_more(text: str, statement: Statement) -> str:
    """Why what is stated is only a part of something else, or denied; an empty string where it stands alone."""
    return surroundings.part_of_more(text, statement.start, statement.end) if statement.channel == "box" else ""


def last_sentence(text: str, has: re.Pattern[str]) -> tuple[str, int] | None:
    """The last sentence of `text` in which `has` is found, with its offset."""
    bounds = [0, *(m.end() for m in _SENTENCE_END.finditer(text)), len(text)]
    for start, end in zip(reversed(bounds[:-1]), reversed(bounds[1:]), strict=True):
        if has.search(text, start, end):
            return text[start:end], start
    return None
