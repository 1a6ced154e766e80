"""A 4-bit GGUF file as bf16 safetensors with tokenizer and chat template, as transformers loads a model."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rlpath.core.errors import InputError


def convert(gguf: Path, target: Path, ends: Sequence[str]) -> None:
    """Write the GGUF model into `target`. `ends` are the tokens that end a turn, the chat template's own first.

    Raises `InputError` where transformers or gguf is not installed.
    """
    transformers, torch = _need("transformers"), _need("torch")
    _need("gguf")  # transformers needs it to read the file
    folder, name = str(gguf.parent), gguf.name
    dequantized = transformers.AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.bfloat16)
    # With its quantization entry the config refuses to be saved; a plain model takes over the numbers.
    described = ("architectures", "model_type", "transformers_version", "quantization_config")
    fields = {key: value for key, value in dequantized.config.to_dict().items() if key not in described}
    # These models are published with one matrix for input and output; a GGUF file may quantize the two copies
    # differently, and keeps the output's in more bits.
    config = type(dequantized.config)(**{**fields, "tie_word_embeddings": True})
    model: Any = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    state = dequantized.state_dict()
    state["model.embed_tokens.weight"] = state.get("lm_head.weight", state["model.embed_tokens.weight"])
    model.load_state_dict(state)
    model.tie_weights()

    # The file may name another token as the end of a turn than the chat template writes.
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, gguf_file=name)
    tokenizer.eos_token = ends[0]
    # A second end token pads, so that the first is never masked as padding.
    tokenizer.pad_token = ends[-1]
    ids = [tokenizer.convert_tokens_to_ids(end) for end in ends]
    settings = model.generation_config
    settings.bos_token_id = tokenizer.bos_token_id
    settings.eos_token_id = ids if len(ids) > 1 else ids[0]
    settings.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(target, max_shard_size="100GB")  # one file, whose hash is kept
    tokenizer.save_pretrained(target)


def _need(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise InputError(
            f"{error.name} is not installed; install the training extra: pip install rlpath[train]"
        ) from None
