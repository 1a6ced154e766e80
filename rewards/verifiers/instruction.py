"""`InstructionVerifier`: the 25 verifiable instructions of IFEval (Zhou et al. 2023, arXiv 2311.07911).

Unlike the reference code, an unknown instruction or a missing argument is refused (`undecided`) instead of passed or
drawn at random, and every instruction of a prompt counts, also where one is asked twice.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from rlpath.core.types import Status, Verdict
from rlpath.rewards.guard import guarded
from rlpath.rewards.reading.extract import spoken
from rlpath.rewards.reading.language import KNOWN, language_of, main_script, script_of
from rlpath.rewards.verifiers import worker

# Some patterns take quadratic time: longer responses are checked in a process that can be stopped.
MAX_IN_PROCESS = 4000

Check = Callable[[str, Mapping[str, Any]], bool]


class Unchecked(Exception):
    """An instruction that cannot be checked: it is not known, or an argument is missing or of the wrong type."""


@dataclass(frozen=True)
class InstructionVerifier:
    """Accepts a response that follows every instruction named by the gold.

    The gold is `ifeval:ID {"argument": value}`, or a row of the IFEval data as JSON with `instruction_id_list` and
    `kwargs`. `loose` also tries the response without its first line, its last line and its asterisks, as published.

    >>> verify = InstructionVerifier()
    >>> verify("No commas here.", "ifeval:punctuation:no_comma").status
    <Status.CORRECT: 'correct'>
    >>> verify("one two", 'ifeval:length_constraints:number_words {"relation": "at least", "num_words": 3}').reason
    'not followed: length_constraints:number_words'
    >>> verify("anything", "ifeval:keywords:unheard_of").status
    <Status.UNDECIDED: 'undecided'>
    """

    structured_gold: ClassVar = True
    loose: bool = False
    seconds: float = 2.0

    @guarded
    def __call__(self, completion: str, gold: str, *, question: str | None = None, truncated: bool = False) -> Verdict:
        try:
            asked = read_instructions(gold)
            response = spoken(completion)
            if not response.strip():
                return Verdict.of(Status.NO_ANSWER, reason="nothing is said")
            failed = self._failed(response, asked)
        except (Unchecked, worker.WorkFailed) as problem:
            return Verdict.of(Status.UNDECIDED, reason=str(problem))
        except worker.OutOfTime:
            return Verdict.of(Status.WRONG, reason=f"checking took more than {self.seconds} s")
        if truncated:
            return Verdict.of(Status.TRUNCATED, reason="cut off by the length limit")
        if failed:
            return Verdict.of(Status.WRONG, reason=f"not followed: {', '.join(failed)}")
        return Verdict.of(Status.CORRECT, reason="every instruction is followed")

    def _failed(self, response: str, asked: list[tuple[str, Mapping[str, Any]]]) -> list[str]:
        if len(response) > MAX_IN_PROCESS:
            return worker.run("instruction:failed_instructions", response, asked, self.loose, seconds=self.seconds)
        return failed_instructions(response, asked, self.loose)


def failed_instructions(response: str, asked: Sequence[tuple[str, Mapping[str, Any]]], loose: bool) -> list[str]:
    """The names of the instructions that `response` does not follow; raises `Unchecked`."""
    texts = loose_variants(response) if loose else [response]
    return [name for name, kwargs in asked if not any(t.strip() and follows(t, name, kwargs) for t in texts)]


def read_instructions(gold: str) -> list[tuple[str, Mapping[str, Any]]]:
    """The instructions of a gold answer with their arguments; raises `Unchecked`."""
    if gold.startswith("ifeval:"):
        name, _, arguments = gold.removeprefix("ifeval:").strip().partition(" ")
        names, kwargs = [name], [_json(arguments or "{}")]
    else:
        row = _json(gold)
        names, kwargs = row.get("instruction_id_list"), row.get("kwargs")
    if not isinstance(names, list) or not isinstance(kwargs, list) or not names or len(names) != len(kwargs):
        raise Unchecked("the gold names no instructions, or not one set of arguments for each")
    for name, arguments in zip(names, kwargs, strict=True):
        if name not in CHECKS:
            raise Unchecked(f"there is no instruction {name!r}")
        if not isinstance(arguments, dict):
            raise Unchecked(f"the arguments of {name} are no object")
    return list(zip(names, kwargs, strict=True))


def _json(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        raise Unchecked("the gold is no instruction") from None
    if not isinstance(value, dict):
        raise Unchecked("the gold is no instruction")
    return value


def loose_variants(response: str) -> list[str]:
    """The response as it is and without its first line, last line, both, each also without asterisks."""
    lines = response.split("\n")
    cuts = [response, "\n".join(lines[1:]).strip(), "\n".join(lines[:-1]).strip(), "\n".join(lines[1:-1]).strip()]
    return [*cuts, *(cut.replace("*", "") for cut in cuts)]


def follows(response: str, name: str, kwargs: Mapping[str, Any]) -> bool:
    """Whether `response` follows one instruction; raises `Unchecked`."""
    return CHECKS[name](response, kwargs)


# arguments


def _text(kwargs: Mapping[str, Any], name: str) -> str:
    value = kwargs.get(name)
    if not isinstance(value, str) or not value.strip():
        raise Unchecked(f"the argument {name} is missing")
    return value


def _count(kwargs: Mapping[str, Any], name: str) -> int:
    value = kwargs.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value) or value < 0:
        raise Unchecked(f"the argument {name} is missing or no count")
    return int(value)


def _words_argument(kwargs: Mapping[str, Any], name: str) -> list[str]:
    value = kwargs.get(name)
    if not isinstance(value, list) or not value or not all(isinstance(v, str) and v for v in value):
        raise Unchecked(f"the argument {name} is missing or no list of words")
    return value


def _compare(found: int, kwargs: Mapping[str, Any], relation: str, limit: str) -> bool:
    which = kwargs.get(relation)
    if which not in ("less than", "at least"):
        raise Unchecked(f"the argument {relation} is neither 'less than' nor 'at least'")
    return found < _count(kwargs, limit) if which == "less than" else found >= _count(kwargs, limit)


# keywords


def _existence(text: str, kwargs: Mapping[str, Any]) -> bool:
    return all(w.lower() in text.lower() for w in _words_argument(kwargs, "keywords"))


def _frequency(text: str, kwargs: Mapping[str, Any]) -> bool:
    keyword = _text(kwargs, "keyword").strip()
    return _compare(text.lower().count(keyword.lower()), kwargs, "relation", "frequency")


def _forbidden(text: str, kwargs: Mapping[str, Any]) -> bool:
    words = _words_argument(kwargs, "forbidden_words")
    return not any(re.search(rf"(?<![^\W_]){re.escape(w.strip())}(?![^\W_])", text, re.I) for w in words)


def _letter_frequency(text: str, kwargs: Mapping[str, Any]) -> bool:
    letter = _text(kwargs, "letter").strip().lower()
    if len(letter) != 1:
        raise Unchecked("the argument letter is no single character")
    return _compare(text.lower().count(letter), kwargs, "let_relation", "let_frequency")


# language and case


def _language(text: str, kwargs: Mapping[str, Any]) -> bool:
    wanted = _text(kwargs, "language").lower().split("-")[0]
    if wanted not in KNOWN:
        raise Unchecked(f"the language {wanted!r} is not one that can be told")
    found = language_of(text)
    if found is None and main_script(text) == script_of(wanted):
        raise Unchecked("the language of the response cannot be told")
    return found == wanted


def _english_capital(text: str, kwargs: Mapping[str, Any]) -> bool:
    return text.isupper() and main_script(text) == "LATIN" and language_of(text) in ("en", None)


def _english_lowercase(text: str, kwargs: Mapping[str, Any]) -> bool:
    return text.islower() and main_script(text) == "LATIN" and language_of(text) in ("en", None)


def _capital_words(text: str, kwargs: Mapping[str, Any]) -> bool:
    capitals = sum(word.isupper() for word in re.findall(r"\w+(?:[-'’]\w+)*", text))
    return _compare(capitals, kwargs, "capital_relation", "capital_frequency")


# lengths

_ABBREVIATIONS = re.compile(
    r"\b(?:Mr|Mrs|Ms|Dr|Prof|Sr|Jr|St|vs|etc|Inc|Ltd|Co|No|Fig|Vol|e\.g|i\.e|U\.S|a\.m|p\.m|approx|Mt|Gen|Col|Rev)\.(?=\s)",
    re.I,
)


def count_sentences(text: str) -> int:
    """The number of sentences: runs that end in . ! ? or a blank line and hold a letter or digit."""
    text = _ABBREVIATIONS.sub(lambda m: m.group().replace(".", ""), text)
    text = re.sub(r"\b([A-Z])\.(?=\s*[A-Z])", r"\1", text)
    parts = re.split(r"(?<=[.!?。！？।])[\"'”’)\]*_]*\s+|(?<=[。！？।])|\n\s*\n", text)
    return sum(any(c.isalnum() for c in part) for part in parts)


def _sentences(text: str, kwargs: Mapping[str, Any]) -> bool:
    return _compare(count_sentences(text), kwargs, "relation", "num_sentences")


def _words(text: str, kwargs: Mapping[str, Any]) -> bool:
    return _compare(len(re.findall(r"\w+", text)), kwargs, "relation", "num_words")


def _paragraphs(text: str, kwargs: Mapping[str, Any]) -> bool:
    parts = re.split(r"\s?\*\*\*\s?", text)
    inner = parts[1:-1]
    if any(not part.strip() for part in inner):
        return False
    return sum(bool(part.strip()) for part in parts) == _count(kwargs, "num_paragraphs")


def _nth_paragraph(text: str, kwargs: Mapping[str, Any]) -> bool:
    parts = [part.strip() for part in re.split(r"\n\n", text) if part.strip()]
    nth, wanted = _count(kwargs, "nth_paragraph"), _text(kwargs, "first_word").lower()
    if len(parts) != _count(kwargs, "num_paragraphs") or not 1 <= nth <= len(parts):
        return False
    first = parts[nth - 1].split()[0].lstrip("'\"“‘*_").lower()
    return re.split(r"[.,?!'\"”’:;*_]", first)[0] == wanted


# content and format


def _placeholders(text: str, kwargs: Mapping[str, Any]) -> bool:
    return len(re.findall(r"\[[^\[\]\n]*[^\[\]\s][^\[\]\n]*\]", text)) >= _count(kwargs, "num_placeholders")


def _postscript(text: str, kwargs: Mapping[str, Any]) -> bool:
    marker = _text(kwargs, "postscript_marker").strip().lower()
    letters = [c for c in marker if c.isalpha()]
    pattern = r"\.?\s?".join(letters) + r"(?:\.|(?!\.))" if marker in ("p.s.", "p.p.s", "p.p.s.") else re.escape(marker)
    return re.search(rf"^[ \t*_]*{pattern}(?!\w)[\s*_]*[^\s*_]", text.lower(), re.M) is not None


def _bullets(text: str, kwargs: Mapping[str, Any]) -> bool:
    bullets = re.findall(r"^\s*\*[^*].*$", text, re.M) + re.findall(r"^\s*-[^-].*$", text, re.M)
    return len(bullets) == _count(kwargs, "num_bullets")


def _constrained(text: str, kwargs: Mapping[str, Any]) -> bool:
    found = [option for option in ("My answer is yes.", "My answer is no.", "My answer is maybe.") if option in text]
    return len(found) == 1


def _highlights(text: str, kwargs: Mapping[str, Any]) -> bool:
    doubled = [h for h in re.findall(r"\*\*([^\n*]*)\*\*", text) if h.strip()]
    single = [h for h in re.findall(r"\*([^\n*]*)\*", re.sub(r"\*\*[^\n*]*\*\*", " ", text)) if h.strip()]
    return len(doubled) + len(single) >= _count(kwargs, "num_highlights")


def _sections(text: str, kwargs: Mapping[str, Any]) -> bool:
    splitter = re.escape(_text(kwargs, "section_spliter").strip())
    parts = re.split(rf"(?<!\w){splitter}\s?\d+(?!\w)\s?", text)
    return len(parts) - 1 >= _count(kwargs, "num_sections")


def _json_format(text: str, kwargs: Mapping[str, Any]) -> bool:
    body = re.sub(r"^```(?:json|Json|JSON)?\s*\n?|\n?```$", "", text.strip()).strip()
    try:
        json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no JSON value")


def _title(text: str, kwargs: Mapping[str, Any]) -> bool:
    return any(title.strip("<> \t") for title in re.findall(r"<<[^\n]+>>", text))


# combinations, beginnings, ends, punctuation


def _two_responses(text: str, kwargs: Mapping[str, Any]) -> bool:
    parts = text.split("******")
    inner = [part.strip() for n, part in enumerate(parts) if part.strip() or 0 < n < len(parts) - 1]
    return len(inner) == 2 and all(inner) and inner[0] != inner[1]


def _repeat_prompt(text: str, kwargs: Mapping[str, Any]) -> bool:
    return text.strip().lower().startswith(_text(kwargs, "prompt_to_repeat").strip().lower())


def _end(text: str, kwargs: Mapping[str, Any]) -> bool:
    return text.strip().strip('"').lower().endswith(_text(kwargs, "end_phrase").strip().lower())


def _quotation(text: str, kwargs: Mapping[str, Any]) -> bool:
    text = text.strip()
    return len(text) > 2 and text[0] == '"' and text[-1] == '"' and bool(text.strip('" \n'))


def _no_comma(text: str, kwargs: Mapping[str, Any]) -> bool:
    return not any(comma in text for comma in ",，、،︐﹐")


CHECKS: dict[str, Check] = {
    "keywords:existence": _existence,
    "keywords:frequency": _frequency,
    "keywords:forbidden_words": _forbidden,
    "keywords:letter_frequency": _letter_frequency,
    "language:response_language": _language,
    "length_constraints:number_sentences": _sentences,
    "length_constraints:number_paragraphs": _paragraphs,
    "length_constraints:number_words": _words,
    "length_constraints:nth_paragraph_first_word": _nth_paragraph,
    "detectable_content:number_placeholders": _placeholders,
    "detectable_content:postscript": _postscript,
    "detectable_format:number_bullet_lists": _bullets,
    "detectable_format:constrained_response": _constrained,
    "detectable_format:number_highlighted_sections": _highlights,
    "detectable_format:multiple_sections": _sections,
    "detectable_format:json_format": _json_format,
    "detectable_format:title": _title,
    "combination:two_responses": _two_responses,
    "combination:repeat_prompt": _repeat_prompt,
    "startend:end_checker": _end,
    "startend:quotation": _quotation,
    "change_case:capital_word_frequency": _capital_words,
    "change_case:english_capital": _english_capital,
    "change_case:english_lowercase": _english_lowercase,
    "punctuation:no_comma": _no_comma,
}
