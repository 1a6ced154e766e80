"""What is evaluated: a model, or an adapter on its base, with what a fair comparison must know of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from rlpath.core.errors import InputError
from rlpath.core.types import Completion, Decoding
from rlpath.evals.suite.endpoint import is_endpoint, split_endpoint
from rlpath.models.adapters import base_of_adapter, is_adapter
from rlpath.models.load import load_tokenizer, parameter_count, resolve_model
from rlpath.models.rollouts import Backend, PolicySampler, choose_backend, load_sampler
from rlpath.runs.provenance import describe_model
from rlpath.runs.run_folder import read_run

SAME_SIZE = 0.10
"""Largest difference in parameters, as a share of the baseline's, at which two models are of one size."""


@dataclass(frozen=True)
class Subject:
    """A model under evaluation.

    spec: what the user named; label: what tables call it
    path: the folder of the whole model, merged where `adapter` is set
    parameters: of the whole model; an adapter merges into its base and adds none
    sha256: over every weights file, the adapter's too
    run: the training run it came from, with its seed, or None
    again: a model taking part a second time, against itself: with new samples
    A model behind an endpoint has no folder, and its number of parameters is not known: 0.
    """

    spec: str
    label: str
    path: Path
    adapter: Path | None
    parameters: int
    sha256: str
    run: Path | None = None
    seed: int | None = None
    recipe: str | None = None
    again: bool = False

    @property
    def is_endpoint(self) -> bool:
        """Whether it is asked over HTTP."""
        return is_endpoint(self.spec)

    def once_more(self) -> Subject:
        """The same model as its own baseline."""
        sha256 = hashlib.sha256(f"{self.sha256} again".encode()).hexdigest()
        return replace(self, label=f"{self.label}, again", sha256=sha256, again=True)

    def same_size(self, other: Subject) -> bool:
        """Whether the two differ by at most 10 % of the other's parameters."""
        return abs(self.parameters - other.parameters) <= SAME_SIZE * other.parameters


def resolve_subject(spec: str) -> Subject:
    """A run folder, an adapter's folder, or whatever `resolve_model` accepts.

    Raises InputError for a run without a trained model, an adapter whose base cannot be found, or no model at all.
    """
    if is_endpoint(spec):
        address, model = split_endpoint(spec)
        named = hashlib.sha256(f"{address}#{model}".encode()).hexdigest()
        return Subject(spec, f"{model} at {urlsplit(address).netloc}", Path(), None, 0, named)
    folder = Path(spec).expanduser()
    if (folder / "config.json").is_file() and (folder / "manifest.json").is_file():
        return _of_run(spec, folder)
    if folder.is_dir() and is_adapter(folder):
        return _of_adapter(spec, folder.resolve(), folder.name)
    path = resolve_model(spec)
    return Subject(spec, path.name if folder.is_dir() else spec, path, None, parameter_count(path), _sha256([path]))


def base_of(subject: Subject) -> Subject:
    """The base model of an adapter, as a subject of its own; the subject itself where it has none."""
    if subject.adapter is None:
        return subject
    return resolve_subject(base_of_adapter(subject.adapter))


def _of_run(spec: str, folder: Path) -> Subject:
    record = read_run(folder)
    model = folder / "model"
    if not model.is_dir():
        raise InputError(f"{folder} holds no trained model yet: let the run finish, then evaluate it")
    seed = record.config.get("seed")
    recipe = folder.resolve().parent.parent.name
    label = f"{recipe}, seed {seed}"
    if is_adapter(model):
        found = _of_adapter(spec, model.resolve(), label)
    else:
        path = resolve_model(str(model))
        found = Subject(spec, label, path, None, parameter_count(path), _sha256([path]))
    return Subject(**{**vars(found), "run": folder.resolve(), "seed": seed, "recipe": recipe})


def _of_adapter(spec: str, adapter: Path, label: str) -> Subject:
    path = resolve_model(str(adapter))
    return Subject(spec, label, path, adapter, parameter_count(path), _sha256([path]))


def _sha256(folders: list[Path]) -> str:
    hashes = [describe_model(None, folder)["sha256"] for folder in folders]
    return hashlib.sha256(json.dumps(hashes, sort_keys=True).encode()).hexdigest()


class LazySampler:
    """A sampler with the subject's weights that are read at the first completion: a cached answer needs no model.

    `max_length` bounds prompt plus completion (vLLM only).
    """

    def __init__(
        self,
        subject: Subject,
        backend: Literal["auto", "hf", "vllm"],
        *,
        max_length: int,
        dtype: str = "bfloat16",
        chat_template: str | None = None,
        max_batch: int = 256,
    ) -> None:
        self.subject = subject
        self.backend: Backend = choose_backend(backend)
        self.max_length = max_length
        self.dtype = dtype
        self.max_batch = max_batch
        self.stops_at_text = self.backend == "hf"
        self.tokenizer: Any = load_tokenizer(subject.path, needs_chat=False)
        if chat_template is not None:
            self.tokenizer.chat_template = chat_template
        self.device = _device()
        self._loaded: PolicySampler | None = None

    def encode(self, prompt: str) -> list[int]:
        """Token ids of a user turn."""
        from rlpath.models.hf_sampler import encode_chat

        return encode_chat(self.tokenizer, prompt)

    def generate(
        self, prompts: Sequence[Sequence[int]], decoding: Decoding, *, stop: Sequence[str] = ()
    ) -> list[list[Completion]]:
        """Completions of the prompts; with the Hugging Face sampler they go on no further than a string of `stop`."""
        loaded: Any = self._load()
        return loaded.generate(prompts, decoding, stop=stop) if stop else loaded.generate(prompts, decoding)

    def continuation_logprobs(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """Log-probability (nats) of each second text as the continuation of the first.

        Raises InputError where the backend gives none.
        """
        from rlpath.evals.suite.likelihood import continuation_logprobs

        if self.backend != "hf":
            raise InputError("a likelihood template needs the model's log-probabilities: choose --backend hf")
        loaded: Any = self._load()
        return continuation_logprobs(loaded.model, self.tokenizer, pairs)

    def _load(self) -> PolicySampler:
        if self._loaded is None:
            from rlpath.runs.cpu import prepare_cpu

            if self.device == "cpu":
                prepare_cpu()
            self._loaded = load_sampler(
                self.backend,
                self.subject.path,
                max_length=self.max_length,
                dtype=self.dtype,
                device=self.device,
                needs_chat=False,
                max_batch=self.max_batch,
            )
        return self._loaded


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def has_chat_template(subject: Subject) -> bool:
    """Whether the subject's tokenizer can put a user turn; what a server's can is for the server to say."""
    return subject.is_endpoint or load_tokenizer(subject.path, needs_chat=False).chat_template is not None
