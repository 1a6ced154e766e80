"""Figures that others published, each with its harness: shown beside ours, never compared with them.

Prompts, few-shot examples, limits and extraction differ between harnesses by more than models of one size differ. The
same base model is given 33.4 and 41.6 on GSM8K by two reports.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

SIZES_APART = 4
"""A published figure is shown where its model is at most so many times larger or smaller than the baseline."""

_COLUMNS = ("model", "parameters", "task", "figure", "harness", "source")
_ROWS: tuple[tuple[str, float, str, str, str, str], ...] = (
    ("SmolLM2-135M", 0.135e9, "gsm8k", "1.4", "not named, 5-shot", "model card"),
    ("SmolLM2-135M-Instruct", 0.135e9, "gsm8k", "1.4", "not named, 5-shot", "model card"),
    ("SmolLM2-135M-Instruct", 0.135e9, "gsm8k", "0.38", "lm-eval, 0-shot, flexible", "card of a merge of it"),
    ("SmolLM2-360M", 0.36e9, "gsm8k", "3.2", "not named, 5-shot", "model card"),
    ("SmolLM2-360M-Instruct", 0.36e9, "gsm8k", "7.43", "not named, 5-shot", "model card"),
    ("Qwen2.5-0.5B", 0.49e9, "gsm8k", "41.6", "its authors' own", "Qwen2.5 report"),
    ("Qwen2.5-0.5B", 0.49e9, "gsm8k", "33.4", "not named, 5-shot", "SmolLM2 model card"),
    ("Qwen2.5-0.5B-Instruct", 0.49e9, "gsm8k", "49.6", "its authors' own", "Qwen2.5 report"),
    ("Qwen2.5-0.5B-Instruct", 0.49e9, "gsm8k", "26.8", "not named, 5-shot", "SmolLM2 model card"),
    ("Qwen2.5-1.5B", 1.54e9, "gsm8k", "68.5", "its authors' own", "Qwen2.5 report"),
    ("Qwen2.5-1.5B-Instruct", 1.54e9, "gsm8k", "73.2", "its authors' own", "Qwen2.5 report"),
    ("Llama-3.2-1B-Instruct", 1.24e9, "gsm8k", "44.4", "its authors' own", "model card"),
    ("Qwen2.5-1.5B", 1.54e9, "math500", "3.3 ± 1.5", "sober-reasoning", "sober-reasoning, data.json"),
    ("Qwen2.5-1.5B-Instruct", 1.54e9, "math500", "58.1 ± 1.4", "sober-reasoning", "sober-reasoning, data.json"),
    ("Llama-3.2-1B", 1.24e9, "arc", "32.8", "its authors' own, 25-shot", "model card"),
    ("Llama-3.2-1B-Instruct", 1.24e9, "arc", "59.4", "its authors' own", "model card"),
)


def references(tasks: Sequence[str], parameters: int) -> tuple[Mapping[str, str], ...]:
    """Published figures on these tasks of models of about `parameters` (0 where that is not known), in percent."""
    return tuple(
        {name: value for name, value in zip(_COLUMNS, row, strict=True) if isinstance(value, str)}
        for row in _ROWS
        if row[2] in tasks and parameters and 1 / SIZES_APART <= row[1] / parameters <= SIZES_APART
    )
