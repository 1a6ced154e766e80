"""Our GRPO step against stock TRL's on the same completions: loss and every gradient, for every kind of loss.

The two trainers get a scripted sampler; what TRL does with it (advantages, clipping, averaging) is the reference.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import rlpath.posttrain.grpo as grpo_module
import torch
from datasets import Dataset
from peft import LoraConfig
from rlpath.posttrain.grpo import GRPOTrainer
from transformers import PrinterCallback, TrainerCallback
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer as TRLTrainer

from rlpath.core.errors import InputError
from rlpath.core.types import Completion, Decoding, Status, Verdict
from rlpath.models.hf_sampler import HFSampler
from rlpath.models.load import load_model, load_tokenizer
from rlpath.posttrain.observe import our_metrics
from rlpath.posttrain.packing import blocks as packing

GROUP, LONGEST, STOP = 4, 7, 2
QUESTIONS = ("1+1?", "What is 12 + 30?", "7-5", "how much is 3 times 4")
LORA = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")


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
        raise NotImplementedError

    def load_weights(self, weights: Iterable[tuple[str, Any]]) -> None:
        self.pushes += len(list(weights)) > 0

    def generate(self, prompts: Sequence[Sequence[int]], decoding: Decoding) -> list[list[Completion]]:
        return [[self._completion(*script(prompt, row)) for row in range(decoding.n)] for prompt in prompts]

    def _completion(self, tokens: list[int], logprobs: list[float]) -> Completion:
        text = self.tokenizer.decode(tokens, skip_special_tokens=True)
        return Completion(text, tuple(tokens), tuple(logprobs), "stop" if tokens[-1] == STOP else "length")


@dataclass
class Trace:
    """What a training run did: the loss of each micro-batch, the gradients of each step."""

    losses: list[float] = field(default_factory=list)
    gradients: list[dict[str, torch.Tensor]] = field(default_factory=list)
    trainer: Any = None

    def of_step(self, step: int) -> list[float]:
        """The losses of one step's micro-batches."""
        each = len(self.losses) // len(self.gradients)
        return self.losses[step * each : (step + 1) * each]


class Collect(TrainerCallback):
    def __init__(self, trace: Trace) -> None:
        self.trace = trace

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        named = ((name, p.grad) for name, p in model.named_parameters() if p.requires_grad)
        self.trace.gradients.append({name: g.clone() for name, g in named if g is not None})


class StockTrainer(TRLTrainer):
    """TRL's trainer with nothing replaced but where its completions come from."""

    trace: Trace

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
        self.trace.losses.append(loss.item())
        return loss


class OurTrainer(GRPOTrainer):
    trace: Trace

    def compute_loss(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        loss = super().compute_loss(*args, **kwargs)
        self.trace.losses.append(loss.item())
        return loss


@dataclass(frozen=True)
class Case:
    """One comparison: TRL's arguments that differ from the defaults below, and how each group is judged."""

    args: dict[str, Any] = field(default_factory=dict)
    golds: tuple[str, ...] = ("varied",) * 4
    lora: bool = False
    correction: str | None = None

    def config(self, folder: Path) -> GRPOConfig:
        defaults = {
            "per_device_train_batch_size": 4 * GROUP,
            "num_generations": GROUP,
            "max_completion_length": LONGEST,
            "max_steps": 1,
            "temperature": 0.9,
            "loss_type": "dapo",
            "beta": 0.0,
            "optim": "sgd",
            "learning_rate": 0.05,
            "lr_scheduler_type": "constant",
            "max_grad_norm": 0.0,
            "shuffle_dataset": False,
            "logging_steps": 1,
            "save_strategy": "no",
            "report_to": [],
            "disable_tqdm": True,
            "use_cpu": True,
            "bf16": False,
            "gradient_checkpointing": False,
        }
        return GRPOConfig(output_dir=str(folder), **{**defaults, **self.args})

    def rows(self) -> Dataset:
        return Dataset.from_list(
            [
                {"prompt": [{"role": "user", "content": q}], "question": q, "gold": g, "problem_id": f"p{i}"}
                for i, (q, g) in enumerate(zip(QUESTIONS, self.golds, strict=True))
            ]
        )

    def common(self, model_folder: Path, folder: Path, trace: Trace) -> dict[str, Any]:
        torch.manual_seed(0)
        return {
            "model": load_model(model_folder, "float32"),
            "args": self.config(folder),
            "train_dataset": self.rows(),
            "processing_class": load_tokenizer(model_folder),
            "peft_config": replace_lora() if self.lora else None,
            "callbacks": [Collect(trace)],
        }


def replace_lora() -> LoraConfig:
    return replace(LORA)


def finish(trainer: Any, trace: Trace) -> Trace:
    trainer.trace = trace
    trace.trainer = trainer
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return trace


def ours(case: Case, model_folder: Path, folder: Path, **changes: Any) -> Trace:
    trace = Trace()
    common = case.common(model_folder, folder, trace)
    sampler = ScriptedSampler(common["processing_class"])
    arguments = {"correction": case.correction, "verifier": verdict, "sampler": sampler, **common, **changes}
    return finish(OurTrainer(**arguments), trace)


def stock(case: Case, model_folder: Path, folder: Path) -> Trace:
    trace = Trace()
    trainer = StockTrainer(reward_funcs=reward, **case.common(model_folder, folder, trace))
    if case.correction is not None:
        # TRL's correction is for vLLM alone: pretend, the completions come from the script in any case.
        trainer.use_vllm = True
        trainer.vllm_importance_sampling_correction = True
        trainer.vllm_importance_sampling_mode = case.correction
        trainer.vllm_importance_sampling_clip_min = None
        trainer.vllm_importance_sampling_clip_max = 2.0
    return finish(trainer, trace)


def differences(found: Trace, expected: Trace) -> list[str]:
    """Where two runs disagree: a step's loss (summed over micro-batches) by 1e-4, a gradient's cosine or norm."""
    wrong: list[str] = []
    steps = len(expected.gradients)
    if not steps or len(found.gradients) != steps:
        return [f"{len(found.gradients)} steps instead of {steps}"]
    for step in range(steps):
        loss, want = (sum(trace.of_step(step)) for trace in (found, expected))
        if abs(loss - want) > 1e-6 + 1e-4 * abs(want):
            wrong.append(f"step {step}: loss {loss} instead of {want}")
        gradients, wanted = found.gradients[step], expected.gradients[step]
        if gradients.keys() != wanted.keys():
            wrong.append(f"step {step}: gradients of other weights")
        wrong += [
            f"step {step}: gradient of {name}"
            for name, gradient in wanted.items()
            if name in gradients and not same_direction_and_length(gradients[name], gradient)
        ]
    return wrong


def same_direction_and_length(found: torch.Tensor, expected: torch.Tensor) -> bool:
    norm, want = found.norm().item(), expected.norm().item()
    if want < 1e-8:
        return norm < 1e-7
    cosine = torch.nn.functional.cosine_similarity(found.flatten(), expected.flatten(), dim=0).item()
    return cosine >= 0.9999 and abs(norm / want - 1) < 1e-3


TWO_UPDATES = {"num_iterations": 2, "max_steps": 2, "learning_rate": 3.0, "epsilon": 0.1}
HALVES = {"per_device_train_batch_size": 2 * GROUP, "gradient_accumulation_steps": 2}
MIXED = ("varied", "equal", "varied", "equal")
LOSSES = ("grpo", "dr_grpo", "dapo", "bnpo", "cispo", "sapo")


def named_cases() -> Iterator[tuple[str, Case]]:
    for loss in LOSSES:
        extra = {"loss_type": loss, "epsilon_high": 5.0 if loss == "cispo" else None}
        extra |= {"scale_rewards": "none"} if loss == "dr_grpo" else {}
        yield loss, Case(extra)
        yield f"{loss}, groups without signal", Case(extra, MIXED)
        if loss != "bnpo":
            yield f"{loss}, two micro-batches", Case(extra | HALVES, MIXED)
    yield "two updates of one rollout, clipped", Case(TWO_UPDATES)
    yield "two updates, groups without signal", Case(TWO_UPDATES | {"loss_type": "grpo"}, MIXED)
    yield "two updates, cispo", Case(TWO_UPDATES | {"loss_type": "cispo", "epsilon_high": 1.2}, MIXED)
    yield "sequence-level ratios", Case(TWO_UPDATES | {"importance_sampling_level": "sequence", "loss_type": "grpo"})
    kl = {"beta": 0.3, "max_steps": 2, "num_iterations": 2, "learning_rate": 0.5}
    yield "KL, all weights", Case(kl, MIXED)
    yield "KL, adapter", Case(kl | {"loss_type": "grpo"}, MIXED, lora=True)
    yield "adapter", Case(lora=True)
    yield "undecided verdicts", Case({"loss_type": "grpo"}, ("partly", "varied", "partly", "equal"))
    yield "cut completions masked", Case({"mask_truncated_completions": True, "loss_type": "grpo"})
    yield "cut completions masked, KL", Case(kl | {"mask_truncated_completions": True, "loss_type": "bnpo"})
    yield "high-entropy tokens alone", Case({"top_entropy_quantile": 0.5}, MIXED)
    yield "no group with signal", Case({"loss_type": "grpo"}, ("equal",) * 4)
    yield "gradient checkpointing", Case({"gradient_checkpointing": True}, lora=True)


CASES = dict(named_cases())


@pytest.mark.parametrize("name", CASES)
def test_loss_and_gradients_are_those_of_trl(name: str, tiny_folder: Path, tmp_path: Path) -> None:
    """Same completions, same rewards: loss within 1e-4, every gradient of cosine ≥ 0.9999 and equal length."""
    case = CASES[name]

    expected = stock(case, tiny_folder, tmp_path)

    found = ours(case, tiny_folder, tmp_path)

    assert found.trainer.packs
    assert differences(found, expected) == []
    if "no group" not in name:
        assert max(gradient.norm() for gradient in expected.gradients[-1].values()) > 1e-4


def test_micro_batches_of_tokens_are_those_of_trl_unshuffled(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """bnpo averages over the tokens of a micro-batch, so TRL's shuffling of rows between them must be off."""
    monkeypatch.setattr("trl.trainer.grpo_trainer.shuffle_sequence_dict", lambda batch: batch)
    case = Case({"loss_type": "bnpo", **HALVES}, MIXED)

    assert differences(ours(case, tiny_folder, tmp_path), stock(case, tiny_folder, tmp_path)) == []


@pytest.mark.parametrize("mode", ["token_truncate", "token_mask", "sequence_truncate", "sequence_mask"])
def test_the_correction_is_that_of_trl(mode: str, tiny_folder: Path, tmp_path: Path) -> None:
    """The weights folded into the advantages equal TRL's factor on the loss of each token."""
    case = Case(correction=mode)

    found, expected = ours(case, tiny_folder, tmp_path), stock(case, tiny_folder, tmp_path)

    assert differences(found, expected) == []
    assert differences(found, stock(replace(case, correction=None), tiny_folder, tmp_path)) != []
    logged = found.trainer.state.log_history[0]
    assert logged["logprob_gap/max"] > logged["logprob_gap/mean"] > 0.1


@pytest.mark.parametrize("share_prompts", [True, False])
def test_a_sliding_window_trains_through_trl_forward(
    share_prompts: bool, tiny_model: Callable[..., Any], tiny_tokenizer: Any, tmp_path: Path
) -> None:
    """Sequences longer than the window get the model's own mask, whether a short trial shows the gap or not."""
    tiny_model("mistral", sliding_window=20).save_pretrained(tmp_path / "model")
    tiny_tokenizer.save_pretrained(tmp_path / "model")
    case = Case({"loss_type": "grpo"})

    found = ours(case, tmp_path / "model", tmp_path, share_prompts=share_prompts)

    assert found.trainer.packs  # the trial's 16 tokens fit into the window of 20
    assert differences(found, stock(case, tmp_path / "model", tmp_path)) == []


def no_scaling(patch: pytest.MonkeyPatch, case: Case) -> Case:
    return replace(case, args=case.args | {"scale_rewards": "none"})


def no_mask(patch: pytest.MonkeyPatch, case: Case) -> Case:
    right = GRPOTrainer._compute_loss

    def every_token(self: Any, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        return right(self, model, {**inputs, "completion_mask": torch.ones_like(inputs["completion_mask"])})

    patch.setattr(GRPOTrainer, "_compute_loss", every_token)
    return case


def predictor_one_late(patch: pytest.MonkeyPatch, case: Case) -> Case:
    def late(*args: Any) -> packing.Packed:
        packed = packing.pack(*args)
        return replace(packed, predictor_N=(packed.predictor_N + 1).clamp(max=packed.ids_R_L.numel() - 1))

    patch.setattr("rlpath.posttrain.packing.forward.pack", late)
    return case


def completions_see_each_other(patch: pytest.MonkeyPatch, case: Case) -> Case:
    right = packing._visibility
    patch.setattr(packing, "_visibility", lambda block_of, part_of: right(block_of, torch.zeros_like(part_of)))
    return case


def positions_run_on(patch: pytest.MonkeyPatch, case: Case) -> Case:
    def running(*args: Any) -> packing.Packed:
        packed = packing.pack(*args)
        return replace(packed, positions_R_L=torch.arange(packed.ids_R_L.shape[1]).expand_as(packed.ids_R_L))

    patch.setattr("rlpath.posttrain.packing.forward.pack", running)
    return case


def skipped_rows_forgotten(patch: pytest.MonkeyPatch, case: Case) -> Case:
    """The loss averages over the rows of the forward alone, and not over those without signal too."""
    right = GRPOTrainer._compute_loss

    def forgetful(self: Any, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        kept = inputs["advantages"] != 0
        rows = {k: v[kept] if v.shape[:1] == kept.shape else v for k, v in inputs.items()}
        return right(self, model, rows)

    patch.setattr(GRPOTrainer, "_compute_loss", forgetful)
    return replace(case, args=case.args | {"loss_type": "grpo"}, golds=MIXED)


def a_row_with_signal_skipped(patch: pytest.MonkeyPatch, case: Case) -> Case:
    right = GRPOTrainer._rows_with_signal
    patch.setattr(GRPOTrainer, "_rows_with_signal", lambda self, inputs: right(self, inputs)[1:])
    return case


def no_clip(patch: pytest.MonkeyPatch, case: Case) -> Case:
    return replace(case, args=case.args | TWO_UPDATES | {"epsilon": 1e6})


def no_temperature(patch: pytest.MonkeyPatch, case: Case) -> Case:
    patch.setattr(grpo_module, "install", lambda model, temperature: right_install(model, 1.0))
    return case


def old_policy_forgotten(patch: pytest.MonkeyPatch, case: Case) -> Case:
    right = GRPOTrainer._compute_loss

    def forgetful(self: Any, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        return right(self, model, {name: value for name, value in inputs.items() if name != "old_per_token_logps"})

    patch.setattr(GRPOTrainer, "_compute_loss", forgetful)
    return replace(case, args=case.args | TWO_UPDATES)


right_install = grpo_module.install
MUTATIONS = (
    no_scaling,
    no_mask,
    predictor_one_late,
    completions_see_each_other,
    positions_run_on,
    skipped_rows_forgotten,
    a_row_with_signal_skipped,
    no_clip,
    no_temperature,
    old_policy_forgotten,
)


@pytest.mark.parametrize("mutate", MUTATIONS, ids=lambda mutation: mutation.__name__)
def test_a_wrong_detail_is_seen(
    mutate: Callable[[pytest.MonkeyPatch, Case], Case],
    tiny_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The comparison above is sharp: each of these mistakes makes it report a difference."""
    # A gap is what some of these mistakes cause: keep the trainer from falling back to TRL's forward.
    monkeypatch.setattr(grpo_module, "PACKING_TOLERANCE", float("inf"))
    with monkeypatch.context() as patch:
        mutated = mutate(patch, Case())
        found = ours(mutated, tiny_folder, tmp_path)
    right = mutated
    if mutate is no_scaling:
        right = Case()
    if mutate is no_clip:
        right = Case(TWO_UPDATES)

    assert differences(found, stock(right, tiny_folder, tmp_path)) != []


# What is logged, and what a seed fixes


def even_length(completion: str, gold: str, *, question: str | None = None, truncated: bool = False) -> Verdict:
    """A real verifier's statuses on random text."""
    if truncated:
        return Verdict.of(Status.TRUNCATED)
    return Verdict.of(Status.CORRECT if len(completion) % 2 == 0 else Status.WRONG)


def train_for_real(model_folder: Path, folder: Path, seed: int, steps: int = 3) -> tuple[Any, list[Any]]:
    """A LoRA run with the Hugging Face sampler on a tiny model; the trainer and the samples logged."""
    samples: list[Any] = []

    def log_samples(step: int, rows: Iterable[Mapping[str, Any]]) -> None:
        samples.extend(rows)

    args = {"seed": seed, "max_steps": steps, "per_device_train_batch_size": 2 * GROUP, "learning_rate": 0.5}
    common = Case(args, lora=True).common(model_folder, folder, Trace())
    torch.manual_seed(1)  # the adapter must be fixed by the trainer's seed, not by what ran before
    sampler = HFSampler(load_model(model_folder, "float32"), common["processing_class"])
    trainer = GRPOTrainer(verifier=even_length, sampler=sampler, log_samples=log_samples, **common)
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return trainer, samples


def digest(model: Any) -> str:
    trained = (p.detach().numpy().tobytes() for p in model.parameters() if p.requires_grad)
    return hashlib.sha256(b"".join(trained)).hexdigest()


@pytest.fixture(scope="module")
def real_run(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, list[Any]]:
    return train_for_real(tiny_folder, tmp_path_factory.mktemp("real"), seed=0)


def test_every_step_logs_what_became_of_its_completions(real_run: tuple[Any, list[Any]]) -> None:
    """Status rates sum to 1 and are those of the logged samples; the sampler's log-probabilities are the trainer's."""
    trainer, samples = real_run
    logs = [our_metrics(row) for row in trainer.state.log_history if "reward" in row]
    assert len(logs) == 3
    for step, row in enumerate(logs, start=1):
        mine = [sample for sample in samples if sample["step"] == step]
        assert len(mine) == 2 * GROUP
        rates = {status: row[f"status/{status}"] for status in Status}
        assert sum(rates.values()) == pytest.approx(1)
        for status, rate in rates.items():
            assert rate == pytest.approx(sum(sample["status"] == status for sample in mine) / len(mine))
        assert row["reward"] == pytest.approx(rates[Status.CORRECT])
        assert row["length/mean"] == pytest.approx(sum(sample["tokens"] for sample in mine) / len(mine))
        assert row["length/truncated"] == rates[Status.TRUNCATED]
        for status in (Status.CORRECT, Status.WRONG):
            lengths = [sample["tokens"] for sample in mine if sample["status"] == status]
            assert row.get(f"length/{status}") == (pytest.approx(sum(lengths) / len(lengths)) if lengths else None)
        # After each push the sampler draws from the very policy that is trained.
        assert row["logprob_gap/max"] < 1e-4
        assert row["correction/mean"] == pytest.approx(1, abs=1e-4)
    assert {"seconds/generate", "seconds/step", "groups/no_signal", "entropy", "grad_norm", "tokens"} <= logs[0].keys()
    assert {sample["problem_id"] for sample in samples if sample["step"] == 1} == {"p0", "p1"}
    first = samples[0]
    assert first["prompt"] == QUESTIONS[0]
    assert first["gold"] == "varied"


def test_a_seed_fixes_completions_and_weights(
    real_run: tuple[Any, list[Any]], tiny_folder: Path, tmp_path: Path
) -> None:
    """Two fresh trainers of one seed end with the same bits after three steps; another seed goes elsewhere."""
    trainer, samples = real_run
    again, same = train_for_real(tiny_folder, tmp_path, seed=0)
    other, different = train_for_real(tiny_folder, tmp_path, seed=1, steps=1)

    assert same == samples
    assert digest(again.model) == digest(trainer.model) != digest(other.model)
    first = [sample["completion"] for sample in samples[: 2 * GROUP]]
    assert [sample["completion"] for sample in different] != first


def test_weights_are_pushed_once_a_step(tiny_folder: Path, tmp_path: Path) -> None:
    """Two updates of one rollout need one push; the next rollout another."""
    trace = ours(Case({"num_iterations": 2, "max_steps": 4}), tiny_folder, tmp_path)
    assert trace.trainer.sampler.pushes == 2


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2}, "not a multiple of the group size 4"),
        ({"entropy_coef": 0.1}, "entropy_coef"),
        ({"loss_type": "vespo"}, "vespo"),
        ({"shuffle_dataset": True}, "shuffle_dataset"),
        ({"steps_per_generation": 1, "gradient_accumulation_steps": 2}, "steps_per_generation"),
        ({"use_vllm": True}, "use_vllm"),
        ({"cast_lm_head_to_fp32": True}, "cast_lm_head_to_fp32"),
    ],
)
def test_what_the_step_does_not_compute_is_refused(
    args: dict[str, Any], message: str, tiny_folder: Path, tmp_path: Path
) -> None:
    """One sentence that names the argument, before a model is touched."""
    absent: Any = None
    with pytest.raises(InputError, match=message):
        GRPOTrainer(None, args=Case(args).config(tmp_path), train_dataset=None, verifier=verdict, sampler=absent)


def test_prompts_out_of_their_groups_are_an_error(tiny_folder: Path, tmp_path: Path) -> None:
    """A batch whose rows are not whole groups would give completions to the wrong prompts."""
    trace = ours(Case(), tiny_folder, tmp_path)
    with pytest.raises(ValueError, match="groups of 4"):
        trace.trainer._generate_single_turn([[5], [5], [5], [6]], None, None, 4)


def test_a_loss_that_is_not_finite_is_blamed_on_its_problem(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the completions of one problem have no log-probability, step and problem are named."""
    right = GRPOTrainer._forward
    seen: list[torch.Tensor] = []

    def poisoned(self: Any, model: Any, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        logprobs, entropy = right(self, model, batch)
        seen.append(batch["prompt_ids"][-1])
        bad = (batch["prompt_ids"] == seen[0]).all(1)
        return logprobs.masked_fill(bad[:, None], float("nan")), entropy

    monkeypatch.setattr(GRPOTrainer, "_forward", poisoned)
    with pytest.raises(InputError, match=r"the loss is not finite at step 1, for problem [^,;]+; training stopped"):
        train_for_real(tiny_folder, tmp_path, seed=0)
