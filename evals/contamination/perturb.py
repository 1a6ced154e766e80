"""Other words for the same item: twins with new numbers and names, and rephrasings by rule.

Made for word problems in English. A twin keeps the text and changes what it is about, so that a model that reads sees
no difference and one that remembers does; the changed numbers need not have a sensible answer. A rephrasing keeps names
and numbers and changes the wording: what is asked comes first, and common words give way to synonyms.
"""

from __future__ import annotations

import random
import re

from rlpath.core.seeding import derive

_NAMES = """
Adam Alice Amy Andrew Anna Anne Ben Bill Bob Brian Carl Carol Charles Chris Claire Dan Daniel David Emily Emma
Eric Frank Gary George Grace Greg Hannah Harry Helen Jack Jacob James Jane Janet Jason Jean Jenny Jerry Jessica
Jill Jim Joe John Josh Julia Julie Karen Kate Kelly Ken Kevin Kim Kyle Larry Laura Lily Linda Lisa Lucy Maria Mark
Martha Mary Matt Max Megan Mia Michael Mike Nancy Natalie Nick Olivia Oscar Pam Paul Peter Rachel Ralph Richard
Robert Ryan Sally Sam Sandra Sara Sarah Scott Sophia Stephen Steve Susan Terry Tim Tina Tom Tommy Tony Victoria
Wendy
"""
NAMES = _NAMES.split()
_NAME = re.compile(rf"\b(?:{'|'.join(NAMES)})\b")
_NUMBER = re.compile(r"\d+")

SYNONYMS = {
    "has": "owns",
    "have": "own",
    "had": "owned",
    "buys": "purchases",
    "bought": "purchased",
    "buy": "purchase",
    "sells": "is selling",
    "sold": "was selling",
    "makes": "produces",
    "made": "produced",
    "gets": "receives",
    "got": "received",
    "gives": "hands over",
    "gave": "handed over",
    "needs": "requires",
    "need": "require",
    "wants": "wishes",
    "takes": "requires",
    "uses": "employs",
    "spends": "pays",
    "spent": "paid",
    "costs": "is priced at",
    "cost": "price",
    "eats": "consumes",
    "ate": "consumed",
    "starts": "begins",
    "finds": "discovers",
    "each": "every single",
    "every": "each",
    "and": "as well as",
    "but": "though",
    "if": "supposing",
    "then": "afterwards",
    "so": "therefore",
    "also": "too",
    "total": "sum",
    "altogether": "in sum",
    "left": "remaining",
    "more": "additional",
    "many": "large a number of",
    "much": "great an amount of",
    "twice": "two times",
    "half": "one half",
    "first": "initial",
    "last": "final",
    "per": "for each",
    "when": "at the time that",
    "while": "whereas",
    "only": "just",
    "will": "is going to",
    "can": "is able to",
    "money": "cash",
    "dollars": "bucks",
    "people": "persons",
    "children": "kids",
    "kids": "children",
    "friends": "pals",
    "house": "home",
    "big": "large",
    "small": "little",
    "day": "single day",
    "week": "seven-day week",
    "year": "calendar year",
    "there": "here",
    "of": "out of",
    "for": "in exchange for",
    "with": "along with",
    "to": "towards",
    "the": "that",
    "a": "one",
    "in": "inside",
    "on": "upon",
    "is": "happens to be",
    "are": "happen to be",
    "was": "had been",
    "were": "had been",
    "he": "this man",
    "she": "this woman",
    "his": "that man's",
    "her": "that woman's",
    "they": "these ones",
    "their": "these ones'",
    "it": "this thing",
}
_WORD = re.compile(r"[A-Za-z]+")
_SENTENCE = re.compile(r"(?<=[.!?])\s+")


def twin(text: str, seed: int) -> str:
    """`text` with every number and every known first name replaced, the same one always by the same other one.

    Numbers keep their number of digits; 0 and 1 stay. Text without either comes back as it is.
    """
    generator = random.Random(derive(seed, "twin", text))
    names = list(dict.fromkeys(_NAME.findall(text)))
    new_names = dict(zip(names, generator.sample([n for n in NAMES if n not in names], len(names)), strict=True))
    renamed = _NAME.sub(lambda found: new_names[found.group()], text)
    numbers: dict[str, str] = {}
    for number in _NUMBER.findall(renamed):
        numbers.setdefault(number, _other(number, generator))
    return _NUMBER.sub(lambda found: numbers[found.group()], renamed)


def rephrase(text: str, seed: int, share: float = 0.8) -> str:
    """`text` with its last sentence moved to the front and `share` of the words in `SYNONYMS` replaced."""
    generator = random.Random(derive(seed, "rephrase", text))
    sentences = _SENTENCE.split(text.strip())
    moved = " ".join([sentences[-1], *sentences[:-1]])

    def other(found: re.Match[str]) -> str:
        word = found.group()
        new = SYNONYMS.get(word.lower())
        if new is None or generator.random() >= share:
            return word
        return new.capitalize() if word[0].isupper() else new

    return _WORD.sub(other, moved)


def _other(number: str, generator: random.Random) -> str:
    if number in ("0", "1") or number.startswith("0"):
        return number
    low, high = (2, 9) if len(number) == 1 else (10 ** (len(number) - 1), 10 ** len(number) - 1)
    while True:
        new = str(generator.randint(low, high))
        if new != number:
            return new
