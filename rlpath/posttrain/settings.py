"""The settings of a GRPO or PPO experiment, and the one call that turns GRPO's into TRL's.

A recipe subclasses `GRPOSettings` or `PPOSettings` with its own fields and gives its presets; every field is a flag of
its command line.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from peft import LoraConfig
from trl.trainer.grpo_config import GRPOConfig

from rlpath.core.errors import InputError
from rlpath.models.precision import fast_dtype
from rlpath.rewards.combine.named import VerifierName


@dataclass(frozen=True, kw_only=True)
class PolicySettings:
    """What every experiment has that samples from a policy, judges and updates it."""

    preset: str = "cpu"
    """the set of defaults these settings started from"""
    model: str = "smollm2-135m-instruct"
    """a local folder, a hub id, the packaged smollm2-135m-instruct, or the folder of a trained adapter"""
    steps: int = 40
    """rollouts, each followed by its update"""
    prompts_per_step: int = 8
    """prompts in one step, over all processes"""
    group_size: int = 8
    """completions of each prompt"""
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
    temperature: float = 1.0
    """of rollouts; top-p and top-k stay off, for they would bias the loss"""
    rollouts: Literal["auto", "hf", "vllm"] = "auto"
    """what samples: vLLM where there is a GPU and vLLM, else Hugging Face"""
    gpu_memory: float = 0.3
    """share of the GPU's memory that vLLM takes beside the trainer"""
    gradient_checkpointing: bool = False
    """compute activations twice and hold less of them"""
    train_verifier: VerifierName = "own"
    """what rewards training: the verifier that belongs to the problems, or another"""
    eval_verifier: VerifierName = "own"
    """what judges the evaluation: choose another than training's to see what was learnt besides its weaknesses"""
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
        for name, low in self.least().items():
            if not getattr(self, name) >= low:
                raise InputError(f"--{name.replace('_', '-')} {getattr(self, name)} must be at least {low}")
        if not self.learning_rate > 0 or not self.temperature > 0 or not 0 < self.gpu_memory < 1:
            raise InputError("--learning-rate and --temperature must be positive, and --gpu-memory between 0 and 1")
        if self.prompts_per_step % processes:
            raise InputError(f"--prompts-per-step {self.prompts_per_step} is not divisible by {processes} processes")
        local = self.prompts_per_step // processes * self.group_size
        micro = min(self.micro_batch, local)
        if micro % self.group_size or local % micro:
            raise InputError(
                f"--micro-batch {self.micro_batch} must hold whole groups of {self.group_size} and divide the "
                f"{local} completions of a process: try {self.group_size}"
            )

    def least(self) -> dict[str, float]:
        """The smallest value of each number that has one."""
        return {
            "steps": 1,
            "prompts_per_step": 1,
            "group_size": 1,
            "micro_batch": 1,
            "max_completion_length": 1,
            "lora_rank": 0,
            "warmup_steps": 0,
            "eval_problems": 1,
            "eval_samples": 1,
            "checkpoint_every": 1,
            "seed": 0,
        }

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


@dataclass(frozen=True, kw_only=True)
class GRPOSettings(PolicySettings):
    """Settings of the GRPO family; a group's mean reward is its baseline, so a group has at least two completions."""

    loss: Literal["grpo", "dr_grpo", "dapo", "bnpo", "cispo"] = "dapo"
    """how the loss is averaged and clipped; dapo is token-level, dr_grpo free of length bias"""
    beta: float = 0.0
    """weight of the KL divergence to the starting model; 0 needs no reference"""

    def least(self) -> dict[str, float]:
        return {**super().least(), "group_size": 2, "beta": 0}

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


@dataclass(frozen=True, kw_only=True)
class PPOSettings(PolicySettings):
    """Settings of PPO for language models; defaults after Huang et al. 2024 (arXiv 2403.17031) where they give one."""

    mini_batch: int = 32
    """completions in one optimiser step, over all processes; whole groups"""
    epochs: int = 2
    """passes over the completions of one rollout"""
    kl: float = 0.05
    """price of a nat of KL divergence from the starting model, paid token by token; 0 needs no reference"""
    kl_target: float | None = None
    """nats per completion that the price is steered towards (Ziegler et al. 2019); without it the price is fixed"""
    lam: float = 0.95
    """λ of generalised advantage estimation; γ is 1"""
    clip: float = 0.2
    """how far the probability ratio of a token, and a value, may move in one rollout's updates"""
    value_coefficient: float = 0.1
    """weight of the value loss, whose gradient reaches the policy's adapter"""
    value_learning_rate: float = 1e-3
    """of the value head alone"""
    truncated_score: float | None = None
    """score of a completion that the length limit cut, whatever its judge says; without it the judge decides"""
    whiten_rewards: bool = False
    """scale token rewards to variance 1 over the rollout; their mean stays"""

    def least(self) -> dict[str, float]:
        more = {"lora_rank": 1, "mini_batch": 1, "epochs": 1, "kl": 0, "lam": 0, "value_coefficient": 0}
        return {**super().least(), **more}

    def check(self, processes: int) -> None:
        super().check(processes)
        if not 0 <= self.lam <= 1 or not self.clip > 0 or not self.value_learning_rate > 0:
            raise InputError("--lam must lie between 0 and 1; --clip and --value-learning-rate must be positive")
        if self.kl_target is not None and not (self.kl_target > 0 and self.kl > 0):
            raise InputError("--kl-target must be positive, and needs a --kl above 0 to start from")
        if self.mini_batch % (self.group_size * processes) or self.completions % self.mini_batch:
            raise InputError(
                f"--mini-batch {self.mini_batch} must hold whole groups of {self.group_size} on each of {processes} "
                f"processes and divide the {self.completions} completions of a step: try {self.completions}"
            )

    @property
    def completions(self) -> int:
        """Completions of one step, over all processes."""
        return self.prompts_per_step * self.group_size
