"""Text that stands in base64 or hexadecimal, put back into the clear before it is searched."""

from __future__ import annotations

import base64
import re

SHORTEST = 32
"""Characters of an encoded run, or of a line of it, below which it is not looked at."""
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_"
_INSIDE = bytes(int(byte in _ALPHABET) for byte in range(256))
_RUN = re.compile(r"(?:[\w+/-]{32,}\s{1,2})*[\w+/-]{32,}(?:\s{1,2}[\w+/-]{1,75})?={0,2}", re.ASCII)
_HEX = re.compile(r"[0-9a-fA-F]+")
_URL_SAFE = str.maketrans("-_", "+/")


def in_the_clear(text: str) -> str:
    """`text` with every run decoded that is text in base64 (of either alphabet, also over lines) or hexadecimal."""
    # Many times as fast as the pattern, and few texts have so long a word.
    if bytes([1]) * SHORTEST not in text.encode("utf-8", "replace").translate(_INSIDE):
        return text
    return _RUN.sub(lambda run: _decoded(run[0]), text)


def _decoded(run: str) -> str:
    """What a run says, its last word left out where that is not of it; the run itself where it says nothing."""
    pieces = run.split()
    for count in (len(pieces), len(pieces) - 1):
        joined = "".join(pieces[:count]).rstrip("=")
        for decode in (_from_hex, _from_base64):
            try:
                said = decode(joined).decode("utf-8")
            except ValueError:
                continue
            if "".join(said.split()).isprintable() and said.strip():
                return " ".join(["", said, *pieces[count:], ""])
    return run


def _from_hex(joined: str) -> bytes:
    if not _HEX.fullmatch(joined):
        raise ValueError("not hexadecimal")
    return bytes.fromhex(joined)


def _from_base64(joined: str) -> bytes:
    return base64.b64decode(joined.translate(_URL_SAFE) + "=" * (-len(joined) % 4), validate=True)
