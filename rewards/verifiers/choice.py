"""`ChoiceVerifier`: which option of a multiple-choice question was chosen?"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from rlpath.core.types import Status, Verdict
from rlpath.rewards.guard import guarded
from rlpath.rewards.reading.extract import Said, doubtful, hear
from rlpath.rewards.reading.vocabulary import NOT_BUT, OFFERS, OFFERS_LATER, denied, denied_before

_OPTION_LINE = re.compile(r"(?m)^[ \t]*[*_]{0,2}(?:\(([A-Za-z])\)|([A-Za-z])[).:])[*_]{0,2}[ \t]+(\S[^\n]*)$")
_OPTION_INLINE = re.compile(
    r"(?:(?<=\s)|^)(?:\(([A-Z])\)|([A-Z])[).:])[ \t]*(.+?)(?=[ \t,;]*(?:\s(?:\([A-Z]\)|[A-Z][).:])|\n|$))"
)
_NUMBERED = re.compile(r"\b(?:answer|option|choice|ending|solution) ?([1-9])\b", re.I)
_DRESS = re.compile(
    r"\\(?:text|mathrm|mathbf|textbf|mbox|boxed|bf|rm)\b\*?|\\[()\[\],;! ]|[*_`${}~\"“”]|(?<![A-Za-z])'|'(?![A-Za-z])"
)
_INTRO = re.compile(
    r"^(?:\s|:|=>|->|[-–—=](?=\s)|hence|it|it's|that|must|be|would|my|a?nswer|the|correct|right|best|final|answer|is|option|choice|letter|therefore|thus|so|clearly|definitely|choose|pick|select|believe|we|i|opci[óo]n|opzione|opção|alternativa|es|ist|est|è|é|la|el|die|der)+"
    r"(?![A-Za-z])",
    re.I,
)
_LETTER = re.compile(r"^[(\[<]{0,2}([A-Za-z])(?:\s*[)\]>]{1,2}|(?![A-Za-z'’]))[.:)]?\s*")
# "B or C", "B oder C", "BC": a second letter close behind, whatever the word between them.
_SEVERAL = re.compile(
    r"^[\s,;/&+|、(-]*(?:(?:and|or|and/or|as well as|also|but also|maybe|possibly|perhaps|plus)\b[\s,]*"
    r"(?:also|maybe|possibly|perhaps|option|choice|either)*)?\s*\(?([A-Z])(?:\)|(?![A-Za-z'’]))"
    r"|^[\s,;]*\b(?:но|oder|ou|o|y|e|et|und|или|и)\s+\(?([A-Z])\b|^\s*[或和]者?\s*([A-Z])"
)
_ALSO_RIGHT = re.compile(r"(?<![A-Za-z])\(?([A-Z])\)? (?:is|are|seems) (?:also|too|equally|just as)\b")
_ANOTHER_CHOICE = re.compile(r"\W*[A-Z](?:[).:]|\W*$)|.*\b(?:or|not|actually|wait)\b")
_CONDITION = re.compile(r"\W*(?:if|unless|provided|assuming)\b", re.I)
_OTHER_STATEMENTS = re.compile(
    r"(?:\b(?:correct|right|best) (?:option|choice|letter|statement|response)(?: is|:)"
    r"|\b(?:option|choice) is|\b(?:the )?letter is"
    r"|\b(?:I|we) (?:would )?(?:choose|pick|select|go with)|\bI['’](?:ll|d) (?:go with|pick|choose|say)"
    r"|^(?:choose|pick|select)(?=[ :]*\(?[A-Z]\b)"
    r"|^\W*(?:selected |chosen |final |my )?(?:correct|solution|choice|option|selected|selection)\W{0,3}:\W{0,3}"
    r"(?=\(?[A-Z]\b))"
    r"[ \t]*([^\n]{1,200})",
    re.I | re.M,
)
_IS_CORRECT = re.compile(
    r"(?<!though )(?<!while )(?<!if )(?<!why )(?:\b[Oo]ption |\b[Cc]hoice |(?<![A-Za-z]))\(?([A-Z])\)?,?"
    r" (?:is|seems|looks|must be)(?: to be)?(?: also)?"
    r"(?: the| my)?(?: only| final)? (?:correct|right|best|answer|true)(?: (?:answer|option|choice))?\b"
)
# A sentence that is a letter behind words which only introduce it: "Hence C", "That leaves option (C)".
_LETTER_SENTENCE = re.compile(
    r"(?:(?:so|thus|hence|therefore|clearly|definitely|surely|only|I (?:think|believe))\b,? ?)?"
    r"(?:(?:it|this|that)(?: is| must be| leaves(?: us)?(?: with)?|['’]?\s?s)\s+)?"
    r"(?:only )?(?:option |choice |letter )?\(?([A-Z])\)?",
    re.I,
)
_CHINESE = re.compile(r"(?:故|所以|因此|应|應)?选(?:择)?\s*[:：]?\s*\(?([A-Z])\)?")
_OFFERED_LETTER = re.compile(
    r"(?:(?:the )?answer is |it(?:['’ ]?s| is) |option |choice )*\(?([A-Z])\)?(?![A-Za-z'’])", re.I
)
_LONE = re.compile(r"[^.!?\n]{0,40}?(?<![A-Za-z'’])(?:([B-HJ])|([AI])(?=\W*$|[.,;]))(?![A-Za-z'’])")
_REASON = re.compile(r"(?<=[\w)]),? (?:because|since)\b.*$")
_DENIED_CHOICE = re.compile(r"[不非没没有]\W*$")


@dataclass(frozen=True)
class ChoiceVerifier:
    r"""Accepts a completion that chooses exactly one option, the gold one, by its letter or by its text.

    The gold is a letter ("B", "(B)", "B. Paris"), a numbered option ("answer2") or an option's text. Options
    are read from the question where it is given; then the text of an option counts as its letter, and a letter
    together with another option's text is wrong.

    >>> question = "What is the capital of France?\nA) Lyon\nB) Paris\nC) Nice"
    >>> verify = ChoiceVerifier()
    >>> [verify(said, "B", question=question).correct for said in ("B", "The answer is Paris.", r"\boxed{\text{B}}")]
    [True, True, True]
    >>> [verify(said, "B", question=question).correct for said in ("A or B", "B) Lyon", "not B", question)]
    [False, False, False, False]
    """

    @guarded
    def __call__(self, completion: str, gold: str, *, question: str | None = None, truncated: bool = False) -> Verdict:
        if question and _numbered(question):
            options = options_of(_letter_digits(question, {}))
            completion, question = _letter_digits(completion, options), _letter_digits(question, options)
            gold = _letter_digits(gold, {})
        completion, gold, question = _lettered(completion), _lettered(gold), _lettered(question or "")
        options = options_of(question)
        wanted = gold_letter(gold, options)
        if wanted is None:
            return Verdict.of(Status.UNDECIDED, reason=f"the gold answer {gold[:80]!r} is no option")
        for letter, option in options.items():
            if option.endswith("?"):  # else the choice of a question would be read as a question
                completion = re.sub(re.escape(option), option[:-1], completion, flags=re.I)
                options = {**options, letter: option[:-1]}
        heard = hear(_without_options(completion, question), truncated=truncated)
        if isinstance(heard, Verdict):
            return heard
        if wanted not in options and not gold.strip("() .").isalpha():
            options = {}
        return _judge(_chosen(heard, options), wanted)


def _lettered(text: str) -> str:
    """`text` with numbered options ("Answer1", "option 2") called A, B, ... as lettered ones are."""
    return _NUMBERED.sub(lambda m: chr(ord("A") + int(m.group(1)) - 1), text)


_DIGIT_LINE = re.compile(r"(?m)^([ \t]*\(?)([1-9])(?=[).:][ \t])")


_SAID_DIGIT = re.compile(r"(^\W*|(?:answer|correct|right)(?: is)?[:*]* *[(*]*)([1-9])(?=\W*$)", re.I)


def _numbered(question: str) -> bool:
    """True where the options of `question` are the lines 1, 2, 3, ..."""
    digits = [m.group(2) for m in _DIGIT_LINE.finditer(question)]
    return len(digits) > 1 and digits == [str(n + 1) for n in range(len(digits))] and not _options(question)


def _letter_digits(text: str, options: Mapping[str, str]) -> str:
    """`text` with the numbers of options as letters: on lines of their own, as the whole text, as the stated answer."""
    text = _DIGIT_LINE.sub(lambda m: m.group(1) + chr(64 + int(m.group(2))), text)
    said = _SAID_DIGIT.search(text)
    if said is None or said.group(2) in options.values():
        return text
    return f"{text[: said.start(2)]}{chr(64 + int(said.group(2)))}{text[said.end(2) :]}"


def _without_options(completion: str, question: str) -> str:
    """`completion` without a verbatim copy of the question, and without its option lines where several are copied."""
    text = completion.replace(question.strip(), " ") if len(question.strip()) > 16 else completion
    copied = [line for line in text.splitlines() if _OPTION_LINE.match(line) and line.strip() in question]
    if len(set(copied)) < 2:
        return text
    return "\n".join(line for line in text.splitlines() if line not in copied)


@lru_cache(maxsize=1024)
def _options(question: str) -> tuple[tuple[str, str], ...]:
    for pattern in (_OPTION_LINE, _OPTION_INLINE):
        found = [((m.group(1) or m.group(2)).upper(), _plain(m.group(3))) for m in pattern.finditer(question[:20_000])]
        run = _lettered_run(found)
        if len(run) >= 2:
            return tuple(run)
    return ()


def _lettered_run(found: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The last run A, B, C ... of `found`: what precedes it are examples or the question itself."""
    starts = [n for n, (letter, _) in enumerate(found) if letter == "A"]
    if not starts:
        return []
    run = []
    for offset, (letter, text) in enumerate(found[starts[-1] :]):
        if letter != chr(ord("A") + offset):
            break
        run.append((letter, text))
    return run


def options_of(question: str) -> Mapping[str, str]:
    """Letter and normalized text of the options in `question`.

    >>> options_of("Which? (A) red (B) dark blue")
    {'A': 'red', 'B': 'dark blue'}
    """
    return dict(_options(question))


def gold_letter(gold: str, options: Mapping[str, str]) -> str | None:
    """The letter of a gold answer given as a letter, a lettered option or an option's text; None if it is none."""
    text = _DRESS.sub(" ", gold).strip()
    match = re.fullmatch(r"\(?([A-Za-z])\)?[.:)]?(?:\s+\S.*)?", text, re.S)
    if match and (len(text.strip("().: ")) == 1 or text[1:2] in ").:" or text[:1] == "("):
        return match.group(1).upper()
    same = _with_text(text, options)
    return same.pop() if len(same) == 1 else None


def _with_text(text: str, options: Mapping[str, str]) -> set[str]:
    """The letters of the options whose text is `text`."""
    plain = _plain(text)
    return {letter for letter, option in options.items() if option == plain}


def _plain(text: str) -> str:
    return " ".join(_DRESS.sub(" ", text).strip(" .,;:!").casefold().split())


SEVERAL = "several"


def _chosen(heard: Said, options: Mapping[str, str]) -> tuple[set[str], str]:
    """The letters that the completion states as its answer, with the text of the last statement."""
    texts = [s.text for s in heard.statements]
    texts += [m.group(1) for m in _OTHER_STATEMENTS.finditer(heard.text) if not doubtful(m.group())]
    found: set[str] = set()
    for text in texts:
        found |= letters_in(NOT_BUT.sub("", text), options)
    plain = _DRESS.sub(" ", heard.text)
    for m in (*_IS_CORRECT.finditer(plain), *_CHINESE.finditer(plain)):
        behind = plain[m.end() : m.end() + 100]
        before = plain[max(0, m.start() - 60) : m.start()]
        several = _SEVERAL.match(behind) or _DENIED_CHOICE.search(before) or denied_before(before)
        found |= {SEVERAL} if several else {m.group(1), *_offered(behind, options)}
    if found:
        return found | _offered_after(heard, options), (texts or [heard.text])[-1]
    if texts:
        return set(), texts[-1]
    return _last_line(NOT_BUT.sub("", heard.text), options)


def _offered_after(heard: Said, options: Mapping[str, str]) -> set[str]:
    if not heard.statements:
        return set()
    after = _DRESS.sub(" ", heard.text[heard.statements[-1].end : heard.statements[-1].end + 300])
    if corrected := _corrected(after):
        return corrected & set(options or "ABCDEFGHIJ")
    if OFFERS.match(after.lstrip(" .")):
        return _offered(after.lstrip(" ."), options)
    # Behind a full stop "A planet ..." begins the next sentence: only a letter that stands alone is an option.
    sentence = re.match(r"\s*[.!]\s+", after)
    beside = _SEVERAL.match(after[sentence.end() :] if sentence else after)
    if not beside or (sentence and not re.match(r"\s*(?:[.,;)]|$)", after[sentence.end() + beside.end() :])):
        return set()
    return {beside[beside.lastindex or 1]} & set(options or "ABCDEFGHIJ")


def _corrected(text: str) -> set[str]:
    """The letters that later sentences put in the choice's place: "Wait, it's A"."""
    lone = (_LONE.match(text, found.end()) for found in OFFERS_LATER.finditer(text))
    return {letter.group(1) or letter.group(2) for letter in lone if letter}


def _offered(text: str, options: Mapping[str, str]) -> set[str]:
    """The options that `text`, which stands behind a choice, offers in its place: "or C", "wait, actually Paris"."""
    rest = text
    while match := OFFERS.match(rest):
        rest = rest[match.end() :].lstrip(" ,")
    if rest == text:
        return set()
    rest = rest.split("\n", 1)[0][:80]
    letter = _OFFERED_LETTER.match(rest)
    return {letter.group(1).upper()} if letter else set() if denied(rest) else letters_in(rest, options)


def letters_in(text: str, options: Mapping[str, str]) -> set[str]:
    """The options that a stated answer names: one where it names one, several or none otherwise."""
    plain = " ".join(_DRESS.sub(" ", text).split())
    plain = re.sub(r"(?<=[\w)])(?:[,;] ?not|[,;]? (?:rather than|instead of|unlike))\b.*$", "", plain)
    if own := _lettered_option(_INTRO.sub("", plain, count=1).strip(), options):
        return own
    if denied(_REASON.sub("", plain)) and not {_plain(plain), _plain(_INTRO.sub("", plain, count=1))} & set(
        options.values()
    ):
        return {SEVERAL} if len(plain) < 200 else set()
    by_text = _with_text(plain, options)
    if len(by_text) == 1 and len(plain.strip("(). :")) > 1:
        return by_text
    bare = _INTRO.sub("", plain, count=1).strip()
    match = _LETTER.match(bare)
    if not match:
        return _by_words(bare, options)
    letter, rest = match.group(1), bare[match.end() :]
    if letter.islower() and (rest or not options) and bare[:1] != "(" and rest:
        return _by_words(bare, options)
    return _with_rest(letter.upper(), bare[: match.end()], rest, options)


def _lettered_option(text: str, options: Mapping[str, str]) -> set[str]:
    """The options of a text that is a letter and an option's text, whatever that says: "(D) none of these"."""
    lettered = re.match(r"[(\[]?([A-Za-z])(?:[)\].:,]+|\s+[-–—]) *(.+)$", " ".join(_DRESS.sub(" ", text).split()))
    if lettered is None:
        return set()
    letter, found = lettered.group(1).upper(), _with_text(lettered.group(2), options)
    return {letter} if letter in found else found and {letter, *found}


def _with_rest(letter: str, head: str, rest: str, options: Mapping[str, str]) -> set[str]:
    if more := _SEVERAL.match(rest) or _ALSO_RIGHT.search(rest):
        return {letter, more[more.lastindex or 1]}
    if _CONDITION.match(rest):
        return {SEVERAL}
    if not rest:
        return {letter}
    plain_rest = _plain(re.sub(r"^\((.*)\)\W*$", r"\1", rest))
    if named := _lettered_option(f"{letter}) {plain_rest}", options):
        return named
    if offered := _offered(rest, options):
        return {letter, *offered}
    marked = head.rstrip()[-1:] in ").:" or rest[0] in ",;-–—("
    if letter in "AI" and not marked and not re.match(r"(?:because|since|as|is|which)\b|[^\x00-\x7f]", rest):
        return _by_words(f"{letter} {rest}", options)
    inside = _texts_within(plain_rest, options)
    return {letter} if not inside or letter in inside or not marked else {letter, *inside}


def _by_words(text: str, options: Mapping[str, str]) -> set[str]:
    return _with_text(text, options) or _texts_within(_plain(text), options)


def _texts_within(plain: str, options: Mapping[str, str]) -> set[str]:
    """The options whose text occurs in `plain` as whole words, without those inside a longer one that occurs."""
    found = {k: o for k, o in options.items() if o and re.search(rf"(?<!\w){re.escape(o)}(?!\w)", plain)}
    return {k for k, o in found.items() if not any(o != other and o in other for other in found.values())}


def _last_line(text: str, options: Mapping[str, str]) -> tuple[set[str], str]:
    """The choice of a completion that announces none: its last line is a letter, a lettered option or an option."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip(" `")]
    if not lines:
        return set(), ""
    line = lines[-1][-400:]
    if first := _first_line(lines, options):
        return first, lines[0]
    whole = _with_text(text, options)
    if len(whole) == 1 and len(text.strip("(). :\n")) > 1:
        return whole, line
    bare = " ".join(_DRESS.sub(" ", line).split())
    bare = re.sub(r"^(?:(?:hence|thus|so|therefore)\b,?|=>|->|→)\s*(?=[(\[<]*[A-Z]\b)", "", bare, flags=re.I)
    if spoken := re.fullmatch(r"""\{["']?\w+["']?: *["']?(.{1,300}?)["']?\}""", line):  # {"answer": "B"}
        return letters_in(spoken.group(1), options), line
    bare = re.sub(r"^[\[<]{1,2}([A-Z])[\]>]{1,2}(?=\W*$)", r"\1", bare)
    lettered = re.fullmatch(r"(?:(?:option|choice|answer)\s*:?\s*)?\(?([A-Za-z])(?:\)|[.:)])?(?:\s+.*)?", bare, re.I)
    alone = len(bare.strip("(). :!")) == 1 or re.fullmatch(r"(?:option|choice)\s*\(?[A-Z]\)?\.?", bare, re.I)
    if lettered and (alone or re.match(r"(?:(?:option|choice|answer)\s*:?\s*)?\(?[A-Z](?:\)|[.:,]| ?\()", bare, re.I)):
        if len(lines) > 1 and _restates_another(lines[-2], bare):
            return {SEVERAL}, line
        return letters_in(re.sub(r"^(?:option|choice|answer)\s*:?\s*", "", bare, flags=re.I), options), line
    sentence = re.split(r"(?<=[.!])\s+|,? (?:so|thus|hence|therefore),? (?=[^a-z]+$)", bare.rstrip(" .!"))[-1]
    if denied(sentence) or sentence.endswith("?"):
        return set(), line
    if (spelled := _LETTER_SENTENCE.fullmatch(sentence)) and spelled.group(1).isupper():
        return {spelled.group(1)}, line
    if reasoned := re.match(r"\(?([A-Z])\)?(?: - |, (?=[\w ]+$)|,? (?:because|since)\b)(.*)", sentence):
        return _with_rest(reasoned.group(1), reasoned.group(1) + ":", reasoned.group(2).strip(), options), line
    return _texts_within(_plain(sentence), options), line


def _first_line(lines: list[str], options: Mapping[str, str]) -> set[str]:
    """The choice of a first line that is an option, or a letter alone, with reasons behind it."""
    own = _lettered_option(lines[0], options)
    if own and not any(_ANOTHER_CHOICE.match(later) for later in lines[1:]):
        return own
    letter = re.fullmatch(r"\(?([A-Z])\)?[.:]?", " ".join(_DRESS.sub(" ", lines[0]).split()))
    if not letter or len(lines) == 1 or re.match(r"\W*[A-Za-z]\W*$|\(?[A-Z][).:]", lines[1]):
        return set()
    return {SEVERAL} if re.match(r"\W*(?:or|and|maybe|actually|no)\b", lines[1], re.I) else {letter.group(1)}


def _restates_another(before: str, bare: str) -> bool:
    """True where the line before is a lone letter or lettered option too: a list of options is no choice."""
    earlier = re.match(r"^\W*([A-Z])(?:[).:]|\W*$)", _DRESS.sub(" ", before).strip())
    return earlier is not None and earlier.group(1) != bare.lstrip("( ")[:1].upper()


def _judge(chosen: tuple[set[str], str], wanted: str) -> Verdict:
    letters, text = chosen
    shown = text.strip()[:200]
    if not letters:
        return Verdict.of(Status.NO_ANSWER, shown, "no option is chosen")
    if len(letters) > 1 or SEVERAL in letters:
        return Verdict.of(Status.WRONG, shown, "more than one option, or none, is chosen")
    if letters == {wanted}:
        return Verdict.of(Status.CORRECT, wanted, "the right option")
    return Verdict.of(Status.WRONG, shown, "another option")
