"""Pretrain a language model of a few million weights from bytes: the first stage of a chat model on a laptop.

    python recipes/pretrain_tiny.py

The tokenizer and the model are those of `rlpath/trunk`; the text is generated (`rlpath/envs/tiny_text.py`), with some
speeches of a book where RLPATH_DATA holds one. The model is saved in the hub's format: every recipe takes it by
`--model`, and `sft_tiny.py` is the next stage. Killed at any moment, the same command goes on from the last checkpoint
to the same weights.
"""

from __future__ import annotations

import json
import math
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from rlpath.core.errors import InputError, run_command
from rlpath.core.seeding import derive
from rlpath.core.types import Demonstration, ExampleSet
from rlpath.envs.tiny_text import held_out_sums, tiny_text, worked_sums
from rlpath.evals.contamination.screen import screen, sentence
from rlpath.posttrain.experiment import read_settings
from rlpath.runs.cpu import prepare_cpu
from rlpath.runs.provenance import manifest
from rlpath.runs.run_folder import RunFolder
from rlpath.trunk import export
from rlpath.trunk.gpt import GPT, Shape, token_stream, tokenizer_for

HELD_OUT = 50
"""One document of so many is held out."""
ROWS_AT_ONCE = 32
"""Sequences of one forward where held-out text is measured."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    preset: str = "cpu"
    level: str = "add-1x2"
    """which sums the text holds: a level of `rlpath.envs.arithmetic` that has sums alone"""
    sums: int = 15_000
    """documents of three sums each"""
    stories: int = 1000
    """documents that are a word problem with its solution"""
    speeches: int = 100
    """documents from a book, where RLPATH_DATA holds one"""
    vocabulary: int = 384
    width: int = 192
    layers: int = 4
    heads: int = 6
    hidden: int = 512
    context: int = 128
    steps: int = 2000
    batch: int = 4
    """sequences of `context` tokens a step"""
    learning_rate: float = 2e-3
    warmup_steps: int = 50
    checkpoint_every: int = 100
    evaluate_every: int = 500
    seed: int = 0
    root: Path = Path("runs")


PRESETS = {
    "cpu": Settings(),
    "smoke": Settings(
        preset="smoke", sums=200, stories=20, speeches=0, vocabulary=320, width=32, layers=2, heads=2, hidden=64,
        context=128, steps=6, batch=2, warmup_steps=1, checkpoint_every=2, evaluate_every=3,
    ),
}  # fmt: skip
PRESETS |= {name: replace(PRESETS["cpu"], preset=name) for name in ("gpu-24gb", "gpu-80gb")}


@dataclass(slots=True)
class TokenStreams:
    """Tokens to learn from and tokens held out, each one stream."""

    training: torch.Tensor
    held_out: torch.Tensor
    held_out_bytes: int

    def batch(self, step: int, settings: Settings) -> tuple[torch.Tensor, torch.Tensor]:
        """Inputs and targets of one step, `batch` by `context`, at places fixed by seed and step."""
        generator = torch.Generator().manual_seed(derive(settings.seed, "places", step))
        places = torch.randint(len(self.training) - settings.context - 1, (settings.batch,), generator=generator)
        rows = torch.stack([self.training[at : at + settings.context + 1] for at in places.tolist()])
        return rows[:, :-1], rows[:, 1:]


@dataclass(frozen=True, slots=True)
class TinyText:
    """Documents to learn from and documents held out, and how many of each kind there are."""

    training: list[str]
    held_out: list[str]
    counts: dict[str, int]

    @property
    def examples(self) -> ExampleSet[Demonstration]:
        """The documents to learn from as the overlap check and the manifest take them."""
        rows = tuple(Demonstration(f"document-{i}", (), text) for i, text in enumerate(self.training))
        return ExampleSet("tiny-text", "train", rows, "procedural")


def make_text(settings: Settings) -> TinyText:
    """The text of the settings, one document of `HELD_OUT` held out."""
    documents, counts = tiny_text(
        settings.level, settings.sums, settings.stories, settings.speeches, seed=settings.seed
    )
    held_out = len(documents) // HELD_OUT
    return TinyText(documents[held_out:], documents[:held_out], counts)


def check_text(text: TinyText, level: str) -> dict[str, Any]:
    """The overlap of the text with everything that later stages are evaluated on, for the manifest.

    N-grams are looked for as in every recipe. A sum in words is shorter than they are, so its two numbers are looked
    for too. Raises `InputError` where a held-out sum stands in the text.
    """
    problems = worked_sums("validation", level)
    _, record = screen(text.examples, problems, on_hit="flag")
    asked = held_out_sums(text.training, problems.problems)
    if asked:
        raise InputError(f"{len(asked)} documents ask for a held-out sum, such as {asked[0]!r}")
    print(f"{sentence(record)}; none of {len(text.training)} documents asks for one of {len(problems)} held-out sums")
    return record | {"documents_with_held_out_sums": 0}


def prepare(settings: Settings, text: TinyText) -> tuple[Any, TokenStreams]:
    """The tokenizer, and the text in tokens."""
    tokenizer = tokenizer_for(text.training, settings.vocabulary, digits=True)
    streams = (torch.tensor(token_stream(tokenizer, part)) for part in (text.training, text.held_out))
    corpus = TokenStreams(*streams, held_out_bytes=sum(len(document.encode()) for document in text.held_out))
    if len(corpus.held_out) <= settings.context + 1:
        raise InputError(f"--sums {settings.sums} is too few for sequences of {settings.context} tokens")
    return tokenizer, corpus


def rate(step: int, settings: Settings) -> float:
    """The learning rate of a step: warm-up, then a cosine down to a tenth."""
    warm = min(1.0, (step + 1) / max(1, settings.warmup_steps))
    return settings.learning_rate * warm * (0.1 + 0.45 * (1 + math.cos(math.pi * step / settings.steps)))


def train(run: RunFolder, model: GPT, corpus: TokenStreams, settings: Settings) -> None:
    """Train to the last step, from the last checkpoint where there is one."""
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.98), weight_decay=0.1, fused=True)
    first = 0
    if checkpoint := run.last_checkpoint():
        state = torch.load(checkpoint / "state.pt", weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["step"]
        print(f"going on from step {first}", flush=True)
    run.rewind(first)
    for step in range(first, settings.steps):
        for group in optimizer.param_groups:
            group["lr"] = rate(step, settings)
        inputs, targets = corpus.batch(step, settings)
        loss = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        done = step + 1
        metrics = {"loss": loss.item()}
        if done % settings.evaluate_every == 0 or done == settings.steps:
            metrics["bits_a_byte"] = bits = bits_a_byte(model, corpus)
            print(f"step {done}/{settings.steps}: loss {loss.item():.3f}, {bits:.3f} bits a byte held out", flush=True)
        run.log_metrics(done, metrics)
        if done % settings.checkpoint_every == 0 or done == settings.steps:
            folder = run.checkpoints / f"checkpoint-{done}"
            folder.mkdir(exist_ok=True)
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": done}
            torch.save(state, folder / "state.pt")
            run.mark_complete(folder, keep=1)


@torch.inference_mode()
def bits_a_byte(model: GPT, corpus: TokenStreams) -> float:
    """Cross-entropy of the held-out documents in bits a byte; the tokens left over behind the last sequence not."""
    context = model.shape.context
    rows = (len(corpus.held_out) - 1) // context
    used = corpus.held_out[: rows * context + 1]
    nats = 0.0
    inputs_of, targets_of = (tokens.view(rows, context).split(ROWS_AT_ONCE) for tokens in (used[:-1], used[1:]))
    for inputs, targets in zip(inputs_of, targets_of, strict=True):
        nats += F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten(), reduction="sum").item()
    share = rows * context / len(corpus.held_out)
    return nats / math.log(2) / (corpus.held_out_bytes * share)


def main() -> None:
    settings = read_settings(PRESETS)
    machine = prepare_cpu()
    with RunFolder.open(settings.root, "pretrain_tiny", asdict(settings), settings.seed) as run:
        if run.finished:
            print(f"this run is finished: {run.path / 'model'}")
            return
        text = make_text(settings)
        overlap = check_text(text, settings.level)
        tokenizer, corpus = prepare(settings, text)
        sizes = (settings.width, settings.layers, settings.heads, settings.hidden, settings.context)
        shape = Shape(tokenizer.get_vocab_size(), *sizes)
        model = GPT(shape, settings.seed)
        facts = {"documents": text.counts, "tokens": len(corpus.training), "parameters": model.parameter_count}
        known = manifest(sys.argv, asdict(settings), [text.examples])
        run.write_manifest(known | {"cpu": machine, "contamination": overlap} | facts)
        print(f"run folder {run.path}; {json.dumps(facts)}", flush=True)
        train(run, model, corpus, settings)
        export.save(model, tokenizer, run.path / "model")
        run.mark_finished()
        print(f"model: {run.path / 'model'}")


if __name__ == "__main__":
    run_command(main)
