"""The settings of a GRPO experiment, and the one call that turns them into TRL's.

A recipe subclasses `GRPOSettings` with its own fields and gives its presets; every field is a flag of its command
line.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from peft import LoraConfig
from trl.trainer.grpo_config import GRPOConfig

from rlpath.errors import InputError


def fast_dtype() -> Literal["bfloat16", "float32"]:
    """bf16 wherever the processor has it."""
    fast = torch.cuda.is_available() or torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return "bfloat16" if fast else "float32"


@dataclass(frozen=True, kw_only=True)
class GRPOSettings:
    preset: str = "cpu"
    """the set of defaults these settings started from"""
    model: str = "smollm2-135m-instruct"
    """a local folder, a hub id, or the packaged smollm2-135m-instruct"""
    steps: int = 40
    """optimiser steps"""
    prompts_per_step: int = 8
    """prompts in one step, over all processes"""
    group_size: int = 8
    """completions of each prompt; their mean reward is the baseline"""
    micro_batch: int = 64
    """completions in one forward of one process; lower it where memory is short"""
    max_completion_length: int = 24
    """tokens after which a completion is cut, and judged as truncated"""
    learning_rate: float = 3e-4
    """constant after warm-up"""
    warmup_steps: int = 0
    """steps of linear warm-up"""
    lora_rank: int = 32
    """rank of the adapter on every linear layer (alpha is twice the rank); 0 trains all weights"""
    loss: Literal["grpo", "dr_grpo", "dapo", "bnpo", "cispo"] = "dapo"
    """how the loss is averaged and clipped; dapo is token-level, dr_grpo free of length bias"""
    beta: float = 0.0
    """weight of the KL divergence to the starting model; 0 needs no reference"""
    temperature: float = 1.0
    """of rollouts; top-p and top-k stay off, for they would bias the loss"""
    rollouts: Literal["auto", "hf", "vllm"] = "auto"
    """what samples: vLLM where there is a GPU and vLLM, else Hugging Face"""
    gpu_memory: float = 0.3
    """share of the GPU's memory that vLLM takes beside the trainer"""
    gradient_checkpointing: bool = False
    """compute activations twice and hold less of them"""
    eval_problems: int = 100
    """held-out problems, evaluated before and after"""
    eval_samples: int = 8
    """sampled completions of each held-out problem, for pass@k"""
    checkpoint_every: int = 10
    """steps between checkpoints"""
    log_to: Literal["tensorboard", "wandb", "none"] = "tensorboard"
    """metrics also go here; the run folder has them in any case"""
    seed: int = 0
    """fixes data order, adapter, rollouts and evaluation"""
    root: Path = Path("runs")
    """folder of all runs"""

    def check(self, processes: int) -> None:
        """Refuse impossible sizes before anything is loaded; raises `InputError` naming the field."""
        least = {
            "steps": 1,
            "prompts_per_step": 1,
            "group_size": 2,
            "micro_batch": 1,
            "max_completion_length": 1,
            "lora_rank": 0,
            "warmup_steps": 0,
            "eval_problems": 1,
            "eval_samples": 1,
            "checkpoint_every": 1,
            "seed": 0,
        }
        for name, low in least.items():
            if getattr(self, name) < low:
                raise InputError(f"--{name.replace('_', '-')} {getattr(self, name)} must be at least {low}")
        if not self.learning_rate > 0 or not self.temperature > 0 or self.beta < 0 or not 0 < self.gpu_memory < 1:
            raise InputError(
                "--learning-rate and --temperature must be positive, --beta not negative, "
                "and --gpu-memory between 0 and 1"
            )
        if self.prompts_per_step % processes:
            raise InputError(f"--prompts-per-step {self.prompts_per_step} is not divisible by {processes} processes")
        local = self.prompts_per_step // processes * self.group_size
        micro = min(self.micro_batch, local)
        if micro % self.group_size or local % micro:
            raise InputError(
                f"--micro-batch {self.micro_batch} must hold whole groups of {self.group_size} and divide the "
                f"{local} completions of a process: try {self.group_size}"
            )

    @property
    def dtype(self) -> Literal["bfloat16", "float32"]:
        """The precision of forward and rollouts."""
        return fast_dtype()

    def lora(self) -> LoraConfig | None:
        if self.lora_rank == 0:
            return None
        return LoraConfig(
            r=self.lora_rank, lora_alpha=2 * self.lora_rank, target_modules="all-linear", task_type="CAUSAL_LM"
        )

    def trl(self, folder: Path, processes: int) -> GRPOConfig:
        """TRL's configuration of this experiment, everything that matters named."""
        local = self.prompts_per_step // processes * self.group_size
        micro = min(self.micro_batch, local)
        return GRPOConfig(
            output_dir=str(folder),
            use_cpu=not torch.cuda.is_available(),
            bf16=self.dtype == "bfloat16",
            seed=self.seed,
            max_steps=self.steps,
            per_device_train_batch_size=micro,
            gradient_accumulation_steps=local // micro,
            num_generations=self.group_size,
            max_completion_length=self.max_completion_length,
            temperature=self.temperature,
            top_p=1.0,
            top_k=0,
            loss_type=self.loss,
            epsilon_high=5.0 if self.loss == "cispo" else None,
            scale_rewards="none" if self.loss == "dr_grpo" else "group",
            beta=self.beta,
            learning_rate=self.learning_rate,
            lr_scheduler_type="constant_with_warmup",
            warmup_steps=self.warmup_steps,
            optim="adamw_torch_fused",
            weight_decay=0.0,
            max_grad_norm=1.0,
            gradient_checkpointing=self.gradient_checkpointing,
            shuffle_dataset=False,
            logging_steps=1,
            logging_first_step=True,
            save_strategy="steps",
            save_steps=self.checkpoint_every,
            report_to=[] if self.log_to == "none" else [self.log_to],
            disable_tqdm=True,
            ddp_timeout=6 * 3600,
            ddp_find_unused_parameters=False,
        )
