"""A model sharded over two processes (FSDP2) gives the numbers of the whole one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import json, sys
import torch
from peft import LoraConfig, get_peft_model
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from rlpath.models.load import load_model
from rlpath.posttrain.packing.forward import completion_logprobs, patch_packed_forward
from rlpath.models.weights import sampler_weights
from pathlib import Path


def policy(lora, mesh):
    base = model = load_model(Path(sys.argv[1]), "float32")
    if lora:
        torch.manual_seed(5)
        config = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
        model = get_peft_model(base, config)
    patch_packed_forward(base, 1.0)
    if mesh is not None:
        for layer in base.model.layers:
            fully_shard(layer, mesh=mesh)
        fully_shard(model, mesh=mesh)
    return model


def main():
    torch.distributed.init_process_group("gloo")
    mesh = init_device_mesh("cpu", (2,))
    prompts = torch.arange(3, 12).repeat(4, 1)
    completions = torch.arange(40, 68).view(4, 7)
    batch = {"prompt_ids": prompts, "prompt_mask": torch.ones_like(prompts)}
    batch |= {"completion_ids": completions, "completion_mask": torch.ones_like(completions)}
    facts = {}
    for kind in ("lora", "full"):
        whole, sharded = policy(kind == "lora", None), policy(kind == "lora", mesh)
        expected, found = (completion_logprobs(model, batch, 4)[0] for model in (whole, sharded))
        expected.sum().backward()
        found.sum().backward()
        named = dict(sharded.named_parameters())
        trained = [(name, p.grad) for name, p in whole.named_parameters() if p.requires_grad]
        gradients = [(gradient - named[name].grad.full_tensor()).abs().max() for name, gradient in trained]
        pushed = {name: value.clone() for name, value in sampler_weights(sharded)}
        sent = dict(sampler_weights(whole))
        facts[kind] = {
            "sharded": all(type(p).__name__ == "DTensor" for p in sharded.parameters()),
            "logprobs": (expected - found).abs().max().item(),
            "gradients": max(gradients).item(),
            "pushed": max((pushed[name] - value).abs().max().item() for name, value in sent.items()),
            "names": pushed.keys() == sent.keys(),
        }
    if torch.distributed.get_rank() == 0:
        print("FACTS " + json.dumps(facts), flush=True)
    torch.distributed.destroy_process_group()


main()
"""


@pytest.mark.slow
def test_a_sharded_policy_is_the_whole_one(tiny_folder: Path, tmp_path: Path) -> None:
    """Packed log-probabilities, gradients and pushed weights, for an adapter and for all weights."""
    (tmp_path / "script.py").write_text(SCRIPT)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]

    done = subprocess.run(
        [*torchrun, str(tmp_path / "script.py"), str(tiny_folder)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-3000:]
    facts = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("FACTS "))[6:])
    for kind in ("lora", "full"):
        assert facts[kind]["sharded"]
        assert facts[kind]["names"]
        assert max(facts[kind][name] for name in ("logprobs", "gradients", "pushed")) < 1e-5
