"""A trained adapter as a model of its own: merged once into the weights it was trained on, kept in the cache.

So the folder of an adapter can be named wherever a model can: the next rung starts from exactly the weights that the
last one was evaluated with (where the base is stored in the precision it trains in), and they are its reference.
PEFT merges whatever kind of adapter it knows, and nothing is believed: the merged model must give the logits that PEFT
gives with the adapter beside its base, in memory and read back from the disk. What does not is refused.
"""

from __future__ import annotations

import hashlib
import importlib
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rlpath.core.errors import InputError
from rlpath.core.files import TEMPORARY, disk_errors, lock, read_json
from rlpath.runs.provenance import file_sha256

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
BASE = "base.json"
"""Beside an adapter: the name of the model it was trained on and the SHA-256 of each of its weights files."""
MERGING = b"2"
"""Raised whenever merging changes what it writes, so that an old cache is not taken for a new one."""
TOLERANCE = 1e-4
"""Largest difference of logits in fp32, as a share of the largest logit, that rounding may cause."""
_A, _B = ".lora_A.weight", ".lora_B.weight"
_CANNOT = (RuntimeError, ValueError, TypeError, KeyError, AttributeError)
"""What PEFT raises for adapters that it cannot load onto a model, or cannot merge."""


def is_adapter(folder: Path) -> bool:
    """Whether `folder` holds a PEFT adapter and no model. Raises `InputError` where it holds both."""
    if not (folder / CONFIG).is_file():
        return False
    if any(folder.glob("model*.safetensors")):
        raise InputError(
            f"{folder} holds an adapter and the weights of a model: it is not clear which is meant, so keep {CONFIG} "
            f"and {WEIGHTS} in a folder of their own"
        )
    return True


def base_of_adapter(folder: Path) -> str:
    """The name of the model that the adapter in `folder` belongs to. Raises `InputError` where it names none."""
    name = read_json(folder / CONFIG).get("base_model_name_or_path")
    if not isinstance(name, str) or not name:
        raise InputError(f"{folder / CONFIG} names no base model: set base_model_name_or_path there")
    return name


def merged_model(base: Path, adapter: Path, cache: Path) -> Path:
    """A model folder with `adapter` merged into the weights of `base`, in fp32 and rounded once to the base's type.

    Kept under `cache` by the hash of both, so that the same pair is merged once. Raises `InputError` where the adapter
    does not fit the base, cannot be merged, or merged is not what PEFT makes of it.
    """
    config = read_json(adapter / CONFIG)
    if not (adapter / WEIGHTS).is_file():
        raise InputError(f"{adapter / WEIGHTS} is missing: save the adapter with save_pretrained()")
    if read_json(base / "config.json").get("quantization_config"):
        raise InputError(
            f"the base model {base} of the adapter in {adapter} is quantized, and nothing can be merged into it: set "
            f"base_model_name_or_path in {CONFIG} to the model before quantization"
        )
    _check_fits(base, adapter, config)
    hashes = {file.name: file_sha256(file) for file in sorted(base.glob("*.safetensors"))}
    _check_base(base, adapter, hashes)
    key = hashlib.sha256(MERGING)
    for digest in (*hashes.values(), file_sha256(adapter / WEIGHTS), file_sha256(adapter / CONFIG)):
        key.update(digest.encode())
    folder = cache / "merged" / key.hexdigest()[:16]
    with disk_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with lock(folder.parent / f".{folder.name}.lock", wait=True):
            if not folder.is_dir():
                _merge(base, adapter, folder)
    return folder


# What can be seen before the base is loaded


def _check_fits(base: Path, adapter: Path, config: dict[str, Any]) -> None:
    """Compare the shapes of LoRA matrices with the base's."""
    found = _shapes(*sorted(base.glob("*.safetensors")))
    matrices = _shapes(adapter / WEIGHTS)
    # Matrices of `target_parameters` are named by the module, not by the parameter that they adapt.
    names = [] if config.get("target_parameters") else [name for name in matrices if name.endswith(_A)]
    for name in names:
        layer = name.removeprefix("base_model.model.").removesuffix(_A)
        wanted = (matrices[name.removesuffix(_A) + _B][0], matrices[name][1])
        there = found.get(f"{layer}.weight")
        tied_head = there is None and layer.endswith("lm_head")
        if not tied_head and there != (wanted[::-1] if config.get("fan_in_fan_out") else wanted):
            has = "no such layer" if there is None else f"{list(there)} there"
            raise InputError(
                f"the adapter in {adapter} belongs to another base model than {base}: it adapts {layer} of "
                f"{list(wanted)}, and the base has {has}; name the model it was trained on"
            )


def _shapes(*files: Path) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor by its name."""
    safetensors: Any = importlib.import_module("safetensors")
    shapes: dict[str, tuple[int, ...]] = {}
    for file in files:
        with safetensors.safe_open(file, framework="pt") as tensors:
            shapes.update({name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()})  # noqa: SIM118
    return shapes


def _check_base(base: Path, adapter: Path, hashes: dict[str, str]) -> None:
    """Compare the base's weights with those the adapter was trained on, where the adapter says which."""
    if not (adapter / BASE).is_file():
        return
    trained_on = read_json(adapter / BASE)
    wanted = {name: digest for name, digest in trained_on["sha256"].items() if name.endswith(".safetensors")}
    if wanted != hashes:
        raise InputError(
            f"the adapter in {adapter} belongs to another base model than {base}: the weights there are not those of "
            f"{trained_on.get('name')} that it was trained on; name that model, or train the adapter again"
        )


# Merging


def _merge(base: Path, adapter: Path, folder: Path) -> None:
    """Write the merged model beside its place, check it, and move it there whole."""
    torch: Any = importlib.import_module("torch")
    transformers: Any = importlib.import_module("transformers")
    auto: Any = transformers.AutoModelForCausalLM
    model = auto.from_pretrained(base, dtype="auto").eval()
    stored = model.dtype
    with torch.no_grad(), _peft_at_work(adapter):
        policy = _load(model.float(), adapter)
        ids = _some_tokens(policy)
        wanted = policy(input_ids=ids).logits
        merged = _merge_in_memory(policy)
    with torch.no_grad():
        _check_logits(adapter, merged(input_ids=ids).logits, wanted)
        _store_as(merged, stored)
        temporary = folder.with_name(f".{folder.name}{TEMPORARY}")
        shutil.rmtree(temporary, ignore_errors=True)
        merged.save_pretrained(temporary)
        written = auto.from_pretrained(temporary, dtype=torch.float32).eval()
        _store_as(merged, torch.float32)
        _check_logits(adapter, written(input_ids=ids).logits, merged(input_ids=ids).logits)
    with_tokenizer = adapter if (adapter / "tokenizer_config.json").is_file() else base
    transformers.AutoTokenizer.from_pretrained(with_tokenizer).save_pretrained(temporary)
    temporary.replace(folder)


@contextmanager
def _peft_at_work(adapter: Path) -> Iterator[None]:
    """Draws of PEFT's initialization fixed, its warnings silent (what they fear is checked), its errors a sentence."""
    torch: Any = importlib.import_module("torch")
    try:
        with warnings.catch_warnings(), torch.random.fork_rng():
            warnings.simplefilter("ignore")
            torch.manual_seed(0)
            yield
    except _CANNOT as error:
        why = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(
            f"the adapter in {adapter} cannot be merged into its base ({why}): merge it yourself and name the model"
        ) from error


def _load(model: Any, adapter: Path) -> Any:
    """The model with its adapter beside it. Raises `InputError` unless every tensor of the adapter found its place."""
    peft: Any = importlib.import_module("peft")
    saved = importlib.import_module("safetensors.torch").load_file(adapter / WEIGHTS)
    policy = peft.PeftModel.from_pretrained(model, str(adapter)).eval()
    if not hasattr(policy.base_model, "merge_and_unload"):
        kind = policy.peft_config["default"].peft_type.value
        raise InputError(f"the adapter in {adapter} is of the kind {kind}, which has no weights that could be merged")
    taken = peft.get_peft_model_state_dict(policy)
    idle = sorted(name for name, value in saved.items() if not _same(taken.get(name), value))
    if idle:
        raise InputError(
            f"{len(idle)} tensors of the adapter in {adapter} have no place in its base, first {idle[0]}: save the "
            "adapter with PEFT's save_pretrained(), from the kind of model that its base is"
        )
    lacking = sorted(taken.keys() - saved.keys())
    if lacking:
        raise InputError(
            f"the adapter in {adapter} lacks {len(lacking)} tensors that {CONFIG} asks for, first {lacking[0]}; save "
            "or download it again"
        )
    return policy


def _same(taken: Any, saved: Any) -> bool:
    return taken is not None and taken.shape == saved.shape and bool((taken.float() == saved.float()).all())


def _merge_in_memory(policy: Any) -> Any:
    """The plain model that computes what `policy` does; `policy` is used up."""
    torch: Any = importlib.import_module("torch")
    weights = importlib.import_module("rlpath.models.weights")
    _untie(policy)
    for _, layer in weights.plain_layers(policy):
        # Exactly the weights that a sampler got while this adapter was trained; nothing is left for PEFT to add.
        layer.get_base_layer().weight.copy_(weights.merged_weight(layer))
        for up in layer.lora_B.values():
            # A new one: an output layer may share its matrices with the embeddings.
            up.weight = torch.nn.Parameter(torch.zeros_like(up.weight), requires_grad=False)
    merged: Any = policy.merge_and_unload()
    head, embedding = merged.get_output_embeddings(), merged.get_input_embeddings()
    tied = head is not None and _same(head.weight, embedding.weight)
    if head is not None and merged.config.tie_word_embeddings != tied:
        merged.config.tie_word_embeddings = tied
    if head is not None and tied:
        head.weight = embedding.weight
    return merged


def _untie(policy: Any) -> None:
    """Give the output layer a weight of its own, so that what is merged into it stays out of the embeddings."""
    torch: Any = importlib.import_module("torch")
    head, embedding = (_plain(layer) for layer in (policy.get_output_embeddings(), policy.get_input_embeddings()))
    if head is not None and head.weight is embedding.weight:
        head.weight = torch.nn.Parameter(head.weight.detach().clone(), requires_grad=False)


def _plain(layer: Any) -> Any:
    """The layer itself inside PEFT's wrappers."""
    for wrapped in ("original_module", "base_layer"):
        while layer is not None and hasattr(layer, wrapped):
            layer = getattr(layer, wrapped)
    return layer


# Checking


def _some_tokens(policy: Any) -> Any:
    """Token ids [2, 8] drawn from the vocabulary, and behind them those that the adapter trains by index."""
    torch: Any = importlib.import_module("torch")
    vocabulary = _plain(policy.get_input_embeddings()).weight.shape[0]
    drawn = torch.randint(vocabulary, (2, 8), generator=torch.Generator().manual_seed(0))
    indices = getattr(policy.peft_config["default"], "trainable_token_indices", None) or []
    listed = [index for each in indices.values() for index in each] if isinstance(indices, dict) else list(indices)
    return torch.cat([drawn, torch.tensor([listed[:8], listed[:8]], dtype=torch.long)], 1)


def _store_as(model: Any, dtype: Any) -> None:
    """Cast the parameters alone: `model.to` would round the buffers too, and rotary frequencies are never stored."""
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype)


def _check_logits(adapter: Path, found: Any, wanted: Any) -> None:
    far = float((found - wanted).abs().max())
    if not far <= TOLERANCE * max(1.0, float(wanted.abs().max())):
        raise InputError(
            f"the adapter in {adapter} merged into its base gives other logits than beside it (by up to {far:.2g}): "
            "its kind is not supported, so merge it yourself and name the model"
        )
