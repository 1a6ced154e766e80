"""The on-policy loop against stock TRL on the same completions: loss, every gradient and the weights afterwards.

Both get a scripted sampler; what TRL does with it (advantages, clipping, averaging, optimizer) is the reference.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers import PrinterCallback, TrainerCallback
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer as TRLTrainer

import rlpath.losses.policy as policy_losses
import rlpath.posttrain.objectives as objectives
import rlpath.posttrain.policy_model as policy_model_module
from rlpath import losses
from rlpath.core.types import Completion, Decoding, Problem, Status, Verdict
from rlpath.models.load import load_model, load_tokenizer
from rlpath.posttrain.loop import OnPolicyTrainer
from rlpath.posttrain.packing import blocks as packing
from rlpath.posttrain.settings import GRPOSettings

GROUP, LONGEST, STOP, STEPS = 4, 7, 2, 3
QUESTIONS = ("1+1?", "What is 12 + 30?", "7-5", "how much is 3 times 4")
MIXED = ("varied", "equal", "varied", "equal")
SETTINGS = GRPOSettings(
    steps=STEPS,
    prompts_per_step=4,
    group_size=GROUP,
    max_completion_length=LONGEST,
    temperature=0.9,
    learning_rate=0.0005,
    lora_rank=0,
    correction="none",
)


def script(prompt: Sequence[int], row: int) -> tuple[list[int], list[float]]:
    """Row `row` of a prompt's group: 1 to 7 tokens, mostly ended by the stop token, and log-probabilities."""
    generator = torch.Generator().manual_seed(zlib.crc32(repr((list(prompt), row)).encode()))
    length = int(torch.randint(1, LONGEST + 2, (), generator=generator))
    tokens = torch.randint(3, 259, (min(length, LONGEST),), generator=generator).tolist()
    if length <= LONGEST:
        tokens[-1] = STOP
    return tokens, (-1 - 6 * torch.rand(len(tokens), generator=generator)).tolist()


def score(text: str, gold: str) -> float | None:
    """Gold says how a group is judged: `varied`, `equal` (no signal) or `partly` (every third one undecided)."""
    value = zlib.crc32(text.encode()) % 5 / 4
    return {"varied": value, "equal": 1.0, "partly": None if value in (0.0, 0.75) else value}[gold]


def verdict(completion: str, gold: str, *, question: str | None = None, truncated: bool = False) -> Verdict:
    value = score(completion, gold)
    status = Status.UNDECIDED if value is None else Status.CORRECT if value > 0.6 else Status.WRONG
    return Verdict(status, value)


def reward(completions: list[Any], gold: list[str], **_: Any) -> list[float | None]:
    return [score(completion[0]["content"], right) for completion, right in zip(completions, gold, strict=True)]


class ScriptedSampler:
    backend = "scripted"

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.pushes = 0

    def encode(self, prompt: str) -> list[int]:
        chat = [{"role": "user", "content": prompt}]
        return self.tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=False)

    def load_weights(self, weights: Iterable[tuple[str, Any]]) -> None:
        self.pushes += len(list(weights)) > 0

    def generate(
        self, prompts: Sequence[Sequence[int]], decoding: Decoding, *, first: int = 0
    ) -> list[list[Completion]]:
        return [[self._completion(*script(prompt, row)) for row in range(decoding.n)] for prompt in prompts]

    def _completion(self, tokens: list[int], logprobs: list[float]) -> Completion:
        text = self.tokenizer.decode(tokens, skip_special_tokens=True)
        return Completion(text, tuple(tokens), tuple(logprobs), "stop" if tokens[-1] == STOP else "length")


@dataclass
class Trace:
    """What a training run did: the loss and the gradients of each optimizer step, and the weights at the end."""

    losses: list[float] = field(default_factory=list)
    gradients: list[dict[str, torch.Tensor]] = field(default_factory=list)
    weights: dict[str, torch.Tensor] = field(default_factory=dict)
    metrics: list[dict[str, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Case:
    """One comparison: our settings and TRL's arguments that differ from the defaults, and how each group is judged."""

    ours: dict[str, Any] = field(default_factory=dict)
    trl: dict[str, Any] = field(default_factory=dict)
    golds: tuple[str, ...] = ("varied",) * 4
    lora: bool = False
    epsilon: float = 1e-8
    """Adam's: with a large one, rounding in a gradient near zero is not enlarged into a step of full size"""

    def __or__(self, other: Case) -> Case:
        epsilon = max(self.epsilon, other.epsilon)
        return Case(self.ours | other.ours, self.trl | other.trl, other.golds, self.lora or other.lora, epsilon)

    @property
    def settings(self) -> GRPOSettings:
        return replace(SETTINGS, **self.ours)

    def problems(self) -> list[Problem]:
        return [Problem(f"p{i}", q, g) for i, (q, g) in enumerate(zip(QUESTIONS, self.golds, strict=True))]


def policy(model_folder: Path, lora: bool) -> Any:
    """The model, or the same with a fresh adapter."""
    model = load_model(model_folder, "float32")
    if not lora:
        return model
    torch.manual_seed(0)
    config = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")
    return get_peft_model(model, config)


def plain_name(name: str) -> str:
    return name.removeprefix("policy.")


def ours(case: Case, model_folder: Path, optimizer: Any = None, **given: Any) -> Trace:
    """Three steps of the loop; problems come in the order of their numbers at every step."""
    settings = case.settings
    trace = Trace()
    sampler: Any = ScriptedSampler(load_tokenizer(model_folder))
    model = policy(model_folder, case.lora)
    trainer = OnPolicyTrainer(model, settings, case.problems(), verdict, sampler, accelerator=Accelerator(cpu=True),
                              **given)  # fmt: skip
    for group in trainer.optimizer.param_groups:
        group["eps"] = case.epsilon
    asked = case.problems()
    trainer.problems.take = lambda start, count: [asked[i % 4] for i in range(start, start + count)]  # type: ignore[method-assign]
    right = trainer._mini_batches
    trainer._mini_batches = lambda rows, epoch: [part.sort().values for part in in_order(right(rows, epoch))]  # type: ignore[method-assign]
    clip = trainer._clip

    def clipped() -> float:
        named = {plain_name(name): p.grad for name, p in trainer.trained.items() if p.grad is not None}
        trace.gradients.append({name: gradient.clone() for name, gradient in named.items()})
        return clip()

    trainer._clip = clipped  # type: ignore[method-assign]
    optimize = trainer._optimize

    def noted(*arguments: Any) -> dict[str, float]:
        found = optimize(*arguments)
        trace.losses.append(found["loss"])
        return found

    trainer._optimize = noted  # type: ignore[method-assign]
    trace.metrics = [trainer.train_step() for _ in range(settings.steps)]
    trace.weights = {plain_name(name): p.detach().clone() for name, p in trainer.trained.items()}
    return trace


def in_order(parts: list[torch.Tensor]) -> list[torch.Tensor]:
    """Mini-batches of as many rows, as TRL makes them without shuffling."""
    return list(torch.arange(sum(map(len, parts))).split(len(parts[0])))


class StockTrainer(TRLTrainer):
    """TRL's trainer with nothing replaced but where its completions come from."""

    trace: Trace
    inside = 0.0

    def _generate_single_turn(
        self,
        prompt_ids: list[list[int]],
        images: Any,
        multimodal_fields: Any,
        num_generations: int,
        has_tool_images: bool = False,
    ) -> tuple[list[list[int]], list[list[float]] | None]:
        rows = [script(prompt, index % num_generations) for index, prompt in enumerate(prompt_ids)]
        return [tokens for tokens, _ in rows], [logprobs for _, logprobs in rows] if self.use_vllm else None

    def compute_loss(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        loss = super().compute_loss(*args, **kwargs)
        self.inside += loss.item()
        return loss


class Collect(TrainerCallback):
    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.trainer: Any = None

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        self.trace.losses.append(self.trainer.inside)
        self.trainer.inside = 0.0

    def on_train_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        self.trace.weights = {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}


def stock(case: Case, model_folder: Path, folder: Path) -> Trace:
    """As many optimizer steps of stock TRL, AdamW and all."""
    settings = case.settings
    correction = None if settings.correction == "none" else settings.correction
    updates = settings.steps * settings.epochs * settings.mini_batches
    defaults = {
        "per_device_train_batch_size": 4 * GROUP // settings.mini_batches,
        "gradient_accumulation_steps": 1,
        "steps_per_generation": settings.mini_batches,
        "num_iterations": settings.epochs,
        "num_generations": GROUP,
        "max_completion_length": LONGEST,
        "max_steps": updates,
        "temperature": 0.9,
        "loss_type": settings.loss,
        "beta": settings.beta,
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": "constant",
        "optim": "adamw_torch_fused",
        "adam_epsilon": case.epsilon,
        "weight_decay": 0.0,
        "max_grad_norm": settings.max_grad_norm,
        "shuffle_dataset": False,
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
    }
    rows = [{"prompt": [{"role": "user", "content": p.prompt}], "gold": p.gold} for p in case.problems()]
    trace = Trace()
    collect = Collect(trace)
    trainer = StockTrainer(
        policy(model_folder, case.lora),
        reward_funcs=reward,
        args=GRPOConfig(output_dir=str(folder), **{**defaults, **case.trl}),
        train_dataset=Dataset.from_list(rows),
        processing_class=load_tokenizer(model_folder),
        callbacks=[collect],
    )
    collect.trainer = trainer
    if correction is not None:
        # TRL's correction is for vLLM alone: pretend, the completions come from the script in any case.
        trainer.use_vllm = True
        trainer.vllm_importance_sampling_correction = True
        trainer.vllm_importance_sampling_mode = correction
        trainer.vllm_importance_sampling_clip_min = None
        trainer.vllm_importance_sampling_clip_max = settings.correction_cap
    clip = trainer.accelerator.clip_grad_norm_

    model: Any = trainer.model

    def noted(*arguments: Any, **keywords: Any) -> Any:
        found = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
        trace.gradients.append(found)
        return clip(*arguments, **keywords)

    trainer.accelerator.clip_grad_norm_ = noted
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return trace


def differences(found: Trace, expected: Trace, tolerance: float = 1e-5) -> list[str]:
    """Where two runs disagree: a loss, a gradient (by its largest entry) or a weight at the end."""
    wrong: list[str] = []
    if len(found.losses) != len(expected.losses) or not expected.losses:
        return [f"{len(found.losses)} updates instead of {len(expected.losses)}"]
    for step, (loss, want) in enumerate(zip(found.losses, expected.losses, strict=True)):
        if abs(loss - want) > tolerance * max(1.0, abs(want)):
            wrong.append(f"update {step}: loss {loss} instead of {want}")
    for step, (gradients, wanted) in enumerate(zip(found.gradients, expected.gradients, strict=True)):
        if gradients.keys() != wanted.keys():
            return [*wrong, f"update {step}: gradients of other weights"]
        scale = max(gradient.abs().max().item() for gradient in wanted.values())
        for name, gradient in wanted.items():
            if (gap := (gradients[name] - gradient).abs().max().item()) > tolerance * max(scale, 0.5):
                wrong.append(f"update {step}: gradient of {name} by {gap:.1e} of {scale:.1e}")
    for name, weight in expected.weights.items():
        if (gap := (found.weights[name] - weight).abs().max().item()) > tolerance:
            wrong.append(f"weight {name} by {gap:.1e}")
    return wrong


EXTRA: dict[str, Case] = {
    "dr_grpo": Case({}, {"scale_rewards": "none"}),
    "cispo": Case({}, {"epsilon_high": 5.0}),
    "gspo": Case({}, {"loss_type": "grpo", "importance_sampling_level": "sequence", "epsilon": 3e-4,
                      "epsilon_high": 4e-4}),
    "luspo": Case({}, {"importance_sampling_level": "sequence", "epsilon": 3e-4, "epsilon_high": 4e-4}),
}  # fmt: skip
LOSSES = ("grpo", "dr_grpo", "dapo", "bnpo", "cispo", "sapo", "luspo", "vespo", "gspo")
KL = Case({"beta": 0.3}, {})
AGAIN = Case({"epochs": 2, "steps": 2}, {})
MINI = Case({"mini_batch": 2 * GROUP, "steps": 2}, {})
HIGHER = Case({"clip": 0.01, "clip_higher": 0.03}, {"epsilon": 0.01, "epsilon_high": 0.03})
CUT = Case({"mask_truncated": True}, {"mask_truncated_completions": True})
ENTROPY = Case({"entropy_bonus": 0.1}, {"entropy_coef": 0.1})


def everything(loss: str, correction: str) -> Case:
    """Correction, clip-higher, cut completions masked, mini-batches, epochs; half of them with a KL term."""
    case = Case({"loss": loss, "correction": correction, "learning_rate": 2e-4}, epsilon=1e-4)
    case = case | EXTRA.get(loss, Case())
    case = case | HIGHER | CUT | MINI | AGAIN
    if loss == "cispo":
        case = case | Case({}, {"epsilon_high": 1.03})
    return replace(case | KL if correction.endswith("truncate") else case, golds=MIXED)


def named_cases() -> Iterator[tuple[str, Case]]:
    for loss in LOSSES:
        base = Case({"loss": loss}, {}) | EXTRA.get(loss, Case())
        yield loss, replace(base, golds=MIXED)
        yield f"{loss}, KL, mini-batches and epochs", replace(base | KL | AGAIN | MINI, golds=MIXED)
        for correction in losses.CORRECTIONS:
            yield f"{loss}, {correction} and everything else", everything(loss, correction)
    for name in ("grpo", "dapo"):
        yield f"{name}, clip higher", Case({"loss": name}) | HIGHER | AGAIN | MINI
        yield f"{name}, cut completions masked", Case({"loss": name}) | CUT | MINI
        yield f"{name}, entropy bonus", Case({"loss": name}, epsilon=1e-4) | ENTROPY | MINI
    yield "adapter", Case(lora=True)
    yield "adapter, KL, epochs", Case(lora=True) | KL | AGAIN
    yield "undecided verdicts", Case({"loss": "grpo"}, golds=("partly", "varied", "partly", "equal"))
    yield "batch deviation", Case({"advantage": "batch"}, {"scale_rewards": "batch"})
    yield "no group with signal", Case({"loss": "grpo"}, golds=("equal",) * 4)
    yield "gradient checkpointing", Case({"gradient_checkpointing": True}, lora=True)


CASES = dict(named_cases())


@pytest.fixture(autouse=True)
def unshuffled(monkeypatch: pytest.MonkeyPatch) -> None:
    """TRL shuffles the rows of a generation between its mini-batches."""
    monkeypatch.setattr("trl.trainer.grpo_trainer.shuffle_sequence_dict", lambda batch: batch)


@pytest.mark.parametrize("name", CASES)
def test_losses_gradients_and_weights_are_those_of_trl(name: str, tiny_folder: Path, tmp_path: Path) -> None:
    """Three rollouts, AdamW, clipped gradients: everything within 1e-5 in fp32."""
    case = CASES[name]

    expected = stock(case, tiny_folder, tmp_path)
    found = ours(case, tiny_folder)

    assert differences(found, expected) == []
    assert len(found.losses) >= STEPS
    if "no group" not in name:
        assert max(gradient.abs().max() for each in expected.gradients for gradient in each.values()) > 1e-4
    if "clip_higher" in case.ours and case.settings.loss not in ("sapo", "vespo"):
        assert max(metrics["clip_ratio"] for metrics in found.metrics) > 0


@pytest.mark.parametrize("mode", losses.CORRECTIONS)
def test_the_correction_is_that_of_trl(mode: str, tiny_folder: Path, tmp_path: Path) -> None:
    """Every mode before the first update, where no ratio but the sampler's is left, and it is no idle term."""
    case = Case({"correction": mode})

    found = ours(case, tiny_folder)

    assert differences(found, stock(case, tiny_folder, tmp_path)) == []
    assert differences(found, ours(Case(), tiny_folder)) != []
    assert found.metrics[0]["logprob_gap/max"] > found.metrics[0]["logprob_gap/mean"] > 0.1
    assert found.metrics[0]["correction/mean"] > 0


@pytest.mark.parametrize("micro_batch", [1, 3, 64])
def test_micro_batches_change_nothing(micro_batch: int, tiny_folder: Path) -> None:
    """Whatever fits into one forward, the update is the same."""
    case = Case({"loss": "grpo", "beta": 0.3, "mini_batch": 2 * GROUP}, golds=MIXED)

    found = ours(case | Case({"micro_batch": micro_batch}, golds=MIXED), tiny_folder)

    assert differences(found, ours(case, tiny_folder)) == []


def test_a_model_that_cannot_be_packed_trains_plainly(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the packed forward would give other numbers: the same as TRL."""
    monkeypatch.setattr(policy_model_module, "packing_gap", lambda *_: 1.0)
    case = Case({"loss": "grpo"}, golds=MIXED)
    assert differences(ours(case, tiny_folder), stock(case, tiny_folder, tmp_path)) == []


def test_a_sliding_window_trains_plainly(tiny_model: Callable[..., Any], tiny_tokenizer: Any, tmp_path: Path) -> None:
    """Sequences longer than the window get the model's own mask."""
    tiny_model("mistral", sliding_window=20).save_pretrained(tmp_path / "model")
    tiny_tokenizer.save_pretrained(tmp_path / "model")
    case = Case({"loss": "grpo"})

    assert differences(ours(case, tmp_path / "model"), stock(case, tmp_path / "model", tmp_path)) == []


# Every choice is the tested function of `rlpath.losses`: a mutation of it is seen


def scaled(function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    return lambda *args, **kwargs: function(*args, **kwargs) * 1.1


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        *((f"{loss}_loss", {"loss": loss}) for loss in (*LOSSES, "rloo") if loss != "bnpo"),
        ("ppo_policy_loss", {"loss": "bnpo"}),
        ("ppo_policy_loss", {"loss": "reinforce_pp"}),
        ("group_advantages", {}),
        ("rloo_advantages", {"loss": "rloo"}),
        ("reinforce_pp_advantages", {"loss": "reinforce_pp"}),
        ("correction_weights", {"correction": "token_truncate"}),
        ("kl_penalty", {"beta": 0.3}),
        ("kl_estimate", {"beta": 0.3, "loss": "rloo", "kl_estimator": "k1"}),
    ],
)
def test_the_tested_losses_are_the_ones_that_train(
    name: str, changes: dict[str, Any], tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each function of `rlpath.losses`, made 10 % larger, changes a training."""
    case = Case({"epochs": 2, "max_grad_norm": 0.0, **changes}, lora=True)
    before = ours(case, tiny_folder)
    monkeypatch.setattr(objectives, name, scaled(getattr(losses, name)))
    assert differences(ours(case, tiny_folder), before) != []


def no_mask(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(policy_losses, "average_tokens", lambda values, mask, *a, **k: values.mean())


def predictor_one_late(patch: pytest.MonkeyPatch) -> None:
    def late(*args: Any) -> packing.Packed:
        packed = packing.pack(*args)
        return replace(packed, predictor_N=(packed.predictor_N + 1).clamp(max=packed.ids_R_L.numel() - 1))

    patch.setattr(policy_model_module, "pack", late)


def completions_see_each_other(patch: pytest.MonkeyPatch) -> None:
    right = packing._visibility
    patch.setattr(packing, "_visibility", lambda block_of, part_of: right(block_of, torch.zeros_like(part_of)))


def positions_run_on(patch: pytest.MonkeyPatch) -> None:
    def running(*args: Any) -> packing.Packed:
        packed = packing.pack(*args)
        return replace(packed, positions_R_L=torch.arange(packed.ids_R_L.shape[1]).expand_as(packed.ids_R_L))

    patch.setattr(policy_model_module, "pack", running)


def skipped_rows_forgotten(patch: pytest.MonkeyPatch) -> None:
    right = objectives.GroupObjective.loss
    patch.setattr(
        objectives.GroupObjective,
        "loss",
        lambda self, new, part, whole: right(self, new, part, replace(whole, completions=len(part))),
    )


def a_row_with_gradient_skipped(patch: pytest.MonkeyPatch) -> None:
    right = objectives.GroupObjective.has_gradient

    def fewer(self: Any, rollout: Any) -> torch.Tensor:
        found = right(self, rollout).clone()
        found[0] = False
        return found

    patch.setattr(objectives.GroupObjective, "has_gradient", fewer)


def no_clip(patch: pytest.MonkeyPatch) -> None:
    right = losses.policy_loss
    patch.setattr(policy_losses, "policy_loss", lambda *a, **k: right(*a, **{**k, "low": 1e6, "high": 1e6}))


def no_temperature(patch: pytest.MonkeyPatch) -> None:
    right = policy_model_module.patch_packed_forward
    patch.setattr(policy_model_module, "patch_packed_forward", lambda model, temperature, **k: right(model, 1.0, **k))


def old_policy_forgotten(patch: pytest.MonkeyPatch) -> None:
    right = objectives.GroupObjective.loss
    patch.setattr(
        objectives.GroupObjective,
        "loss",
        lambda self, new, part, whole: right(self, new, part.with_(old_B_T=None), whole),
    )


MUTATIONS = (
    no_mask,
    predictor_one_late,
    completions_see_each_other,
    positions_run_on,
    skipped_rows_forgotten,
    a_row_with_gradient_skipped,
    no_clip,
    no_temperature,
    old_policy_forgotten,
)


@pytest.mark.parametrize("mutate", MUTATIONS, ids=lambda mutation: mutation.__name__)
def test_a_wrong_detail_is_seen(
    mutate: Callable[[pytest.MonkeyPatch], None], tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The comparison is sharp: each of these mistakes makes it report a difference."""
    # A gap is what some of these mistakes cause: keep the model from falling back to the plain forward.
    monkeypatch.setattr(policy_model_module, "PACKING_TOLERANCE", float("inf"))
    case = Case({"loss": "grpo", "epochs": 2, "learning_rate": 0.05}, golds=MIXED)
    with monkeypatch.context() as patch:
        mutate(patch)
        found = ours(case, tiny_folder)

    assert differences(found, stock(case, tiny_folder, tmp_path)) != []
