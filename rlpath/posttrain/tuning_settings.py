"""The settings that supervised fine-tuning, DPO and reward modeling share, and what they become in TRL's words.

A recipe subclasses one of these with its own fields and gives its presets; every field is a flag of its command line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch

from rlpath.core.errors import InputError
from rlpath.models.chat import Thinking
from rlpath.posttrain.training_settings import CompletionSettings, TrainingSettings


@dataclass(frozen=True, kw_only=True)
class TuningSettings(TrainingSettings):
    steps: int = 60
    """optimizer steps"""
    batch: int = 8
    """examples in one step, over all processes"""
    micro_batch: int = 8
    """examples in one forward of one process; lower it where memory is short"""
    thinking: Thinking = "default"
    """the chat template's enable_thinking (Qwen3), the same in training and evaluation"""
    max_length: int = 512
    """tokens of prompt and answer; a longer example is left out whole and counted"""
    learning_rate: float = 2e-4
    """highest, after warm-up; falls to zero along a cosine"""
    warmup_steps: int = 5
    """steps of linear warm-up"""
    quantize: Literal["none", "4bit"] = "none"
    """4bit is QLoRA: the frozen weights in 4-bit NF4; needs a CUDA GPU and bitsandbytes"""
    held_out: int = 100
    """held-out examples, measured before and after"""
    checkpoint_every: int = 20
    """steps between checkpoints"""

    def check(self, processes: int) -> None:
        """Refuse impossible sizes before anything is loaded; raises `InputError` naming the field."""
        super().check(processes)
        if self.batch % processes:
            raise InputError(f"--batch {self.batch} is not divisible by {processes} processes")
        local = self.batch // processes
        if local % min(self.micro_batch, local):
            raise InputError(f"--micro-batch {self.micro_batch} does not divide the {local} examples of a process")
        if self.quantize == "4bit":
            self._check_quantize()

    def least(self) -> Mapping[str, float]:
        return {**super().least(), **dict.fromkeys(("batch", "micro_batch", "max_length", "held_out"), 1)}

    def _check_quantize(self) -> None:
        if not torch.cuda.is_available():
            raise InputError("--quantize 4bit needs a CUDA GPU, and none is here: leave it out to train a plain LoRA")
        if find_spec("bitsandbytes") is None:
            raise InputError("--quantize 4bit needs bitsandbytes: `pip install bitsandbytes`, or leave it out")
        if self.lora_rank == 0:
            raise InputError("--quantize 4bit freezes the weights and needs an adapter: choose a --lora-rank above 0")

    def load_options(self) -> dict[str, Any]:
        """What `load_model` gets beside the folder: the precision, and the quantization of the frozen weights."""
        if self.quantize == "none":
            return {"dtype": self.dtype if self.lora_rank else "float32"}
        from transformers import BitsAndBytesConfig

        four_bits = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_compute_dtype=torch.bfloat16,
            bnb_4bit_use_double_quant=True,
        )
        return {"dtype": self.dtype, "quantization_config": four_bits}

    def trl(self, folder: Path, processes: int) -> dict[str, Any]:
        """The arguments that every TRL configuration of these experiments has in common."""
        local = self.batch // processes
        micro = min(self.micro_batch, local)
        return {
            "output_dir": str(folder),
            "use_cpu": not torch.cuda.is_available(),
            "bf16": self.dtype == "bfloat16",
            "seed": self.seed,
            "max_steps": self.steps,
            "per_device_train_batch_size": micro,
            "gradient_accumulation_steps": local // micro,
            "max_length": None,
            "learning_rate": self.learning_rate,
            "lr_scheduler_type": "cosine",
            "warmup_steps": self.warmup_steps,
            "optim": "adamw_torch_fused",
            "weight_decay": 0.0,
            "max_grad_norm": 1.0,
            "gradient_checkpointing": self.gradient_checkpointing,
            "train_sampling_strategy": "sequential",
            "remove_unused_columns": False,
            "logging_steps": 1,
            "logging_first_step": True,
            "save_strategy": "steps",
            "save_steps": self.checkpoint_every,
            "report_to": self.trackers(),
            "disable_tqdm": True,
            "ddp_timeout": 6 * 3600,
            "ddp_find_unused_parameters": False,
        }


@dataclass(frozen=True, kw_only=True)
class ExaminedSettings(TuningSettings, CompletionSettings):
    """Settings of an experiment that also completes held-out problems before and after, as GRPO's does."""
