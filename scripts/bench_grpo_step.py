"""Time one GRPO step: stock TRL with HF generate, stock TRL with vLLM colocate, and rlpath, in one run.

    python scripts/bench_grpo_step.py --steps 3
    python scripts/bench_grpo_step.py --model random-0.5b --prompts 1 --length 256 --steps 1 --warmup 0 --no-parity

Every arm is a process of its own and does the same work: the same prompts and group size, LoRA on every linear layer
of the same model, completions of exactly `length` tokens (the end of turn is held back), rewards that give every
group signal, one optimizer step. The first step warms up and is not counted. `random-0.5b` has random weights in the
shape of Qwen2.5-0.5B, whose steps are so long on a CPU that none need warm up. A parity check then gives stock TRL and
rlpath the same completions and compares loss and gradient.

Stock means TRL's defaults but for gradient checkpointing, which is off in every arm (it would slow TRL down further),
and, on a CPU, the patch without which vLLM cannot take new weights. Every arm computes in bf16 where the machine has
units for it, else in fp32.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import tyro

from rlpath.runs.hardware import cores

Arm = Literal["trl-hf", "trl-vllm", "rlpath", "rlpath-vllm"]
ARMS: tuple[Arm, ...] = ("trl-hf", "trl-vllm", "rlpath", "rlpath-vllm")


@dataclass(frozen=True)
class Args:
    model: str = "smollm2-135m-instruct"
    """folder, hub id, packaged name, or random-0.5b"""
    arms: tuple[Arm, ...] = ARMS
    """what to time, in this order"""
    steps: int = 3
    """measured steps of each arm"""
    warmup: int = 1
    """steps before them, not counted"""
    prompts: int = 8
    """prompts a step"""
    group_size: int = 8
    """completions of each prompt"""
    length: int = 24
    """tokens of every completion"""
    parity: bool = True
    """also compare loss and gradient on the same completions"""


def main() -> None:
    if len(sys.argv) > 1 and sys.argv[1] in ("--arm", "--parity-of"):
        kind, name, folder, text = sys.argv[1:5]
        args = Args(**json.loads(text))
        result = time_arm(name, args, folder) if kind == "--arm" else loss_and_gradient(name, args, folder)
        print("RESULT " + json.dumps(result), flush=True)
        return
    args = tyro.cli(Args)
    with tempfile.TemporaryDirectory() as folder:
        print(
            f"{args.prompts} prompts x {args.group_size} completions of {args.length} tokens, {args.model}", flush=True
        )
        if args.model == "random-0.5b":
            from rlpath.models.shapes import random_model

            args = replace(args, model=str(random_model(Path(folder) / "model", small=False)))
        seconds: dict[str, list[float]] = {}
        for arm in args.arms:
            times = seconds[arm] = run_self("--arm", arm, args, folder)
            spread = " ".join(f"{value:.1f}" for value in times)
            print(f"{arm:12s} median {statistics.median(times):6.2f} s a step   [{spread}]", flush=True)
        for ours in ("rlpath", "rlpath-vllm"):
            for stock in ("trl-hf", "trl-vllm"):
                if ours in seconds and stock in seconds:
                    ratio = statistics.median(seconds[stock]) / statistics.median(seconds[ours])
                    print(f"{ours} is {ratio:.2f} times as fast as {stock}")
        if args.parity:
            print(parity(args, folder))


def run_self(kind: str, name: str, args: Args, folder: str) -> Any:
    """One arm in a fresh process, two threads as in every other."""
    words = [sys.executable, __file__, kind, name, folder, json.dumps(asdict(args))]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if done.returncode or not lines:
        how = "was killed, as happens where memory runs out" if done.returncode == -9 else "failed"
        raise SystemExit(f"{name} {how}:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return json.loads(lines[-1].removeprefix("RESULT "))


def time_arm(arm: str, args: Args, folder: str) -> list[float]:
    """Seconds of each measured step, optimizer included."""
    if arm.startswith("rlpath"):
        trainer = make_ours(arm, args)
        return [trainer.train_step()["seconds/step"] for _ in range(args.steps + args.warmup)][args.warmup :]
    from transformers import TrainerCallback

    class Clock(TrainerCallback):
        times: list[float] = []  # noqa: RUF012 - one clock per process

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            self.began = time.perf_counter()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.times.append(time.perf_counter() - self.began)

    trainer = make_stock(arm, args, folder)
    trainer.add_callback(Clock())
    trainer.train()
    return Clock.times[args.warmup :]


def make_ours(arm: str, args: Args) -> Any:
    """The loop on the same experiment."""
    import torch
    from accelerate import Accelerator

    from rlpath.envs.arithmetic import arithmetic
    from rlpath.models.load import resolve_model
    from rlpath.models.rollouts import load_sampler
    from rlpath.posttrain.loop import OnPolicyTrainer
    from rlpath.posttrain.on_policy import trained_model
    from rlpath.posttrain.settings import GRPOSettings
    from rlpath.posttrain.verify import Reward
    from rlpath.runs.cpu import prepare_cpu

    prepare_cpu()
    path = resolve_model(args.model)
    problems = arithmetic("train")
    settings = GRPOSettings(
        model=args.model,
        prompts_per_step=args.prompts,
        group_size=args.group_size,
        micro_batch=args.prompts * args.group_size,
        max_completion_length=args.length,
        learning_rate=1e-5,
    )
    backend = "vllm" if arm == "rlpath-vllm" else "hf"
    sampler: Any = load_sampler(backend, path, max_length=1024, dtype=settings.dtype)
    hold_back(sampler)
    precision = "bf16" if settings.dtype == "bfloat16" else "no"
    accelerator = Accelerator(mixed_precision=precision, cpu=not torch.cuda.is_available())
    return OnPolicyTrainer(
        trained_model(path, settings),
        settings,
        problems.problems[: args.prompts],
        problems.verifier,
        sampler,
        rewards=[Reward("alternate", alternate)],
        accelerator=accelerator,
    )


def make_stock(arm: str, args: Args, folder: str) -> Any:
    """Stock TRL's trainer of the experiment."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from trl.trainer.grpo_config import GRPOConfig
    from trl.trainer.grpo_trainer import GRPOTrainer as TRLTrainer

    from rlpath.core.seeding import seed_everything
    from rlpath.envs.arithmetic import arithmetic
    from rlpath.models.load import load_tokenizer, resolve_model
    from rlpath.models.precision import fast_dtype

    path = resolve_model(args.model)
    problems = arithmetic("train").problems[: args.prompts]
    steps = args.steps + args.warmup
    rows = [{"prompt": [{"role": "user", "content": p.prompt}]} for _ in range(steps) for p in problems]
    hold_back_end = {"trl-hf": {"min_new_tokens": args.length}, "trl-vllm": {"min_tokens": args.length}}
    config = GRPOConfig(
        output_dir=folder,
        use_cpu=not torch.cuda.is_available(),
        bf16=fast_dtype() == "bfloat16",
        use_vllm=arm == "trl-vllm",
        vllm_max_model_length=1024,
        vllm_importance_sampling_mode="token_truncate",
        generation_kwargs=hold_back_end.get(arm),
        per_device_train_batch_size=args.prompts * args.group_size,
        num_generations=args.group_size,
        max_completion_length=args.length,
        max_steps=steps,
        learning_rate=1e-5,
        gradient_checkpointing=False,
        shuffle_dataset=False,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
    )
    seed_everything(0, torch=True)
    if arm == "trl-vllm":
        from rlpath.models.vllm_sampler import keep_linear_weights_on_cpu, prepare_environment

        prepare_environment(cpu_cache_gib=1)
        if not torch.cuda.is_available():
            keep_linear_weights_on_cpu()
    return TRLTrainer(
        str(path),
        reward_funcs=[alternate],
        args=config,
        train_dataset=Dataset.from_list(rows),
        processing_class=load_tokenizer(path),
        peft_config=LoraConfig(r=32, lora_alpha=64, target_modules="all-linear", task_type="CAUSAL_LM"),
    )


def alternate(completions: list[Any], **_: Any) -> list[float | None]:
    """Every group has as many right as wrong answers."""
    return [float(index % 2) for index in range(len(completions))]


def hold_back(sampler: Any) -> None:
    """Let every completion run to its full length."""
    if sampler.backend == "hf":
        sampler.stop_ids = frozenset([-1])
        return
    import vllm

    plain: Callable[..., Any] = vllm.SamplingParams
    vllm.SamplingParams = lambda **given: plain(**given, ignore_eos=True)


def parity(args: Args, folder: str) -> str:
    """Loss and gradient of stock TRL and of rlpath on the same completions of uneven length."""
    import torch

    ours = run_self("--parity-of", "rlpath", args, folder)
    stock = run_self("--parity-of", "trl-hf", args, folder)
    gradients = [torch.load(Path(folder) / f"{name}.pt").double() for name in ("rlpath", "trl-hf")]
    cosine = torch.nn.functional.cosine_similarity(*gradients, dim=0).item()
    difference = abs(ours - stock) / abs(stock)
    return (
        f"same completions: loss {ours:.6f} against {stock:.6f} ({100 * difference:.2f} % apart), "
        f"gradient cosine {cosine:.5f}, norm ratio {(gradients[0].norm() / gradients[1].norm()).item():.4f}"
    )


def loss_and_gradient(arm: str, args: Args, folder: str) -> float:
    """The loss of one batch of given completions; the gradient of every adapter weight goes to a file."""
    import torch

    trainer = make_ours(arm, args) if arm == "rlpath" else make_stock(arm, args, folder)
    model = trainer.policy() if arm == "rlpath" else trainer.model
    tokenizer = trainer.sampler.tokenizer if arm == "rlpath" else trainer.processing_class
    texts, ids = given_completions(args, tokenizer)
    generator = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            # Each trainer draws its adapter's first weights in its own way: give both the same.
            parameter.data.copy_(0.01 * torch.randn(parameter.shape, generator=generator))
    loss = our_loss(trainer, args, texts, ids) if arm == "rlpath" else stock_loss(trainer, args, ids)
    gradient = [p.grad.float().flatten() for _, p in sorted(model.named_parameters()) if p.grad is not None]
    torch.save(torch.cat(gradient).cpu(), Path(folder) / f"{arm}.pt")
    return loss


def given_completions(args: Args, tokenizer: Any) -> tuple[list[str], list[list[int]]]:
    """Texts of uneven length, and their tokens with an end."""
    import random

    draw = random.Random(0)
    size = args.prompts * args.group_size
    texts = [" ".join(str(draw.randint(0, 99)) for _ in range(draw.randint(1, 9))) for _ in range(size)]
    return texts, [[*tokenizer(text)["input_ids"][: args.length - 1], tokenizer.eos_token_id] for text in texts]


def our_loss(trainer: Any, args: Args, texts: list[str], ids: list[list[int]]) -> float:
    """The loop's loss, with its gradient left in place."""
    import math

    from rlpath.core.types import Completion
    from rlpath.envs.arithmetic import arithmetic

    problems = [p for p in arithmetic("train").problems[: args.prompts] for _ in range(args.group_size)]
    # A sampler that could not tell its log-probabilities: no correction, as in the other arm.
    unknown = [(math.nan,) * len(tokens) for tokens in ids]
    completions = [Completion(t, tuple(i), u, "stop") for t, i, u in zip(texts, ids, unknown, strict=True)]
    rollout, _ = trainer.prepare(trainer.verify(problems, completions))
    trainer._clip = lambda: 0.0
    trainer.optimizer.step = lambda: None
    return trainer.update(rollout)["loss"]


def stock_loss(trainer: Any, args: Args, ids: list[list[int]]) -> float:
    """Stock TRL's loss, with its gradient."""
    trainer._generate_single_turn = lambda *_: (ids, None)
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1
    rows = [row for row in trainer.train_dataset.select(range(args.prompts)) for _ in range(args.group_size)]
    # Stock TRL permutes the rows of a generation: with these completions either order has the same loss.
    loss = trainer.compute_loss(trainer.model, trainer._prepare_inputs(rows))
    loss.backward()
    return loss.item()


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", str(cores()))
    main()
