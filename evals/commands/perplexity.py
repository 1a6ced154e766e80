"""The command `rlpath perplexity`: how well base models predict text, in bits a byte, beside one another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from rlpath.core.errors import InputError


@dataclass(frozen=True)
class Perplexity:
    """Bits a byte of models on text, with intervals over documents; later models are compared with the first."""

    models: tyro.conf.Positional[tuple[str, ...]]
    """Model folders, adapters, hub ids or smollm2-135m-instruct; the first is what the others are compared with."""
    text: tuple[Path, ...] = ()
    """Files or folders: .jsonl, .json, .csv, .tsv, .parquet (a row is a document), .txt, .md (a file is one)."""
    field: str | None = None
    """Read this field of each row alone; by default every text in it."""
    limit: int | None = None
    """Documents at most, the first ones."""
    window: int = 1024
    """Tokens read at once; a longer document is read in windows one after another."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Precision."""

    def run(self) -> int:
        """Read, print a line a model."""
        from rlpath.evals.contamination.documents import documents, training_files
        from rlpath.evals.measure.perplexity import predict, whole_texts
        from rlpath.models.load import load_model, load_tokenizer, resolve_model

        if not self.models or self.window < 2 or (self.limit is not None and self.limit < 2):
            raise InputError(
                f"{len(self.models)} models, --window {self.window}, --limit {self.limit}: at least one model, a "
                "window of 2 tokens and 2 documents are needed"
            )
        texts = whole_texts(documents(training_files(self.text), self.field))[: self.limit]
        found = []
        for name in self.models:
            path = resolve_model(name)
            model = load_model(path, self.dtype).eval()
            found.append(predict(name, model, load_tokenizer(path, needs_chat=False), texts, self.window))
            one, bits = found[-1], found[-1].bits_a_byte
            line = f"{name}: {bits.estimate:.4f} [{bits.low:.4f}, {bits.high:.4f}] bits a byte"
            print(f"{line}, perplexity {one.perplexity:.2f} a token ({one.tokens} tokens, {len(texts)} documents)")
            if len(found) > 1:
                less = one.less(found[0])
                print(f"  less {found[0].model}: {less.estimate:+.4f} [{less.low:+.4f}, {less.high:+.4f}] bits a byte")
        print(f"windows of {self.window} tokens, {self.dtype}, 95 % intervals over documents")
        return 0
