"""Which part of a sentence is the mathematical answer it states, and whether the text offers another one."""

from __future__ import annotations

import re
from collections.abc import Callable

from rlpath.rewards.reading.extract import Statement, doubtful, last_sentence
from rlpath.rewards.reading.literals import hedged, plain
from rlpath.rewards.reading.vocabulary import JOINT, OFFERS, OFFERS_LATER, QUANTITY, begins_denied, denied

MAX_TEXT = 2000
_SPAN = re.compile(r"\$\$(.+?)\$\$|(?<!\\)\$((?:[^$\n\\]|\\.)+)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.S)
_STOP = re.compile(
    r"(?:,?\s+(?:because|since|as|which|where|when|for (?:all|any|every|each)|so|thus|hence|given|"
    r"therefore|by|if|using|from|after|"
    rf"and (?:so|thus|hence|therefore))\b|\s+to (?!{QUANTITY})(?=[a-z]{{2}})|\s*;\s|\s+\((?=[a-z]{{2}})"
    r"|,\s+(?:not|i\.e\.|that is|obtained|found)\b)",
    re.I,
)
_LEAD = re.compile(
    r"^(?:[\s:*_`\"]|\\text\{[^{}]*(?:is|=|:)\s*\}|so|hence|exactly|only|just|simply|therefore|thus|then|"
    r"indeed|clearly|given by|equal to|the (?:number|integer|value|set|interval|point|"
    r"expression|fraction|matrix|vector|equation|function)(?: of)?|option|choice)+(?=\W|\d)",
    re.I,
)
_SAYS = re.compile(
    r"\b(?:is|are|equals|be|gives?|get|obtain|have|becomes|yields?|namely|to)\b:?\s*|(?<=\w)['’]s\s+", re.I
)
_SAYS_NEXT = re.compile(r"\b(?:is|are|equals|be|gives?|get|obtain|becomes|yields?|namely)\b:?\s*$", re.I)
_IS_THE_ANSWER = re.compile(
    r"(?:^|,\s*|\b(?:so|thus|hence|therefore)\b,?\s*)(\S[^.\n]{0,80}?) is (?:the|our|my) (?:final |correct )?answer$",
    re.I,
)
_SAME_THING = re.compile(
    r"^\W*(?:equivalently|simply|in other words|approximately|about|roughly|just|so|we|the|this|that|thus|"
    r"hence|therefore)\b",
    re.I,
)
_OFFERING = re.compile(r"\b(?:or|maybe|perhaps|possibly)\W*$", re.I)
_OR_BEFORE = re.compile(
    r"(?:[\d$)}\]]\W{0,6}|\b(?:either|perhaps|maybe|possibly)\b[^.\n]{0,30})\bor\W*$|\b(?:maybe|perhaps|possibly)\W*$",
    re.I,
)
_DRESS = "}$) *_`\\]."
_BESIDE = re.compile(r"^(?:[,;/&]\s*|\{)?\$?(\d[\d.]*)")


def spans(text: str) -> list[tuple[int, int, str]]:
    """Start, end and content of each piece of mathematics between dollar signs or TeX brackets, near the beginning."""
    found = _SPAN.finditer(text[:MAX_TEXT])
    return [(m.start(), m.end(), next(g for g in m.groups() if g is not None)) for m in found]


def is_sentence(text: str) -> bool:
    """True where mathematics stands among words rather than alone."""
    found = spans(text)
    outside = (
        _SPAN.sub(" ", text)
        if found
        else re.sub(r"\\(?:text|mbox|mathrm|operatorname)\{[^{}]*\}|\\[A-Za-z]+", " ", text)
    )
    words = re.findall(r"[A-Za-z]{2,}", outside)
    return bool(words) if found else len(words) > 4


def region_of(text: str, before: str) -> str | None:
    """The answer in what follows "the answer is"; None where it does not start with one."""
    opened = next((mark for mark in ("$", "\\(", "\\[") if before.rstrip().endswith(mark)), "")
    text = opened + text
    if begins_denied(text):
        return None
    found = spans(text)
    if found and _LEAD.sub("", text[: found[0][0]]).strip(" :*_`(") == "":
        return _joined(text, found)
    bare = _LEAD.sub("", text.lstrip("$\\([ "), count=1) if opened else _LEAD.sub("", text, count=1)
    stop = _STOP.search(bare)
    return (bare[: stop.start()] if stop else bare).strip(' *_`$"') or None


def _joined(text: str, found: list[tuple[int, int, str]]) -> str:
    """The first span, with those that follow it in a list, and a unit behind the last."""
    parts, end = [found[0][2]], found[0][1]
    for start, stop, content in found[1:]:
        between = text[end:start]
        if not JOINT.fullmatch(between):
            break
        parts.append(content)
        end = stop
    tail = re.match(r"\s*(?:\\?%|percent|degrees|[a-z]{1,12}\s*(?:\^\d)?)(?=\s*$)", text[end:].rstrip(" ."))
    return ", ".join(parts) + (
        f" \\text{{{tail.group().strip()}}}" if tail and len(parts) == 1 and "%" not in tail.group() else ""
    )


def last_region(text: str, *, listed: bool = False) -> str | None:
    """The answer in the last sentence that has mathematics in it, where no answer was announced."""
    found = last_sentence(text.rstrip(), re.compile(r"[\d$\\]"))
    if found is None:
        return None
    sentence = found[0][-MAX_TEXT:].strip().rstrip(".").strip()
    if sentence.endswith("?") or denied(sentence) or doubtful(sentence) or (not listed and hedged(plain(sentence))):
        return None
    if (
        listed
        and (bullets := re.findall(r"(?m)^[ \t]*[-*•][ \t]+(\S.*)$", text))
        and text.rstrip().endswith(bullets[-1])
    ):
        return ", ".join(bullets)
    if turned := _IS_THE_ANSWER.search(sentence):
        return region_of(turned.group(1), "")
    if pieces := spans(sentence):
        stated = [n for n, (start, _, _) in enumerate(pieces) if _SAYS_NEXT.search(sentence[:start])]
        first = last = stated[-1] if stated else len(pieces) - 1
        while last + 1 < len(pieces) and JOINT.fullmatch(sentence[pieces[last][1] : pieces[last + 1][0]]):
            last += 1
        while first > 0 and JOINT.fullmatch(sentence[pieces[first - 1][1] : pieces[first][0]]):
            first -= 1
        return ", ".join(content for _, _, content in pieces[first : last + 1])
    said = [m for m in _SAYS.finditer(sentence) if re.search(r"[\d\\]", sentence[m.end() :])]
    return region_of(sentence[said[-1].end() :], "") if said else region_of(sentence, "")


def offered_elsewhere(
    text: str, first: Statement, last: Statement, right: Callable[[str], bool], *, listed: bool = False
) -> str:
    """Why the text before the first or behind the last statement offers another answer, or an empty string.

    `right` says whether a piece of text states the same answer: "3/4, or 0.75" is one. Where several answers are asked
    (`listed`) they may be joined by "or".
    """
    if not listed and _OFFERING.search(text, max(0, first.start - 12), first.start):
        before = text[max(0, first.start - 200) : first.start]
        if _OR_BEFORE.search(before) and not right(_last_value(before)):
            return "another answer is offered before the final one"
    after = text[last.end : last.end + 2000]
    if not after.strip(_DRESS):
        return ""
    rests = [after[m.end() : m.end() + 80] for m in OFFERS_LATER.finditer(after)]
    if last.channel == "box" and (beside := _BESIDE.match(after)):
        rests.append(beside.group(1))
    if offer := OFFERS.match(after.lstrip(_DRESS)[:80]):
        rests.append(after.lstrip(_DRESS)[offer.end() :][:80])
    for rest in (re.split(r"\n|\.(?!\d)", rest)[0] for rest in rests):
        if re.search(r"[\d$\\]", rest) and not _SAME_THING.match(rest) and not right(rest):
            return "another answer is offered after the final one"
    return ""


def _last_value(text: str) -> str:
    text = re.sub(r"[\s,.$]*\bor\W*$", "", text).rstrip(" ,.$)\\")
    return re.split(r"[$=]|\\[(\[]|(?<=[A-Za-z]{2}) ", text)[-1]
