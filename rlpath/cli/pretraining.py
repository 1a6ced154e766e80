"""`rlpath estimate pretrain`: operations, time, memory and MFU of training a language model from scratch.

A step of T tokens through a model of N parameters, L layers, width D and context S takes (6 N + 12 L D S) T operations:
two for each parameter and token forwards and four backwards, and the attention scores (PaLM, arXiv 2204.02311, appendix
B; a causal mask would save half of these, and is not counted). What this machine reaches is measured: a few steps of
the model, or of `SHALLOW` of its layers where a step is long, beside the rate of one large matrix product, its
practical peak. MFU is the one over the other. GPUs are assumed to reach `ASSUMED_MFU` of their data sheet's peak.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import tyro

from rlpath.cli.estimate import USABLE
from rlpath.core.errors import InputError
from rlpath.report.tables import text_table
from rlpath.runs.hardware import GIB

GPUS = {
    "T4": (65e12, 16), "L4": (121e12, 24), "RTX 3090": (71e12, 24), "RTX 4090": (165e12, 24), "A100": (312e12, 80),
    "H100": (989e12, 80),
}  # fmt: skip
"""Peak operations a second of dense 16-bit matrix products (fp32 accumulation), and GiB, by the makers' data sheets."""
ASSUMED_MFU = 0.35
CHINCHILLA = 20
"""Tokens a parameter (Hoffmann et al. 2022, arXiv 2203.15556)."""
SHALLOW = 2
LONG_STEP = 3e11
"""Operations of a step above which only `SHALLOW` layers are measured."""
MEASURED_STEPS = 4
PEAK_SIZE = 1024
STATE = 16
"""Bytes a parameter: weight, gradient and AdamW's two moments in fp32."""
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9}


@dataclass(frozen=True, slots=True)
class PretrainingJob:
    """What is to be trained: a model of `rlpath.trunk.gpt`, by `batch` sequences of `context` tokens a step."""

    vocabulary: int
    width: int
    layers: int
    heads: int
    hidden: int
    context: int
    batch: int

    @property
    def parameters(self) -> int:
        """All of them, the tied embedding once."""
        layer = 4 * self.width**2 + 3 * self.width * self.hidden + 2 * self.width
        return self.vocabulary * self.width + self.layers * layer + self.width

    @property
    def step_tokens(self) -> int:
        return self.batch * self.context

    @property
    def operations(self) -> float:
        """Of one token, forwards and backwards."""
        return 6 * self.parameters + 12 * self.layers * self.width * self.context


@dataclass(frozen=True, slots=True)
class MeasuredSpeed:
    """What this machine did: operations a second in training and in one matrix product; bytes autograd kept."""

    training: float
    peak: float
    kept_a_layer: float
    kept_outside: float


def job_of(parameters: float, vocabulary: int, context: int, batch: int) -> PretrainingJob:
    """The model nearest to a number of parameters, a head of 64 for each layer. Raises `InputError` for too few."""
    made = [_job(layers, vocabulary, context, batch) for layers in range(1, 129)]
    nearest = min(made, key=lambda job: abs(job.parameters - parameters))
    if parameters < made[0].parameters / 2:
        raise InputError(f"--params {parameters:,.0f} are fewer than {vocabulary} embeddings hold: lower --vocabulary")
    return nearest


def _job(layers: int, vocabulary: int, context: int, batch: int) -> PretrainingJob:
    width = 64 * layers
    return PretrainingJob(vocabulary, width, layers, layers, -(-8 * width // 3 // 32) * 32, context, batch)


def measure(job: PretrainingJob, clock: Callable[[], float] = time.perf_counter) -> MeasuredSpeed:
    """Train the model, or a shallow one of its width, for a few steps after one that is not counted."""
    import torch

    long = job.operations * job.step_tokens > LONG_STEP
    small = replace(job, layers=min(job.layers, SHALLOW)) if long else job
    step, kept = _stepper(small)
    layer = (kept - _stepper(replace(small, layers=0))[1]) / small.layers
    outside = kept - small.layers * layer
    step()
    seconds = min(_timed(step, clock) for _ in range(MEASURED_STEPS))
    square = torch.randn(PEAK_SIZE, PEAK_SIZE)
    product = min(_timed(lambda: square @ square, clock) for _ in range(8))
    return MeasuredSpeed(small.operations * small.step_tokens / seconds, 2 * PEAK_SIZE**3 / product, layer, outside)


def _timed(work: Callable[[], Any], clock: Callable[[], float]) -> float:
    started = clock()
    work()
    return clock() - started


def _stepper(job: PretrainingJob) -> tuple[Callable[[], None], float]:
    """A training step of a new model, and the bytes that its forward keeps for the backward."""
    import torch
    from torch.nn import functional as F

    from rlpath.trunk.gpt import GPT, Shape

    model = GPT(Shape(job.vocabulary, job.width, job.layers, job.heads, job.hidden, job.context))
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    ids = torch.randint(job.vocabulary, (job.batch, job.context))
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}

    def loss() -> torch.Tensor:
        return F.cross_entropy(model(ids).flatten(0, 1), ids.flatten())

    def step() -> None:
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()

    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        # Its graph is kept until all is counted, or freed storages would be counted once for several tensors.
        held = loss()
    del held
    return step, float(sum(kept.values()))


def memory(job: PretrainingJob, found: MeasuredSpeed) -> float:
    """Bytes at the peak of one step: weights with their optimizer's state, and what autograd keeps."""
    return STATE * job.parameters + job.layers * found.kept_a_layer + found.kept_outside


def count(text: str) -> float:
    """A number such as 10M, 200k or 1.5B. Raises `InputError` for anything else."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmb]?)\s*", text.lower())
    if match is None or not float(match[1]):
        raise InputError(f"{text!r} is no number such as 10M, 200k or 1.5B")
    return float(match[1]) * _UNITS[match[2]]


@dataclass(frozen=True)
class Estimate:
    """Say what training will take, before it is begun."""

    what: tyro.conf.Positional[Literal["pretrain"]]
    """pretrain: a language model from scratch."""
    params: str = "10M"
    """Parameters of the model: 10M, 1.5B."""
    tokens: str = "200M"
    """Tokens it is trained on."""
    vocabulary: int = 4096
    """Tokens that the tokenizer knows."""
    context: int = 256
    """Tokens of a sequence."""
    batch: int = 8
    """Sequences of a step."""
    threads: int = 0
    """Threads on this machine; 0 is one a core."""

    def run(self) -> int:
        """Measure and print."""
        import torch

        from rlpath.runs.cpu import prepare_cpu

        if min(self.vocabulary, self.context, self.batch) < 2 or self.threads < 0:
            raise InputError("--vocabulary, --context and --batch must be at least 2, and --threads 0 or more")
        prepare_cpu()
        if self.threads:
            torch.set_num_threads(self.threads)
        job = job_of(count(self.params), self.vocabulary, self.context, self.batch)
        print("\n".join(lines(job, count(self.tokens), measure(job), torch.get_num_threads())))
        return 0


def lines(job: PretrainingJob, tokens: float, found: MeasuredSpeed, threads: int) -> list[str]:
    """What is said of a job."""
    operations = job.operations * tokens
    shape = f"{job.layers} layers of width {job.width}, vocabulary {job.vocabulary:,}"
    rows = [(f"this machine, {threads} thread{'s'[: threads > 1]}, fp32", found.training, found.training / found.peak)]
    rows += [(name, peak * ASSUMED_MFU, ASSUMED_MFU) for name, (peak, _) in GPUS.items()]
    needed = memory(job, found)
    fits = {name: "yes" if needed < USABLE * size * GIB else "no" for name, (_, size) in GPUS.items()}
    cells = [
        (name, f"{rate / 1e12:.3g}", f"{100 * mfu:.0f} %", duration(operations / rate), fits.get(name, ""))
        for name, rate, mfu in rows
    ]
    return [
        f"{job.parameters:,} parameters ({shape}), {tokens:,.0f} tokens in steps of {job.step_tokens:,}: "
        f"{operations:.3g} operations, of which 6 N D is {100 * 6 * job.parameters * tokens / operations:.0f} %",
        f"memory {needed / GIB:.2f} GiB in fp32: {STATE * job.parameters / GIB:.2f} for weights, gradients and moments",
        f"{tokens / job.parameters:.3g} tokens a parameter; Chinchilla's rule of {CHINCHILLA} asks for "
        f"{CHINCHILLA * job.parameters:,} tokens",
        "",
        text_table(("on", "TFLOP/s", "MFU", "time", "fits"), cells),
        "",
        f"Measured here in {MEASURED_STEPS} steps against a matrix product of {found.peak / 1e12:.3g} TFLOP/s; for "
        f"GPUs an MFU of {100 * ASSUMED_MFU:.0f} % is assumed, which small models do not reach.",
    ]


def duration(seconds: float) -> str:
    """Seconds, minutes, hours or days."""
    for size, name in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {name}"
    return f"{seconds:.3g} seconds"
