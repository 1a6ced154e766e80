"""What every experiment that trains a language model can be told: fields, their checks, and the adapter they mean.

A recipe subclasses the settings of its kind with its own fields and gives its presets; every field is a flag of its
command line. The fields in `rlpath.runs.run_folder.HARDWARE` say how a run is computed, not what it is: a run can go
on with others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from peft import LoraConfig, TaskType

from rlpath.core.errors import InputError
from rlpath.models.chat import Thinking, read_template
from rlpath.models.precision import fast_dtype


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    preset: str = "cpu"
    """the set of defaults these settings started from"""
    model: str = "smollm2-135m-instruct"
    """a local folder, a hub id, the packaged smollm2-135m-instruct, or the folder of a trained adapter; {seed} in it
    stands for the seed"""
    steps: int = 40
    """optimizer steps; where a policy samples, rollouts, each followed by its update"""
    learning_rate: float = 3e-4
    """highest, after warm-up"""
    warmup_steps: int = 0
    """steps of linear warm-up"""
    lora_rank: int = 32
    """rank of the adapter on every linear layer (alpha is twice the rank); 0 trains all weights"""
    gradient_checkpointing: bool = False
    """compute activations twice and hold less of them"""
    chat_template: str = ""
    """takes the place of the tokenizer's chat template, or is that of a base model that has none: a Jinja file, chatml,
    or chatml-tools (ChatML with tools)"""
    checkpoint_every: int = 10
    """steps between checkpoints"""
    log_to: Literal["tensorboard", "wandb", "trackio", "none"] = "tensorboard"
    """metrics also go here; the run folder has them in any case"""
    push_to_hub: str = ""
    """repository on the hub, organization/name, that gets the trained model; empty: none"""
    seed: int = 0
    """fixes data order, adapter, rollouts and evaluation"""
    root: Path = Path("runs")
    """folder of all runs"""

    def check(self, processes: int) -> None:
        """Refuse impossible values before anything is loaded; raises `InputError` naming the field."""
        for name, low in self.least().items():
            if not getattr(self, name) >= low:
                raise InputError(f"--{name.replace('_', '-')} {getattr(self, name)} must be at least {low}")
        if not self.learning_rate > 0:
            raise InputError(f"--learning-rate {self.learning_rate} must be positive")
        if self.log_to != "none" and find_spec(self.log_to) is None:
            raise InputError(
                f"--log-to {self.log_to} needs {self.log_to}: `pip install {self.log_to}`, or choose none (the run "
                "folder has the metrics in any case)"
            )
        # Read it now: a name that is no template is told before anything is loaded.
        _ = self.template
        if self.push_to_hub and self.push_to_hub.count("/") != 1:
            raise InputError(f"--push-to-hub {self.push_to_hub} must be organization/name")

    @property
    def template(self) -> str | None:
        """The text of the chat template that was given, if any."""
        return read_template(self.chat_template) if self.chat_template else None

    def least(self) -> Mapping[str, float]:
        """The smallest value of each number that has one."""
        return {"steps": 1, "warmup_steps": 0, "lora_rank": 0, "checkpoint_every": 1, "seed": 0}

    @property
    def dtype(self) -> Literal["bfloat16", "float32"]:
        """The precision of the forward."""
        return fast_dtype()

    def lora(self, task: TaskType = TaskType.CAUSAL_LM) -> LoraConfig | None:
        """The adapter's configuration, or None where all weights train."""
        if self.lora_rank == 0:
            return None
        return LoraConfig(r=self.lora_rank, lora_alpha=2 * self.lora_rank, target_modules="all-linear", task_type=task)

    def trackers(self) -> list[Any]:
        """Where metrics go beside the run folder, as transformers and accelerate name it."""
        return [] if self.log_to == "none" else [self.log_to]


@dataclass(frozen=True, kw_only=True)
class CompletionSettings(TrainingSettings):
    """What every experiment has that completes held-out problems before and after."""

    eval_problems: int = 100
    """held-out problems, completed before and after"""
    eval_samples: int = 8
    """sampled completions of each held-out problem, for pass@k"""
    max_completion_length: int = 128
    """tokens after which a completion is truncated; the verifier is told so"""
    thinking: Thinking = "default"
    """the chat template's enable_thinking (Qwen3), the same in training and evaluation"""
    rollouts: Literal["auto", "hf", "vllm"] = "auto"
    """what samples: vLLM where there is a GPU and vLLM, else Hugging Face"""
    gpu_memory: float = 0.3
    """share of the GPU's memory that vLLM takes beside the trainer"""

    def check(self, processes: int) -> None:
        super().check(processes)
        if not 0 < self.gpu_memory < 1:
            raise InputError(f"--gpu-memory {self.gpu_memory} must lie between 0 and 1")

    def least(self) -> Mapping[str, float]:
        names = ("eval_problems", "eval_samples", "max_completion_length")
        return {**super().least(), **dict.fromkeys(names, 1)}
