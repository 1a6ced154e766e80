"""The words that change what a stated answer means: calculations, bounds, denials, hedges. One list each, for all.

A number beside a word of calculation is a part of something else ("18 squared", "half of 18", "18 less than 40"); a
denied one is no answer; a hedge offers another. English comes first, then the words that German, Spanish, French,
Russian and Chinese use in its place. The private patterns are for text in lower case, which is read several times
faster than case is ignored.
"""

from __future__ import annotations

import re

from rlpath.rewards.reading.numerals import FRACTION_WORDS, words_to_number
from rlpath.rewards.reading.units import UNIT

_REACH = 80  # characters; no wording here is longer
PERCENT = r"\\?%|per ?cent\b|prozent\b|por ciento\b|pour ?cent\b|процент\w*"
_PARTS = rf"halves|(?:{'|'.join(FRACTION_WORDS)})s?"
QUANTITY = r"(?:\$? ?-?\d|zero|one|two|three|four|five|six|seven|eight|nine|ten|twenty|fifty|hundred|it\b|that\b)"
_TIMES = rf"times(?= (?:the|a|an|{QUANTITY}))"

# What stands directly behind a number, and makes it a part of a calculation, of a range or of a larger number.
_CALCULATES_AFTER = re.compile(
    rf"^[\s(-]*(?:(?:plus|minus|{_TIMES}|doubled|halved|tripled|reversed|backwards|remainder|rem|ish"
    r"|give or take|rounded|too (?:many|much|few|little|high|low)"
    r"|tens|if|unless|provided|and counting|per (?:thousand|mille|hundred|million)|div|away from"
    r"|\w+ed (?:to|from|by|with|into)|from \d|r ?\d"
    r"|moins|menos|más|минус|плюс|al cuadrado|au carré|в квадрате|hoch|y medi[oa]|und ein halb|et demie?|с половиной"
    r"|multiplied|divided|over|choose|mod|modulo|modulus|raised|to the|factorial"
    rf"|squared?\b(?! {UNIT}\b)|cubed"
    r"|point|percent of|root|pi|negative|below zero|under zero|short of|through|thru|till|until|up to|upto|otherwise"
    r"|rather|else|log|sqrt|or (?:more|less|fewer|greater|higher|lower|so|over|under|above|below|is it)"
    rf"|and (?:up|above|over)|at (?:least|most)|out of|in every|per cent of|complement|to (?={QUANTITY})"
    rf"|(?!quarters)(?:and )?(?:a |an |one |three |\d )?(?:{_PARTS})\b|of (?={QUANTITY}))(?![A-Za-z])"
    rf"|(?:less|more|fewer|greater|larger|bigger|smaller|higher|lower) than(?= {QUANTITY})"
    r"|['’]s complement"
    r"|(?:st|nd|rd|th)\s+(?!(?:day|week|month|year|row|term|place|birthday|floor|grade|of)\b)[a-z]|ths\b"
    r"|[√∛π²³⁴⁵ⁿ°]?√|π|‰"
    r"|[十割点點倍以或和到至乘减減加除]|[^\W\d]?的(?:一半|.?倍|平方|立方)|分之|또는)",
)
# "18 apples minus 2", "18 eggs times two": a calculation that begins behind the unit.
_CALCULATES_LATER = re.compile(
    r"^(?:(?!\b(?:when|where|which|as|is|are|because|since|if)\b)[^\d\n.;$\\]){0,40}?(?:\s|^,?\s*)"
    rf"(?:plus|minus|less(?= \$?\d)|{_TIMES}|multiplied by|divided by|squared|cubed|factorial|modulo|mod|unless"
    r"|(?<!whether )or (?:\w+ )?not"
    rf"|(?:less|more|fewer|greater|larger|smaller|higher|lower) than(?= {QUANTITY})"
    r"|(?:below|under) (?:zero|par))\b",
)
# What stands directly before a number, and makes it a part of a calculation.
_CALCULATES_BEFORE = re.compile(
    rf"(?:\b(?:roots?|power|factorial|logarithm|square|cube|multiple|{_PARTS}|percent|%|negation|reciprocal|inverse"
    r"|opposite|complement|sum|product|average|mean|digits|pair|sine|cosine|tangent) of(?: the| an?)?"
    r"|\bas (?:much|many|\w+) as|\bnumber (?:before|after|below|above)"
    r"|\b(?:raíz|doble|triple|mitad|racine|double|moitié) de|\b(?:wurzel|quadrat) (?:aus|von)|\b(?:doppelte|hälfte) von"
    r"|корень из|половин[ау](?: от)?|根号|\b(?:twice|thrice|double|triple|half)"
    r"|\b(?:log|ln|lg|exp|sin|cos|tan|sqrt|cbrt|abs|floor|ceil|gcd|lcm|mod|modulo|times|plus|over"
    r"|choose|(?:divided|multiplied) by|point)\b"
    r"|[√∛])[\s(:$]*$",
)
_DENIES = re.compile(
    r"\b(?:not|never|neither|nor|nobody|no one|wrong|incorrect|cannot|unknown|impossible|undetermined|instead of"
    r"|rather than|no longer|too \w+|whether|eliminated?|rule[sd]? out|except|unlikely|false|none"
    r"|(?:all|anything|everything) but|other than"
    r"|nicht|kein\w*|niemals|weder|falsch|ni|nunca|incorrect[oae]|pas|jamais|не|ни|нет|неверно|неправильно)\b"
    r"|\bno (?:es|son|\d)|n['’]t\b|不|并非|错|非|아니|ではない",
)
DOUBT = r"(?<!no )(?<!without )(?<!without a )(?<!beyond )doubt(?:s|ed|ful)?"
_DOUBT = (
    r"maybe|perhaps|possibly|(?:could|might|may) (?:also )?be|unsure|not (?:\w+ )?sure|depend(?:s|ing)?|vielleicht"
    r"|eventuell|quizás?|tal vez|peut-être|возможно|может быть|(?<!\w)(?:可能|也许|或许|たぶん|아마)"
)
_DOUBTS = re.compile(
    rf"\b(?:{_DOUBT}|probably either|either|guess"
    rf"|{DOUBT}\b)|可能|也许|或许"
)
_OR = r"or|oder|или|и/или|entweder|ou bien|o bien"
_CORRECTS = r"actually|make that|i mean|no,|correction|wait|on second thoughts?|scratch that"
# What may join the answers of a list.
JOINT = re.compile(rf"[\s,.]*(?:and also|and|or|,|;|{_OR}|o|ou|u|y|e|et|und|и|或|和|と|또는)?[\s,]*", re.I)
# Words that put one answer beside another within a sentence.
_ALTERNATIVE = re.compile(
    rf"\b(?:{_OR}|either|alternatively|{_DOUBT}|otherwise|unless|versus|vs|instead|rather|depending|depends)\b"
    r"|(?<=[\da-j] )(?:o|ou|u|no|no wait|wait)(?= \(?[\da-j])|或|又は|(?<=\d)か(?=\d)|또는",
)
# Behind a stated answer, in the same sentence: what follows is offered in its place.
OFFERS = re.compile(
    rf"^[^\n.!?\d]{{0,60}}?(?:\b(?:{_OR}|alternatively|{_DOUBT}|otherwise|unless|instead|rather|so (?:do|does|is)"
    rf"|{_CORRECTS})(?![A-Za-z])|或)",
    re.I,
)
# The same in a later sentence, where an "or" joins other things too.
OFFERS_LATER = re.compile(
    r"\b(?:alternatively|or (?:it is|it's|maybe|perhaps|possibly|it (?:could|might) be)|actually|make that|i mean"
    r"|correction|no, (?:it|the|[A-J\d])|wait|on second thoughts?|it (?:could|might|may) (?:also )?be|another possible"
    r"|or else)\b",
    re.I,
)
_BOUNDS_BEFORE = re.compile(
    r"(?:<|>|≤|≥|≠|\\not ?=|\\(?:leq?|geq?|lt|gt|neq?)\b|\b(?:not|n't|never|at least|at most|less than|more than"
    r"|fewer than|greater than|over|under|above|below|between|up to|almost|nearly|no|neither|nor|other than"
    r"|anything but|different from|unequal to|cannot be|can't be|mindestens|höchstens|(?:mehr|weniger) als|al menos"
    r"|más de|menos de|au (?:moins|plus)|plus de|moins de"
    r"|как минимум|не менее|более|менее|больше|меньше)\s*\S{0,12}\s*$"
    r"|(?:超过|大于|小于|少于|多于|至少|至多|不到|以上)\s*$)",
)
# "not 20 but 18": what is denied is not the answer, what follows is.
NOT_BUT = re.compile(r"\bnot (?:option |choice )?\S{1,20},? but (?:rather |instead )?", re.I)
# "18, not 20": the same, the other way round.
BUT_NOT = re.compile(r"(?<=\d),? (?:and |but )?not \$?\d\S*\W*$", re.I)
# Directly before a stated answer: it is named only to be refused.
_DENIES_NEXT = re.compile(
    r"(?:\b(?:not|never|neither|nor|isn['’]?t|wasn['’]?t|can(?:no|['’])t be|cannot be|rather than|instead of|unlike"
    r"|other than|except|anything but|everything but|different from"
    r"|rule[sd]? out|eliminat\w+|exclud\w+|discard\w*|reject\w*)"
    r"|\b(?:wrong|incorrect|mistaken|false|tempting|naive|trap|common but wrong) (?:\w+ )?(?:answer|result|value|guess)"
    r"(?: (?:is|was|would be|of))?)[\s:*_$({\\\[]*(?:\\(?:text|mathbf|textbf)\{)?$",
)
# Directly behind a stated answer: it is taken back. "18 is wrong", "18 is not the answer".
_DENIES_BEFORE = re.compile(
    r"^[\s*_$)}\].\\]*(?:is|was|would be|seems|looks)(?: (?:clearly|obviously|also))? "
    r"(?:too \w+|(?:an? |the )?(?:wrong|incorrect|false)|not (?:right|correct|the|true|my|our|a)|n't|my first guess)\b"
    r"|^[\s*_$)}\].\\]*[(\[](?:wrong|incorrect|not|false)\b",
)


# The closed class of words that no counted noun has in it: verbs, prepositions, joints, denials, bounds.
_CLOSED_CLASS = """
    is isn are was were be been not no never or but and if too wrong incorrect less more than least most about maybe
    perhaps possibly probably to through otherwise rather either versus dozen dozens below above over under negative
    minus plus times divided squares cubed root mod modulo unless except between without instead approximately roughly
    does exist undefined infinite where when which that given for all any after before by from past beyond near within
    until we you i have get so thus then hence therefore
"""
_NOT_COUNTED = frozenset(_CLOSED_CLASS.split())
_MONTH = re.compile(r"(?:january|february|march|april|may|june|july|(?:august|septem|octo|novem|decem)(?:ber)?)$", re.I)


def calculates_after(text: str) -> bool:
    """True where `text`, which stands behind a number, makes it a part of a calculation or of a larger number."""
    text = text.lower()
    return _CALCULATES_AFTER.match(text) is not None or _CALCULATES_LATER.match(text) is not None


def calculates_before(text: str) -> bool:
    """True where `text`, which stands before a number, makes it a part of a calculation ("half of")."""
    return _CALCULATES_BEFORE.search(text[-_REACH:].lower()) is not None


def bounded_before(text: str) -> bool:
    """True where `text`, which stands before a number, makes it a bound or denies it ("not", "more than")."""
    return _BOUNDS_BEFORE.search(text.lower()) is not None


def denied_before(text: str) -> bool:
    """True where `text`, which stands before a stated answer, names it only to refuse it ("the answer is not")."""
    return _DENIES_NEXT.search(text[-_REACH:].lower()) is not None


def denied_behind(text: str) -> bool:
    """True where `text`, which stands behind a stated answer, takes it back ("is wrong")."""
    return _DENIES_BEFORE.match(text[:_REACH].lower()) is not None


def counted(words: str) -> bool:
    """True where `words` behind a number are its unit, or name what it counts.

    Units are a closed list, which says what converts; nouns are not, so the rule for them is by what they are not: a
    plain phrase without a number, and without a word that calculates, compares, bounds, denies or hedges.

    >>> [counted(words) for words in ("square inches", "eggs per day", "and a half", "to 9")]
    [True, True, False, False]
    """
    if re.search(r"(?<![\^-])\d", words) or calculates_after(f" {words}"):
        return False
    return not any(w in _NOT_COUNTED or words_to_number(w) is not None for w in re.findall(r"[a-z]+", words.lower()))


def names_a_value(words: str) -> bool:
    """True where `words` before a number can be the name of what it counts: "Paolo", "minimum", "the answer".

    >>> [names_a_value(words) for words in ("Paolo", "day", "between", "not")]
    [True, True, False, False]
    """
    if words.endswith(" of") or _MONTH.match(words):
        return False
    return counted(words) and not calculates_before(words) and not bounded_before(words)


def denied(text: str) -> bool:
    """True where `text` denies or doubts what it mentions."""
    text = text.lower()
    return _DENIES.search(text) is not None or _DOUBTS.search(text) is not None


def begins_denied(text: str) -> bool:
    """True where `text` begins with a denial or a doubt."""
    text = text[:_REACH].lower()
    return _DENIES.match(text) is not None or _DOUBTS.match(text) is not None


def has_alternative(text: str) -> bool:
    """True where `text` has words that put one answer beside another."""
    return _ALTERNATIVE.search(text.lower()) is not None
