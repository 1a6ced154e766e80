"""Where a completion ends before its longest: at a token that ends a turn, or at a string."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch


class Stops:
    """Tokens and strings that end a completion; `tokenizer` is needed for strings alone."""

    def __init__(self, ids: Iterable[int] = (), texts: Sequence[str] = (), tokenizer: Any = None) -> None:
        self.ids = torch.tensor(sorted(ids), dtype=torch.long)
        self.texts, self.tokenizer = tuple(texts), tokenizer
        self.reach = max((len(text.encode()) for text in texts), default=0) + 4
        """Tokens back from the newest that a string just completed can reach: a token has at least one byte."""

    def at(self, token_B: torch.Tensor) -> torch.Tensor:
        """Which tokens end a turn."""
        return torch.isin(token_B, self.ids.to(token_B.device))

    def within(self, tokens: Sequence[int]) -> bool:
        """Whether the text of `tokens` holds one of the strings."""
        if not self.texts:
            return False
        text = self.tokenizer.decode(tokens, skip_special_tokens=True)
        return any(stop in text for stop in self.texts)
