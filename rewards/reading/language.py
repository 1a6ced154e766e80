"""Which language is a text in? By script, and by its most frequent small words where languages share one.

It knows the languages that IFEval asks for and their neighbors; for any other it says that it does not know.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

_SCRIPTS = {
    "kn": "KANNADA", "pa": "GURMUKHI", "gu": "GUJARATI", "th": "THAI", "te": "TELUGU", "bn": "BENGALI", "ta": "TAMIL",
    "ko": "HANGUL", "el": "GREEK", "he": "HEBREW", "ml": "MALAYALAM", "ja": "HIRAGANA",
    "hi": "DEVANAGARI", "mr": "DEVANAGARI", "ne": "DEVANAGARI", "ru": "CYRILLIC", "bg": "CYRILLIC", "uk": "CYRILLIC",
    "ar": "ARABIC", "fa": "ARABIC", "ur": "ARABIC", "zh": "CJK",
}  # fmt: skip
_SMALL_WORDS = {
    "en": "the of and to in is that it for was on are with as at be this have from or by not but you we an "
    "they his her i my will which their",
    "de": "der die das und ist nicht ein eine zu den mit von auf für im sich auch es dem als ich sie wir wie "
    "bei oder aus einen werden kann",
    "it": "il lo la di che è e un una per non con sono del della nel gli le i si da anche come più alla dei ma "
    "o questo molto",
    "pt": "o a os as de que é e um uma para não com são do da em no na dos das mais como por se ao foi ou muito também",
    "es": "el la los las de que es y un una para no con son del en por se como más al fue o muy también lo su",
    "fr": "le la les de que est et un une pour ne pas avec sont du des en dans au qui ce il elle nous vous sur "
    "par plus",
    "fi": "on ja ei se että ovat oli mutta kuin hän myös joka tai olla niin kun mitä ole sen voi minä tämä "
    "hyvin kanssa",
    "sw": "na ya wa ni kwa katika la za hii kama au cha si kuwa hiyo pia yake kwamba huo yangu wao sana lakini vya",
    "vi": "và là của có cho không được một những trong với các người này đã để khi từ như về tôi bạn rất cũng",
    "nl": "de het een en van is dat niet op te in voor met zijn aan die er maar ook als bij naar of wordt",
    "hi": "है हैं में का की के और को से एक यह पर नहीं भी था कि हो ने वह कर लिए आप मैं",
    "mr": "आहे आणि मध्ये आहेत या हे ते एक च्या ची चा होते नाही तर पण किंवा मी आपण असे साठी करून",
    "ne": "छ र को हो मा छन् यो पनि एक लागि गर्न तर थियो गर्छ हुन्छ ले भने हामी तपाईं यस",
    "ru": "и в не на что я с как это он по но из за то все так у же от был для мы они вы или",
    "bg": "и на да се в е за не от че с по са като това но си ще ли или към аз ние един които",
    "uk": "і в не на що я з як це він по але із за то все так у ж від був для ми вони ви або та є",
    "ar": "في من على أن إلى هذا التي عن مع لا ما هو هي هذه كان كل بعد أو ذلك الذي قد و كما",
    "fa": "و در به از که این را با است برای آن یک می های بر تا هم کرد ما شما خود یا است",
    "ur": "کے کی میں اور ہے کا سے کو ہیں نے یہ پر کہ ایک اس بھی نہیں تھا وہ کر لیے ہو جو",
}  # fmt: skip
_WORD_SETS = {code: frozenset(words.split()) for code, words in _SMALL_WORDS.items()}
LATIN = frozenset({"en", "de", "it", "pt", "es", "fr", "fi", "sw", "vi", "nl"})
KNOWN = frozenset(_SCRIPTS) | LATIN


def language_of(text: str) -> str | None:
    """The ISO 639-1 code of the language most of `text` is in, or None where it cannot be told.

    >>> language_of("Das ist nicht der richtige Weg, und wir gehen zurück."), language_of("12345")
    ('de', None)
    """
    script = main_script(text)
    if script is None:
        return None
    candidates = [c for c, s in _SCRIPTS.items() if s == script] if script != "LATIN" else sorted(LATIN)
    if len(candidates) < 2:
        return candidates[0] if candidates else None
    words = Counter(re.findall(r"[^\W\d_]+(?:[\u0900-\u097f]+)*", unicodedata.normalize("NFC", text[:20_000]).lower()))
    if script == "DEVANAGARI":
        words = Counter(re.split(r"[\s।,.!?;:\"'()|]+", text[:20_000]))
    scores = {c: sum(n for w, n in words.items() if w in _WORD_SETS[c]) for c in candidates}
    best = max(scores, key=lambda c: scores[c])
    runner_up = max(score for c, score in scores.items() if c != best)
    return best if scores[best] > runner_up else None


def script_of(code: str) -> str:
    """The script that the language `code` is written in, as `main_script` names it."""
    return _SCRIPTS.get(code, "LATIN")


def main_script(text: str) -> str | None:
    """The script of more than half of the letters of `text`, named as Unicode names it; None if there is none."""
    counts: Counter[str] = Counter()
    for c in text[:5000]:
        if c.isalpha():
            counts[unicodedata.name(c, "UNKNOWN").split()[0]] += 1
    if not counts:
        return None
    if counts["HIRAGANA"] + counts["KATAKANA"] > 0.2 * counts.total():
        return "HIRAGANA"
    script, n = counts.most_common(1)[0]
    return script if 2 * n > counts.total() else None
