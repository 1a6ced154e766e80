"""A trained LoRA adapter as a model of its own: merged once into the weights it was trained on, kept in the cache.

So the folder of an adapter can be named wherever a model can: the next rung starts from exactly the weights that the
last one was evaluated with (where the base is stored in the precision it trains in), and they are its reference.
"""

from __future__ import annotations

import hashlib
import importlib
import shutil
from pathlib import Path
from typing import Any

from rlpath.core.errors import InputError
from rlpath.core.files import TEMPORARY, disk_errors, lock, read_json
from rlpath.runs.provenance import file_sha256

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
BASE = "base.json"
"""Beside an adapter: the name of the model it was trained on and the SHA-256 of each of its weights files."""
_A, _B = ".lora_A.weight", ".lora_B.weight"


def is_adapter(folder: Path) -> bool:
    """Whether `folder` holds a PEFT adapter and no model."""
    return (folder / CONFIG).is_file() and not (folder / "config.json").is_file()


def base_of_adapter(folder: Path) -> str:
    """The name of the model that the adapter in `folder` belongs to. Raises `InputError` where it names none."""
    name = read_json(folder / CONFIG).get("base_model_name_or_path")
    if not isinstance(name, str) or not name:
        raise InputError(f"{folder / CONFIG} names no base model: set base_model_name_or_path there")
    return name


def merged_model(base: Path, adapter: Path, cache: Path) -> Path:
    """A model folder with `adapter` merged into the weights of `base`, in fp32 and rounded once to the base's type.

    Kept under `cache` by the hash of both, so that the same pair is merged once. Raises `InputError` where the adapter
    does not fit the base, or is not a plain LoRA of linear layers.
    """
    config = _plain_lora(adapter)
    with _open(adapter / WEIGHTS) as tensors:
        pairs = _pairs(tensors)
        _check_fits(base, adapter, pairs, config)
        hashes = {file.name: file_sha256(file) for file in sorted(base.glob("*.safetensors"))}
        _check_base(base, adapter, hashes)
        key = hashlib.sha256()
        for digest in (*hashes.values(), file_sha256(adapter / WEIGHTS), file_sha256(adapter / CONFIG)):
            key.update(digest.encode())
        folder = cache / "merged" / key.hexdigest()[:16]
        with disk_errors(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            with lock(folder.parent / f".{folder.name}.lock", wait=True):
                if not folder.is_dir():
                    _merge(base, adapter, pairs, config, folder)
    return folder


def _plain_lora(adapter: Path) -> dict[str, Any]:
    """The adapter's configuration. Raises `InputError` for anything but LoRA matrices of linear layers."""
    config = read_json(adapter / CONFIG)
    unusual = [name for name in ("use_dora", "modules_to_save", "rank_pattern", "alpha_pattern") if config.get(name)]
    if config.get("peft_type") != "LORA" or config.get("bias", "none") != "none" or unusual:
        why = ", ".join(unusual) or f"peft_type {config.get('peft_type')}, bias {config.get('bias')}"
        raise InputError(f"the adapter in {adapter} is not a plain LoRA ({why}): merge it with PEFT and give the model")
    return config


def _open(file: Path) -> Any:
    if not file.is_file():
        raise InputError(f"{file} is missing: save the adapter with save_pretrained()")
    safetensors: Any = importlib.import_module("safetensors")
    return safetensors.safe_open(file, framework="pt")


def _pairs(tensors: Any) -> dict[str, tuple[Any, Any]]:
    """Layer name → its A [rank, in] and B [out, rank]."""
    names = [name for name in tensors.keys() if name.endswith(_A)]  # noqa: SIM118
    return {
        name.removeprefix("base_model.model.").removesuffix(_A): (
            tensors.get_tensor(name),
            tensors.get_tensor(name.removesuffix(_A) + _B),
        )
        for name in names
    }


def _check_fits(base: Path, adapter: Path, pairs: dict[str, tuple[Any, Any]], config: dict[str, Any]) -> None:
    """Compare the adapter's shapes with the base's, before the base is loaded."""
    shapes: dict[str, tuple[int, ...]] = {}
    for file in sorted(base.glob("*.safetensors")):
        with _open(file) as tensors:
            shapes.update({name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()})  # noqa: SIM118
    for layer, (down, up) in pairs.items():
        wanted = (up.shape[0], down.shape[1])
        found = shapes.get(f"{layer}.weight")
        if found != (wanted[::-1] if config.get("fan_in_fan_out") else wanted):
            has = "no such layer" if found is None else f"{list(found)} there"
            raise InputError(
                f"the adapter in {adapter} belongs to another base model than {base}: it adapts {layer} of "
                f"{list(wanted)}, and the base has {has}; name the model it was trained on"
            )


def _check_base(base: Path, adapter: Path, hashes: dict[str, str]) -> None:
    """Compare the base's weights with those the adapter was trained on, where the adapter says which."""
    if not (adapter / BASE).is_file():
        return
    trained_on = read_json(adapter / BASE)
    wanted = {name: digest for name, digest in trained_on["sha256"].items() if name.endswith(".safetensors")}
    if wanted != hashes:
        raise InputError(
            f"the adapter in {adapter} belongs to another base model than {base}: the weights there are not those of "
            f"{trained_on.get('name')} that it was trained on; name that model, or train the adapter anew"
        )


def _merge(base: Path, adapter: Path, pairs: dict[str, tuple[Any, Any]], config: dict[str, Any], folder: Path) -> None:
    """Write the merged model beside its place and move it there whole."""
    torch: Any = importlib.import_module("torch")
    transformers: Any = importlib.import_module("transformers")
    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype="auto")
    rank = config["r"]
    scale = config["lora_alpha"] / (rank**0.5 if config.get("use_rslora") else rank)
    with torch.no_grad():
        for layer, (down, up) in pairs.items():
            weight = model.get_parameter(f"{layer}.weight")
            left, right = (down.T, up.T) if config.get("fan_in_fan_out") else (up, down)
            weight.copy_(torch.addmm(weight.float(), left.float(), right.float(), alpha=scale))
    temporary = folder.with_name(f".{folder.name}{TEMPORARY}")
    shutil.rmtree(temporary, ignore_errors=True)
    model.save_pretrained(temporary)
    with_tokenizer = adapter if (adapter / "tokenizer_config.json").is_file() else base
    transformers.AutoTokenizer.from_pretrained(with_tokenizer).save_pretrained(temporary)
    temporary.replace(folder)
