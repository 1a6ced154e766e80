"""vLLM inside this project's sampler: seeded, and as good as the trainer's own policy after a push."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from rlpath.core.types import Decoding
from rlpath.models.vllm_sampler import VLLMSampler, sampling_params, vllm_installed

SCRIPT = '''
import json, sys
import torch
from peft import LoraConfig, get_peft_model
from rlpath.models.load import load_model, load_tokenizer
from rlpath.models.weights import sampler_weights
from rlpath.core.types import Decoding
from rlpath.models.vllm_sampler import VLLMSampler
from pathlib import Path

PROMPTS = [[5, 6, 7, 8, 9, 10, 11], [40], [100, 101, 102]]


def gap(trainer, groups):
    """Mean absolute difference of log-probabilities between a trainer's forward and the sampler."""
    differences = []
    for prompt, group in zip(PROMPTS, groups):
        for completion in group:
            ids = torch.tensor([[*prompt, *completion.token_ids]])
            with torch.no_grad():
                logits = trainer(input_ids=ids).logits[0, len(prompt) - 1 : -1]
            mine = logits.log_softmax(-1).gather(-1, ids[0, len(prompt) :, None])[:, 0]
            differences += (mine - torch.tensor(completion.logprobs)).abs().tolist()
    return sum(differences) / len(differences)


def main():
    path = Path(sys.argv[1])
    sampler = VLLMSampler(path, load_tokenizer(path), max_length=64, dtype="float32")
    torch.manual_seed(0)
    config = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
    trainer = get_peft_model(load_model(path, "float32"), config)
    global_draw = torch.random.get_rng_state()
    ask = lambda seed: sampler.generate(PROMPTS, Decoding(8, n=3, seed=seed))
    first = ask(0)
    facts = {
        "repeats": ask(0) == first,
        "differs": [c.token_ids for g in ask(1) for c in g] != [c.token_ids for g in first for c in g],
        "leaves_generators": bool(torch.equal(torch.random.get_rng_state(), global_draw)),
        "shape": [[len(c.token_ids) == len(c.logprobs) <= 8 for c in g] for g in first],
        "gap_without_push": gap(trainer, first),
    }
    sampler.load_weights(sampler_weights(trainer))
    facts["gap_after_push"] = gap(trainer, ask(0))
    greedy = sampler.generate(PROMPTS[:1], Decoding(4, temperature=0.0))[0][0]
    ids = torch.tensor([PROMPTS[0]])
    expected = trainer.generate(input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=4)
    facts["greedy"] = list(greedy.token_ids) == expected[0, len(PROMPTS[0]) :].tolist()
    print("FACTS " + json.dumps(facts))


if __name__ == "__main__":
    main()
'''


def seeds_on_a_gpu(requests: list[Any]) -> list[int]:
    """The seed of every completion as vLLM's GPU runner takes it, its buffers stubbed by plain arrays."""
    import numpy as np
    from vllm.v1.engine.parallel_sampling import ParentRequest
    from vllm.v1.worker.gpu.sample import states

    def buffer(size: int, dtype: Any) -> SimpleNamespace:
        return SimpleNamespace(np=torch.zeros(size, dtype=dtype).numpy(), copy_to_uva=lambda: None)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(states, "UvaBackedTensor", buffer)
        np.random.seed(0)  # as vLLM does when the engine starts
        runner = states.SamplingStates(256, 259)
        children = []
        for params in requests:
            request: Any = SimpleNamespace(request_id="r", external_req_id="r", params=params)
            parent = ParentRequest(request)
            children += [parent.get_child_info(index)[1] for index in range(params.n)]
        for at, child in enumerate(children):
            runner.add_request(at, child)
        return runner.seeds.np[: len(children)].tolist()


@pytest.mark.skipif(not vllm_installed(), reason="vLLM is not installed: `make setup` adds it")
def test_seeds_reach_vllm_on_a_gpu() -> None:
    """One seed gives the same draws again, another other ones, and no two completions of a call share theirs."""

    def ask(seed: int, numbers: range = range(4)) -> list[int]:
        decoding = Decoding(8, n=3, seed=seed)
        return seeds_on_a_gpu(sampling_params(decoding, numbers, frozenset({2}), seeded=True))

    assert ask(0) == ask(0)
    assert not set(ask(0)) & set(ask(1))
    assert len(set(ask(0))) == 12
    assert ask(0, range(2, 4)) == ask(0)[6:], "a share of a call draws what the whole call does"


class Engine:
    """Stands for vLLM's LLM: keeps what it was asked for."""

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.told: list[str] = []

    def sleep(self, level: int) -> None:
        self.told.append(f"sleep {level}")

    def wake_up(self) -> None:
        self.told.append("wake")


@pytest.mark.skipif(not vllm_installed(), reason="vLLM is not installed: `make setup` adds it")
def test_the_engine_on_a_gpu(tiny_folder: Path, tiny_tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clamped to the model's context of 2,048, room for the whole batch, able to sleep, stopped by the template."""
    import vllm

    monkeypatch.setattr(vllm, "LLM", Engine)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "0")
    sampler = VLLMSampler(tiny_folder, tiny_tokenizer, max_length=9000, max_batch=1024)
    sampler.sleep()
    sampler.wake()

    engine: Any = sampler.llm
    assert engine.options["max_model_len"] == 2048
    assert engine.options["max_num_seqs"] == 1024
    assert engine.options["enable_sleep_mode"] and not engine.options["enforce_eager"]
    assert engine.told == ["sleep 1", "wake"]
    assert sampler.stop_ids == {2}


@pytest.mark.skipif(not vllm_installed(), reason="vLLM is not installed: `make setup` adds it")
def test_vllm_is_seeded_and_follows_the_trainer(
    tiny_model: Callable[..., Any], tiny_tokenizer: Any, tmp_path: Path
) -> None:
    """One seed repeats exactly, two differ; log-probabilities agree within 1e-3 after a push and not without it."""
    # vLLM's CPU kernels want heads of at least 32.
    tiny_model(hidden_size=128, intermediate_size=128, num_hidden_layers=2).save_pretrained(tmp_path / "model")
    tiny_tokenizer.save_pretrained(tmp_path / "model")
    (tmp_path / "script.py").write_text(SCRIPT)
    root = Path(__file__).parents[2]

    done = subprocess.run(
        [sys.executable, str(tmp_path / "script.py"), str(tmp_path / "model")],
        env={**os.environ, "PYTHONPATH": str(root), "HF_HUB_OFFLINE": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-3000:]
    facts = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("FACTS "))[6:])
    assert facts["repeats"]
    assert facts["differs"]
    assert facts["leaves_generators"]
    assert facts["shape"] == [[True] * 3] * 3
    assert facts["gap_without_push"] > 0.3
    assert facts["gap_after_push"] < 1e-3
    assert facts["greedy"]


def test_numbers_choose_the_draws_of_a_later_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where some of an earlier call go on, each request has the seed of its number, not of its place in the call."""
    asked: list[Any] = []

    def generate(requests: list[Any], params: list[Any], use_tqdm: bool) -> list[Any]:
        asked.append(([one["prompt_token_ids"] for one in requests], [one.seed for one in params]))
        return [SimpleNamespace(outputs=[]) for _ in requests]

    stub = ModuleType("vllm")
    stub.SamplingParams = lambda **settings: SimpleNamespace(**settings)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vllm", stub)
    sampler = VLLMSampler.__new__(VLLMSampler)
    sampler.on_gpu, sampler.stop_ids = True, frozenset({2})
    sampler.llm = SimpleNamespace(generate=generate)  # type: ignore[assignment]
    decoding = Decoding(4, seed=3)

    sampler.generate([[1], [2], [3], [4]], decoding)
    sampler.generate([[4], [2]], decoding, numbers=[3, 1])
    sampler.generate([[3], [4]], decoding, first=2)

    (_, every), (prompts, chosen), (_, part) = asked
    assert prompts == [[4], [2]]
    assert chosen == [every[3], every[1]]
    assert part == every[2:]
    assert len(set(every)) == 4
