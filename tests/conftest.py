"""Tiny models and a tiny tokenizer, made on the spot: no test needs a network or a download."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest_plugins = ("tests.left_out",)

os.environ.setdefault("HF_HUB_OFFLINE", "1")
# Two workers with two threads each would wait for one another on two cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL = ("<|pad|>", "<|im_start|>", "<|im_end|>")
VOCABULARY = 256 + len(SPECIAL)
SIZES = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 2048,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    # Large enough that what a token sees changes the next one's probability visibly.
    "initializer_range": 0.2,
}


@pytest.fixture(scope="session")
def tiny_tokenizer() -> Any:
    """One token a byte, ids from 3 on, with ChatML's turns: 0 pads, 1 begins a turn, 2 ends it."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = {word: index for index, word in enumerate((*SPECIAL, *letters))}
    tokenizer = Tokenizer(models.BPE(vocab=words, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(word, special=True, normalized=False) for word in SPECIAL])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<|pad|>", bos_token="<|im_start|>", eos_token="<|im_end|>"
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


@pytest.fixture(scope="session")
def tiny_model() -> Callable[..., Any]:
    """`tiny_model(family="llama", seed=0, **config)`: a random causal language model in fp32."""
    import torch
    import transformers

    families = {
        "llama": (transformers.LlamaConfig, transformers.LlamaForCausalLM),
        "qwen2": (transformers.Qwen2Config, transformers.Qwen2ForCausalLM),
        "qwen3": (transformers.Qwen3Config, transformers.Qwen3ForCausalLM),
        "mistral": (transformers.MistralConfig, transformers.MistralForCausalLM),
    }

    def make(family: str = "llama", seed: int = 0, **changes: Any) -> Any:
        config_class, model_class = families[family]
        extra = {"head_dim": 16} if family == "qwen3" else {}
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = model_class(config_class(**{**SIZES, "tie_word_embeddings": True, **extra, **changes}))
        return model.eval()

    return make


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory, tiny_model: Callable[..., Any], tiny_tokenizer: Any) -> Path:
    """A folder with a tiny instruct model, as `--model` takes it."""
    folder = tmp_path_factory.mktemp("tiny-model")
    tiny_model(seed=1).save_pretrained(folder)
    tiny_tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def digit_folder(tmp_path_factory: pytest.TempPathFactory, tiny_model: Callable[..., Any], tiny_tokenizer: Any) -> Path:
    """A folder with a tiny model that mostly writes a digit or two and stops, so that some of its sums are right."""
    import torch

    model = tiny_model(seed=1, tie_word_embeddings=False, initializer_range=0.1)
    digits = tiny_tokenizer("0123456789")["input_ids"]
    with torch.no_grad():
        # A first coordinate that is the same for every token acts as a bias of the output.
        model.model.embed_tokens.weight[:, 0] = 3.0
        model.lm_head.weight[:, 0] = -1.0
        model.lm_head.weight[digits, 0] = 0.5
        model.lm_head.weight[tiny_tokenizer.eos_token_id, 0] = 0.9
    folder = tmp_path_factory.mktemp("digit-model")
    model.save_pretrained(folder)
    tiny_tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def write_run(tmp_path: Path) -> Callable[..., Path]:
    """`write_run(seed, curve, final, recipe="ppo", **config)`: the folder of a finished run of 100 steps.

    `curve` are its training returns, one at the end of each equal share of the training.
    """
    from rlpath.runs.run_folder import RunFolder

    def write(seed: int, curve: list[float], final: float, *, recipe: str = "ppo", **config: Any) -> Path:
        defaults = {"algorithm": recipe, "env_id": "CartPole-v1", "total_timesteps": 100, "eval_episodes": 2}
        evaluation = {"episodes": 2, "first_seed": 10_000, "exploration": False, "mean": final, "sd": 1.0}
        outcome = {"env_id": "CartPole-v1", "returns": [final - 1, final + 1], "last_100": curve[-1], "steps": 100}
        with RunFolder.open(tmp_path, recipe, {**defaults, **config}, seed) as run:
            for i, value in enumerate(curve):
                run.log_metrics(100 * (i + 1) // len(curve), {"charts/episodic_return": value})
            run.write_json("evaluations/final.json", {**evaluation, **outcome})
            run.write_json("manifest.json", {"started": "2026-11-23T00:00:00", "packages": {"torch": "2.13.0"}})
            run.mark_finished()
            return run.path

    return write


@pytest.fixture
def write_set(write_run: Callable[..., Path]) -> Callable[..., Path]:
    """`write_set({seed: final evaluation, …}, **config)`: the folder of finished seeds; returns rise evenly to it."""
    from rlpath.runs.seed_sets import ask

    def write(finals: dict[int, float], **config: Any) -> Path:
        folder = Path()
        for seed, final in finals.items():
            folder = write_run(seed, [final * (i + 1) / 50 for i in range(50)], final, **config).parent
        ask(folder, finals)
        return folder

    return write


@dataclass(frozen=True)
class Done:
    """How a process ended."""

    status: int
    out: str
    err: str


@pytest.fixture(scope="session")
def launch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Done]]:
    """`launch(recipe, *flags, at="", **environment)`: run a recipe to its end or to the point named in runner.py."""
    folder = tmp_path_factory.mktemp("runner")
    root = str(Path(__file__).parents[1])
    with subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("runner.py"))],
        env={**os.environ, "PYTHONPATH": root, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "RLPATH_DATA": ""},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def run(recipe: str, *flags: str, at: str = "", **environment: str) -> Done:
            assert process.stdin is not None
            assert process.stdout is not None
            streams = {"out": str(folder / "out"), "err": str(folder / "err")}
            job = {"argv": [recipe, *flags], "at": at, "env": environment, **streams}
            process.stdin.write(json.dumps(job) + "\n")
            process.stdin.flush()
            answer = next(line for line in process.stdout if line.startswith("STATUS "))
            return Done(int(answer.split()[1]), (folder / "out").read_text(), (folder / "err").read_text())

        yield run
        process.stdin.close()
