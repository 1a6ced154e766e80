"""Letters that look like others, and characters that are not seen: folded, so that a disguised copy is a copy.

A Cyrillic "а" for a Latin "a", a zero-width space or a soft hyphen inside a word change no reader's mind and every
word's hash. The table holds letters of other scripts that most typefaces draw as a Latin one; both sides of a
comparison are folded alike, so a text that is really Greek or Russian still matches its own copies.
"""

from __future__ import annotations

import unicodedata

_PAIRS = {
    # Cyrillic; small forms follow the capital's Latin letter, so that case makes no difference.
    "авекмнорстухіјѕԁһӏԛԝԍү": "abekmhopctyxijsdhlqwgy",
    "АВЕКМНОРСТУХІЈЅԀҺӀԚԜԌҮ": "abekmhopctyxijsdhlqwgy",
    # Greek: small ν looks like v and large Ν like n, so each is folded as it looks.
    "αβεικνορτυχϲϳω": "abeikvoptuxcjw",
    "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧϹϿ": "abezhikmnoptyxcc",
    # Armenian, Latin of phonetics, and letters without their dot.
    "օոսհցյզբ": "onuhgjqp",
    "ɑɡɩıȷʏᴀᴄᴏᴜᴠᴡᴢ": "agiijyacouvwz",
}
_LOOKS_LIKE = {ord(one): other for strange, plain in _PAIRS.items() for one, other in zip(strange, plain, strict=True)}
_UNSEEN = {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0, *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)}
"""Beside the format characters (Cf): joiners, fillers and variation selectors, which are drawn as nothing."""


def plain_text(text: str) -> str:
    """`text` without what is not seen, look-alikes replaced by the Latin letter, in NFKC and case-folded."""
    seen = "".join(letter for letter in text if unicodedata.category(letter) != "Cf" and ord(letter) not in _UNSEEN)
    return unicodedata.normalize("NFKC", seen).translate(_LOOKS_LIKE).casefold()
