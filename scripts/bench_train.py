"""Time supervised fine-tuning: TRL's defaults beside our CPU preset, on the same examples, in one run.

    python scripts/bench_train.py --steps 4
    python scripts/bench_train.py --data word-problems --batch 16

Every arm is a process of its own with as many threads as there are cores. Both train the same LoRA adapter on the same
GSM8K solutions in the same order, with the loss on the answers alone; the first step warms up and is not counted.
"trl" is `SFTTrainer(model="FOLDER", args=SFTConfig(…), peft_config=…)` with nothing set but sizes, schedule and
`use_cpu`: weights in fp32 under bf16 autocast, gradient checkpointing on, rows padded. "trl-no-checkpointing" is the
same without checkpointing, "rlpath" the CPU preset of recipes/sft_gsm8k.py. Tokens are those of prompts and answers,
without padding; memory is the largest resident set of the process.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import tyro

from rlpath.runs.hardware import cores

Arm = Literal["trl", "trl-no-checkpointing", "rlpath"]
ARMS: tuple[Arm, ...] = ("trl", "trl-no-checkpointing", "rlpath")


@dataclass(frozen=True)
class Args:
    model: str = "smollm2-135m-instruct"
    """folder, hub id or packaged name"""
    arms: tuple[Arm, ...] = ARMS
    """what to time, in this order"""
    data: str = "gsm8k"
    """problems with worked solutions: gsm8k, word-problems, arithmetic:<level>"""
    steps: int = 4
    """measured steps of each arm, after one that warms up"""
    batch: int = 8
    """examples in one step"""
    max_length: int = 512
    """tokens of prompt and answer; longer examples are left out of every arm"""


def main() -> None:
    if len(sys.argv) > 1 and sys.argv[1] == "--arm":
        print("RESULT " + json.dumps(time_arm(sys.argv[2], Args(**json.loads(sys.argv[4])), sys.argv[3])), flush=True)
        return
    args = tyro.cli(Args)
    with tempfile.TemporaryDirectory() as folder:
        found = {arm: run_arm(arm, args, folder) for arm in args.arms}
    print(f"{args.batch} examples of {args.data} a step, {args.model}, {cores()} threads")
    for arm, result in found.items():
        spread = " ".join(f"{value:.1f}" for value in result["seconds"])
        print(
            f"{arm:22s} {result['rate']:7.0f} tokens/s   peak {result['peak'] / 2**30:.2f} GiB   "
            f"loss {result['losses'][0]:.4f} … {result['losses'][-1]:.4f}   seconds a step [{spread}]"
        )
    for arm in args.arms:
        if arm != "rlpath" and "rlpath" in found:
            speed, less = found["rlpath"]["rate"] / found[arm]["rate"], found["rlpath"]["peak"] / found[arm]["peak"]
            print(f"rlpath is {speed:.2f} times as fast as {arm}, with {less:.2f} times its peak memory")


def run_arm(arm: str, args: Args, folder: str) -> dict[str, Any]:
    """One arm in a fresh process."""
    words = [sys.executable, __file__, "--arm", arm, folder, json.dumps(asdict(args))]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if done.returncode or not lines:
        raise SystemExit(f"{arm} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return json.loads(lines[-1].removeprefix("RESULT "))


def time_arm(arm: str, args: Args, folder: str) -> dict[str, Any]:
    """Seconds and tokens of each measured step, the losses of all, and the largest resident set in bytes."""
    from transformers import TrainerCallback

    class Clock(TrainerCallback):
        """Seconds of each step, optimizer included, and its loss."""

        def __init__(self) -> None:
            self.times: list[float] = []
            self.losses: list[float] = []

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            self.began = time.perf_counter()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.times.append(time.perf_counter() - self.began)

        def on_log(self, *_: Any, logs: dict[str, float] | None = None, **__: Any) -> None:
            if logs and "loss" in logs:
                self.losses.append(logs["loss"])

    trainer, lengths = make_trainer(arm, args, folder)
    clock = Clock()
    trainer.add_callback(clock)
    trainer.train()
    tokens = [sum(lengths[at : at + args.batch]) for at in range(0, len(lengths), args.batch)]
    # The rate over all measured steps, each of which has its own number of tokens.
    rate = sum(tokens[1:]) / sum(clock.times[1:])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    median = statistics.median(clock.times[1:])
    return {"rate": rate, "peak": peak, "seconds": clock.times[1:], "losses": clock.losses, "median": median}


def make_trainer(arm: str, args: Args, folder: str) -> tuple[Any, list[int]]:
    """A stock or an rlpath trainer of the same experiment, and the tokens of each example in its order."""
    import torch
    from peft import LoraConfig
    from trl.trainer.sft_config import SFTConfig

    from rlpath.envs.demonstrations import worked_solutions
    from rlpath.envs.load import problem_set
    from rlpath.models.load import load_tokenizer, resolve_model
    from rlpath.posttrain.tokens import encode_demonstration, in_order_of_use, rows_within_length, sft_row
    from rlpath.posttrain.trainers import SFTTrainer
    from rlpath.posttrain.tuning_settings import TuningSettings

    path = resolve_model(args.model)
    tokenizer = load_tokenizer(path)
    count = (args.steps + 1) * args.batch
    examples = worked_solutions(problem_set(args.data, "train", size=2 * count)).examples
    rows, _ = rows_within_length(
        [encode_demonstration(tokenizer, one) for one in examples], args.max_length, "examples"
    )
    rows = in_order_of_use(rows, count, seed=0)
    lengths = [len(row) for row in rows]
    settings = TuningSettings(
        steps=args.steps + 1, batch=args.batch, micro_batch=args.batch, log_to="none", warmup_steps=0
    )
    if arm == "rlpath":
        from rlpath.models.load import load_model
        from rlpath.runs.cpu import prepare_cpu

        prepare_cpu()
        given = {**settings.trl(Path(folder) / arm, 1), "save_strategy": "no"}
        model = load_model(path, **settings.load_options())
        trainer = SFTTrainer(model, rows, args=SFTConfig(**given), tokenizer=tokenizer, peft_config=settings.lora())
        return trainer, lengths
    from datasets import Dataset
    from trl.trainer.sft_trainer import SFTTrainer as TRLTrainer

    defaults: dict[str, Any] = {} if arm == "trl" else {"gradient_checkpointing": False}
    config = SFTConfig(
        output_dir=str(Path(folder) / arm),
        use_cpu=not torch.cuda.is_available(),
        max_steps=args.steps + 1,
        per_device_train_batch_size=args.batch,
        learning_rate=settings.learning_rate,
        lr_scheduler_type="cosine",
        train_sampling_strategy="sequential",
        logging_steps=1,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
        **defaults,
    )
    lora = LoraConfig(r=32, lora_alpha=64, target_modules="all-linear", task_type="CAUSAL_LM")
    data = Dataset.from_list([sft_row(row) for row in rows])
    trainer = TRLTrainer(str(path), args=config, train_dataset=data, processing_class=tokenizer, peft_config=lora)
    return trainer, lengths


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", str(cores()))
    main()
