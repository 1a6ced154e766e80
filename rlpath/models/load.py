"""From a name to a model that loads: a local folder, a hub id, or the packaged default.

Faults that can be seen without loading (a missing file, a truncated download, a model of the wrong kind) are found
here, before any expensive work.
"""

from __future__ import annotations

import json
import math
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlpath.core.errors import InputError
from rlpath.core.files import read_json
from rlpath.models import adapters, packaged
from rlpath.models.hub import hub_state

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

DEFAULT = packaged.DEFAULT
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_HUB_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]
_CAUSAL = ("ForCausalLM", "LMHeadModel")


def resolve_model(name: str, cache: Path | None = None) -> Path:
    """The local folder of model `name`, checked to be a causal language model with whole weights files.

    `name` is a folder, a hub id `organization/model` (through the hub's ordinary cache), or one of `packaged.MODELS`
    (kept under `cache`, by default `RLPATH_CACHE`). A trained adapter, here or on the hub, is merged into the model
    that it names (see `adapters`). Raises `InputError` where it is none of these, cannot be fetched, or is broken.
    """
    if name in packaged.MODELS:
        path = _packaged(name, cache or packaged.cache_folder())
    elif name and Path(name).expanduser().is_dir():
        path = Path(name).expanduser().resolve()
    elif _HUB_ID.fullmatch(name) and not name.startswith("."):
        path = _from_hub(name)
    else:
        raise InputError(
            f"model {name!r} is neither a folder, nor a hub id organization/model, nor {', '.join(packaged.MODELS)}"
        )
    if adapters.is_adapter(path):
        base = resolve_model(adapters.base_of_adapter(path), cache)
        path = adapters.merged_model(base, path, cache or packaged.cache_folder())
    check_model(path)
    return path


def _packaged(name: str, cache: Path) -> Path:
    """A packaged model: from the hub where it has the maker's own copy and can be read, else from its packages.

    What was converted once stays in use, so that a run goes on with the weights it began with.
    """
    hub = packaged.MODELS[name].hub
    if hub is None or packaged.model_folder(cache, name).is_dir():
        return packaged.packaged_model(cache, name)
    if hub in {model.name for model in _hub_cache()} or hub_state() == "reachable":
        return _from_hub(hub)
    return packaged.packaged_model(cache, name)


def _from_hub(name: str) -> Path:
    hub, httpx = _need("huggingface_hub"), _need("httpx")
    try:
        return Path(hub.snapshot_download(name, allow_patterns=_HUB_FILES))
    except hub.errors.RepositoryNotFoundError:
        remedy = "check the spelling, or log in with `hf auth login` where the model is private or gated"
        raise InputError(f"the hub has no model {name!r} that you may read; {remedy}") from None
    except (OSError, httpx.HTTPError, hub.errors.IncompleteSnapshotError) as error:
        why = str(error).splitlines()[0]
        remedy = f"connect, or copy the model here and give its folder, or use {DEFAULT}, which needs no hub"
        raise InputError(
            f"model {name!r} is not in the hub's cache and the hub gave nothing ({why}); {remedy}"
        ) from None


def check_model(path: Path) -> None:
    """Raise `InputError` unless `path` holds the config and whole safetensors of a causal language model."""
    if adapters.is_adapter(path):
        # transformers would load it onto whatever base it names, unchecked.
        raise InputError(f"{path} holds an adapter, not a model: name it where a model is asked for, and it is merged")
    if not (path / "config.json").is_file():
        raise InputError(f"{path} is not a model folder: it holds no config.json")
    kinds = read_json(path / "config.json").get("architectures") or ["no architecture"]
    if not any(kind.endswith(_CAUSAL) for kind in kinds):
        raise InputError(
            f"{path} holds {', '.join(kinds)}, not a causal language model; choose one that completes text"
        )
    for file in weight_files(path):
        _header(file)


def weight_files(path: Path) -> list[Path]:
    """The safetensors files of a model folder, all those its index names. Raises `InputError` where one is missing."""
    index = path / "model.safetensors.index.json"
    names = set(read_json(index).get("weight_map", {}).values()) if index.is_file() else set()
    files = [path / name for name in sorted(names)] or sorted(path.glob("*.safetensors"))
    if not files:
        raise InputError(f"{path} holds no *.safetensors; save the model with save_pretrained() or download it again")
    for file in files:
        if not file.is_file():
            raise InputError(f"model file {file} is missing, though the index names it; download the model again")
    return files


def parameter_count(path: Path) -> int:
    """Number of stored parameters, read from the safetensors headers alone; tied weights count once."""
    tensors = [tensor for file in weight_files(path) for tensor in _header(file).values()]
    return sum(math.prod(tensor["shape"]) for tensor in tensors)


def _header(file: Path) -> dict[str, dict[str, Any]]:
    """Name → dtype, shape and offsets of the tensors in a safetensors file whose size agrees with them.

    Format: 8 bytes of little-endian header length, the header as JSON, the data (safetensors README, "Format").
    """
    size = file.stat().st_size
    with file.open("rb") as stream:
        prefix = stream.read(8)
        length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else 0
        text = stream.read(length) if length < size else b""
    try:
        tensors = json.loads(text)
        tensors.pop("__metadata__", None)
        end = max((tensor["data_offsets"][1] for tensor in tensors.values()), default=0)
    except (ValueError, AttributeError, KeyError, TypeError):
        raise InputError(f"model file {file} is not a safetensors file; delete it and fetch the model again") from None
    if size != 8 + length + end:
        wanted = 8 + length + end
        raise InputError(f"model file {file} has {size} bytes instead of {wanted}; delete it and fetch the model again")
    return tensors


def context_length(path: Path) -> int | None:
    """Tokens that the model in `path` can read at once, None where its config does not say."""
    config = read_json(path / "config.json")
    config = config.get("text_config", config)
    length = config.get("max_position_embeddings", config.get("n_positions"))
    return length if isinstance(length, int) else None


def load_tokenizer(path: Path, *, needs_chat: bool = True) -> PreTrainedTokenizerBase:
    """The tokenizer in `path`; where it has no padding token its end token stands in (see `pad_stands_in`).

    Raises `InputError` where there is none, or it has no chat template and `needs_chat`, or it has neither padding nor
    end token.
    """
    try:
        tokenizer = _need("transformers").AutoTokenizer.from_pretrained(path)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"no tokenizer can be read from {path} ({_first_line(error)}); fetch the model again"
        ) from error
    if needs_chat and tokenizer.chat_template is None:
        raise InputError(f"the tokenizer in {path} has no chat template; choose an instruction-tuned model")
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            raise InputError(f"the tokenizer in {path} has neither a padding nor an end token; set one of them there")
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def pad_stands_in(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the tokenizer came without a padding token, so that its end token pads (and is masked there)."""
    return tokenizer.init_kwargs.get("pad_token") is None


def load_model(
    path: Path, dtype: torch.dtype | str = "bfloat16", *, quantization_config: Any = None
) -> PreTrainedModel:
    """The causal language model in `path`, on the CPU (on the GPU where it is quantized).

    Raises `InputError` where config and weights don't agree.
    """
    check_model(path)
    auto = _need("transformers").AutoModelForCausalLM
    options: dict[str, Any] = {}
    if quantization_config is not None:
        options["quantization_config"] = quantization_config
    if _caps_attention(path):
        # torch's fused kernel knows no soft cap and would leave it out.
        options["attn_implementation"] = "eager"
    try:
        # transformers fills what the weights lack with random numbers and only warns; here it is an error.
        model, found = auto.from_pretrained(path, dtype=dtype, output_loading_info=True, **options)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise InputError(f"no model can be read from {path} ({_first_line(error)}); fetch the model again") from error
    if found["missing_keys"]:
        lacking = sorted(found["missing_keys"])
        raise InputError(
            f"the weights in {path} lack {len(lacking)} tensors, first {lacking[0]}; fetch the model again"
        )
    return model


def _caps_attention(path: Path) -> bool:
    config = read_json(path / "config.json")
    return bool(config.get("text_config", config).get("attn_logit_softcapping"))


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _need(module: str) -> Any:
    """Import a package of the training extra, or say how to get it."""
    import importlib

    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise InputError(
            f"{error.name} is not installed; install the training extra: pip install rlpath[train]"
        ) from None


@dataclass(frozen=True, slots=True)
class CachedModel:
    """A model that is on this machine already; `size` in bytes."""

    name: str
    path: Path
    size: int


def cached_models(cache: Path | None = None) -> list[CachedModel]:
    """Models that `resolve_model` would find without a network: packaged ones, then those of the hub's cache."""
    ours = {name: packaged.model_folder(cache or packaged.cache_folder(), name) for name in packaged.MODELS}
    found = [CachedModel(name, folder, _size(folder)) for name, folder in ours.items() if folder.is_dir()]
    return found + _hub_cache()


def _hub_cache() -> list[CachedModel]:
    try:
        from huggingface_hub import constants, scan_cache_dir
    except ModuleNotFoundError:
        return []
    if not Path(constants.HF_HUB_CACHE).is_dir():
        return []
    repos = [repo for repo in scan_cache_dir().repos if repo.repo_type == "model"]
    return [
        CachedModel(repo.repo_id, repo.repo_path, repo.size_on_disk) for repo in sorted(repos, key=lambda r: r.repo_id)
    ]


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
