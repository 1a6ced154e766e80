"""Save a `gpt.GPT` and its tokenizer as a transformers model, which every recipe takes by `--model FOLDER`.

The weights are those of a Llama of the same sizes, under its names. A turn of a conversation is a line that names its
speaker; the answer's line ends with `END`, so that a tuned model knows where to stop.
"""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer
from torch import Tensor
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from rlpath.trunk.gpt import END, GPT

CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message['role'].capitalize() + ': ' + message['content'] }}"
    "{{ '" + END + "' if message['role'] == 'assistant' else '' }}{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant: ' }}{% endif %}"
)
_NAMES = {
    "before_attention.scale": "input_layernorm.weight",
    "before_mlp.scale": "post_attention_layernorm.weight",
    "attention.query.weight": "self_attn.q_proj.weight",
    "attention.key.weight": "self_attn.k_proj.weight",
    "attention.value.weight": "self_attn.v_proj.weight",
    "attention.out.weight": "self_attn.o_proj.weight",
    "gate.weight": "mlp.gate_proj.weight",
    "up.weight": "mlp.up_proj.weight",
    "down.weight": "mlp.down_proj.weight",
}


def as_llama(model: GPT, end_token: int) -> LlamaForCausalLM:
    """A transformers Llama with the same weights, and so the same logits; `end_token` ends an answer."""
    shape = model.shape
    config = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.width,
        intermediate_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads or shape.heads,
        max_position_embeddings=shape.context,
        rms_norm_eps=shape.epsilon,
        rope_parameters={"rope_type": "default", "rope_theta": shape.rope_base},
        tie_word_embeddings=True,
        bos_token_id=end_token,
        eos_token_id=end_token,
        pad_token_id=end_token,
    )
    llama = LlamaForCausalLM(config).eval()
    state: dict[str, Tensor] = {"model.embed_tokens.weight": model.embedding.weight}
    state["model.norm.weight"] = model.norm.scale
    for name, parameter in model.named_parameters():
        if name.startswith("blocks."):
            _, index, rest = name.split(".", 2)
            state[f"model.layers.{index}.{_NAMES[rest]}"] = parameter
    missing, unexpected = llama.load_state_dict(state, strict=False)
    if missing != ["lm_head.weight"] or unexpected:
        raise ValueError(f"this transformers names a Llama's weights otherwise: {missing}, {unexpected}")
    llama.tie_weights()
    llama.generation_config = GenerationConfig(eos_token_id=end_token, pad_token_id=end_token)
    return llama


def save(model: GPT, tokenizer: Tokenizer, folder: Path) -> None:
    """Write weights, configuration and tokenizer in the hub's format."""
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=END, bos_token=END, pad_token=END, model_max_length=model.shape.context
    )
    fast.chat_template = CHAT_TEMPLATE
    (end,) = tokenizer.encode(END).ids
    as_llama(model, end).save_pretrained(folder)
    fast.save_pretrained(folder)
