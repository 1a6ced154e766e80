"""The words that change what a stated answer means: calculations, denials and hedges. One list each, for all verifiers.

A number beside a word of calculation is a part of something else ("18 squared", "half of 18", "18 less than 40"); a
denied one is no answer; a hedge offers another.
"""

from __future__ import annotations

import re

FRACTION_WORDS = {
    "half": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8, "ninth": 9,
    "tenth": 10, "hundredth": 100, "thousandth": 1000,
}  # fmt: skip
_PARTS = r"hal(?:f|ves)|(?:third|quarter|fourth|fifth|sixth|seventh|eighth|ninth|tenth|hundredth|thousandth)s?"
_QUANTITY = r"(?:\$? ?-?\d|zero|one|two|three|four|five|six|seven|eight|nine|ten|twenty|fifty|hundred|it\b|that\b)"
_TIMES = rf"times(?= (?:the|a|an|{_QUANTITY}))"

# What stands directly behind a number, and makes it a part of a calculation, of a range or of a larger number.
CALCULATES_AFTER = re.compile(
    rf"^[\s(-]*(?:(?:plus|minus|{_TIMES}|multiplied|divided|over|choose|mod|modulo|modulus|raised|to the|factorial"
    r"|squared?\b(?! (?:\w*(?:meters?|metres?|feet|inch(?:es)?|miles?|yards?|units?)|cm|km|mm|m|ft|in)\b)|cubed"
    r"|point|percent of|root|pi|negative|below zero|under zero|short of|through|thru|till|until|up to|upto|otherwise"
    r"|rather|else|log|sqrt|or (?:more|less|fewer|greater|higher|lower|so|over|under|above|below)|and (?:up|above|over)"
    rf"|at (?:least|most)|out of|in every|per cent of|complement|to (?={_QUANTITY})"
    rf"|(?:and )?(?:a |an |one |three |\d )?(?:{_PARTS})\b|of (?={_QUANTITY}))(?![A-Za-z])"
    rf"|(?:less|more|fewer|greater|larger|bigger|smaller|higher|lower) than(?= {_QUANTITY})"
    r"|['’]s complement|(?:st|nd|rd|th)\s+(?:root|power)|[√∛π²³⁴⁵ⁿ°]?√|π)",
    re.I,
)
# "18 apples minus 2", "18 eggs times two": a calculation that begins behind the unit.
CALCULATES_LATER = re.compile(
    rf"^\s*[A-Za-z]+\s+(?:plus|minus|{_TIMES}|multiplied by|divided by|squared|cubed|factorial|modulo|mod)\b",
    re.I,
)
# What stands directly before a number, and makes it a part of a calculation.
CALCULATES_BEFORE = re.compile(
    rf"(?:\b(?:roots?|power|factorial|logarithm|square|cube|multiple|{_PARTS}|percent|%|negation|reciprocal|inverse"
    r"|opposite|complement|sum|product|sine|cosine|tangent) of(?: the| an?)?|\b(?:twice|thrice|double|triple|half)"
    r"|\b(?:log|ln|lg|exp|sin|cos|tan|sqrt|cbrt|abs|floor|ceil|gcd|lcm|mod|modulo|times|plus|over"
    r"|choose|(?:divided|multiplied) by|point)\b"
    r"|[√∛])[\s(:$]*$",
    re.I,
)
DENIES = re.compile(
    r"\b(?:not|never|neither|nor|wrong|incorrect|cannot|unknown|impossible|undetermined|instead of|rather than"
    r"|no longer|too \w+|whether|eliminated?|rule[sd]? out|except|unlikely|false)\b|n['’]t\b",
    re.I,
)
DOUBTS = re.compile(r"\b(?:maybe|perhaps|possibly|probably either|either|unsure|guess)\b", re.I)
# Directly before a stated answer: it is named only to be refused.
DENIES_NEXT = re.compile(
    r"(?:\b(?:not|never|neither|nor|isn['’]?t|wasn['’]?t|can(?:no|['’])t be|cannot be|rather than|instead of|unlike"
    r"|other than|except|anything but|everything but|different from)"
    r"|\b(?:wrong|incorrect|mistaken|false|tempting|naive|trap|common but wrong) (?:\w+ )?(?:answer|result|value|guess)"
    r"(?: (?:is|was|would be|of))?)[\s:*_$({\\\[]*(?:\\(?:text|mathbf|textbf)\{)?$",
    re.I,
)
# Directly behind a stated answer: it is taken back. "18 is wrong", "18 is not the answer".
DENIES_BEFORE = re.compile(
    r"^[\s*_$)}\].\\]*(?:is|was|would be|seems|looks)(?: (?:clearly|obviously|also))? "
    r"(?:too \w+|wrong|incorrect|false|not (?:right|correct|the|true|my|our|a)|n't)\b",
    re.I,
)


def denied(text: str) -> bool:
    """True where `text` denies or doubts what it mentions."""
    return DENIES.search(text) is not None or DOUBTS.search(text) is not None
