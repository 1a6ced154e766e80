"""PPO for language models, whole: rollout, token rewards, advantages, updates, checkpoints.

The details that decide whether it learns (Ziegler et al. 2019, arXiv 1909.08593; Huang et al. 2024, arXiv 2403.17031),
each marked by its number where it happens, here or in `actor_critic.py`:

 (1) A completion is one episode: its score comes with its last token, and every token pays for its own KL divergence.
 (2) The KL price is fixed, or moves by at most 2 % a step towards a target.
 (3) A completion that the limit cut can be given a fixed score, so that not ending is never worth while.
 (4) A value belongs to the state before its token; after the last token there is nothing, cut or not.
 (5) The value head starts at zero on the policy's own trunk: one forward gives both, and the reference is the same
     model with its adapter off, so PPO takes the memory of one model. The value loss reaches the adapter with a small
     weight; a separate critic would be independent of the policy but double model and compute.
 (6) Rewards may be scaled, never shifted; advantages are whitened over the whole rollout, not a mini-batch.
 (7) Old log-probabilities and values are the trainer's own, from before the first update: the sampler rounds otherwise.
 (8) Rollout and update use one temperature, and no dropout: without an update the ratio is exactly 1.
 (9) Several epochs over mini-batches; ratio and value are clipped, the gradient's norm is held at 1, Adam has no decay.
(10) A completion whose judge could not decide is left out of every mean.

Shapes: B completions of this process, T tokens of the longest.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from peft import PeftModel
from safetensors.torch import save_file

from rlpath.core.errors import InputError
from rlpath.core.seeding import derive
from rlpath.core.types import Completion, Decoding, Problem, Verifier
from rlpath.losses import (
    clip_fraction,
    gae,
    kl_estimate,
    masked_mean,
    ppo_policy_loss,
    ppo_value_loss,
    sequence_logprobs,
    whiten,
)
from rlpath.models.rollouts import PolicySampler
from rlpath.models.weights import sampler_weights
from rlpath.posttrain.actor_critic import Batch, actor_critic, forward, in_parts, make_batch, rectangle, reference
from rlpath.posttrain.finite import blame
from rlpath.posttrain.judge import RewardFunction, SampleLog, counts, judge, sample_row, score
from rlpath.posttrain.settings import PPOSettings

KL_GAIN = 0.1
REMEDY = "training stopped, and the last checkpoint is from before this step: lower --learning-rate and start again"
Metrics = dict[str, float]


@dataclass(frozen=True)
class Rollout:
    """Completions with everything their update needs; `mask_B_T` is 0 where nothing was decided.

    `place_B` says which of the step's completions each is.
    """

    place_B: torch.Tensor
    prompt_ids: torch.Tensor
    prompt_mask: torch.Tensor
    completion_ids: torch.Tensor
    completion_mask: torch.Tensor
    mask_B_T: torch.Tensor
    logprobs_B_T: torch.Tensor
    values_B_T: torch.Tensor
    advantages_B_T: torch.Tensor
    returns_B_T: torch.Tensor

    def rows(self, index: torch.Tensor) -> Rollout:
        """The completions at `index`."""
        return Rollout(**{field.name: getattr(self, field.name)[index] for field in fields(self)})


def token_rewards(
    scores_B: torch.Tensor, kl_B_T: torch.Tensor, mask_B_T: torch.Tensor, coefficient: float
) -> torch.Tensor:
    """-coefficient · KL (the k1 estimate) of every token, and the score with the last one, [B, T]."""
    rewards_B_T = -coefficient * kl_B_T * mask_B_T  # (1)
    last_B_1 = (mask_B_T.sum(1, keepdim=True) - 1).clamp(min=0)
    return rewards_B_T.scatter_add(1, last_B_1, (scores_B * mask_B_T[:, 0])[:, None])


def next_kl_coefficient(coefficient: float, kl: float, target: float | None) -> float:
    """The price of the next step (Ziegler et al. 2019, section 2.2): more where `kl` is above `target`, else less.

    β(1 + 0.1 · clip(kl/target - 1, -0.2, 0.2)); unchanged without a target. `kl` is in nats per completion.
    """
    if target is None:
        return coefficient
    return coefficient * (1 + KL_GAIN * max(-0.2, min(0.2, kl / target - 1)))  # (2)


def explained_variance(values_B_T: torch.Tensor, returns_B_T: torch.Tensor, mask_B_T: torch.Tensor) -> float:
    """1 - Var(returns - values) / Var(returns) over tokens: 1 is a perfect critic, 0 a constant one, below is worse."""
    kept = mask_B_T.bool()
    if not kept.any() or not (variance := returns_B_T[kept].var(correction=0)) > 0:
        return math.nan
    return (1 - (returns_B_T - values_B_T)[kept].var(correction=0) / variance).item()


def ppo_loss(
    new: Mapping[str, torch.Tensor], rollout: Rollout, settings: PPOSettings
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The loss of one micro-batch, mean over its tokens, and figures about it.

    `new` holds the present `logprobs`, `values` and `entropy`, each [B, T].
    """
    old_B_T, mask_B_T, epsilon = rollout.logprobs_B_T, rollout.mask_B_T, settings.clip
    advantages_B_T = rollout.advantages_B_T
    policy = ppo_policy_loss(new["logprobs"], old_B_T, advantages_B_T, mask_B_T, epsilon=epsilon)
    value = ppo_value_loss(new["values"], rollout.values_B_T, rollout.returns_B_T, mask_B_T, clip=epsilon)  # (9)
    figures = {
        "loss/policy": policy,
        "loss/value": value,
        "entropy": masked_mean(new["entropy"], mask_B_T),
        "clip_ratio": clip_fraction(new["logprobs"], old_B_T, advantages_B_T, mask_B_T, epsilon=epsilon),
        "kl/update": masked_mean(kl_estimate(new["logprobs"], old_B_T, "k2"), mask_B_T),
    }
    return policy + settings.value_coefficient * value, {name: figure.detach() for name, figure in figures.items()}


class PPOTrainer:
    """PPO on a judge's scores.

    `model` has a LoRA adapter; `problems` are in the order of their use, `settings.prompts_per_step` a step. The score
    is the verifier's, or where `reward` is given that function's (a reward model, say); verdicts are counted and
    written down in any case. `log_samples(step, rows)` receives what was sampled, on the main process.
    Raises `InputError` where the model cannot be trained packed, or a reward or a gradient is not finite.
    """

    def __init__(
        self,
        model: PeftModel,
        settings: PPOSettings,
        problems: Sequence[Problem],
        verifier: Verifier,
        sampler: PolicySampler,
        *,
        reward: RewardFunction | None = None,
        accelerator: Accelerator | None = None,
        log_samples: SampleLog | None = None,
    ) -> None:
        self.settings, self.problems, self.verifier, self.sampler = settings, problems, verifier, sampler
        self.reward, self.log_samples = reward, log_samples
        self.accelerator = accelerator or Accelerator(cpu=not torch.cuda.is_available())
        bf16 = self.accelerator.mixed_precision == "bf16"
        actor = actor_critic(model, settings, self.accelerator.device, bf16=bf16)
        self.trained = {name: p for name, p in actor.named_parameters() if p.requires_grad}
        head = list(actor.value_head.parameters())
        adapter = [p for p in self.trained.values() if all(p is not other for other in head)]
        groups = [
            {"params": adapter, "lr": settings.learning_rate},
            {"params": head, "lr": settings.value_learning_rate},
        ]
        self.optimizer = torch.optim.AdamW(groups, weight_decay=0.0)
        self.rates = [group["lr"] for group in groups]
        self.actor = actor
        self.model: Any = self.accelerator.prepare(actor)
        self.asked: Sequence[Problem] = ()
        self.step = 0
        self.tokens = 0
        self.kl_coefficient = settings.kl

    def train_step(self) -> Metrics:
        """One rollout and its update; the metrics of both."""
        began = time.perf_counter()
        problems, completions = self.sample()
        generated = time.perf_counter()
        scores_B, metrics = self.score(problems, completions)
        rollout, measured = self.prepare(problems, completions, scores_B)
        metrics |= measured | self.update(rollout)
        if self.settings.kl:
            metrics["kl/coefficient"] = self.kl_coefficient
            self.kl_coefficient = next_kl_coefficient(
                self.kl_coefficient, metrics["kl/completion"], self.settings.kl_target
            )
        self.step += 1
        metrics["seconds/generate"] = generated - began
        metrics["seconds/step"] = time.perf_counter() - began
        return metrics

    # Rollout

    def sample(self) -> tuple[list[Problem], list[Completion]]:
        """This process's problems of the step, each as often as it is completed, and the completions."""
        settings, rank = self.settings, self.accelerator.process_index
        each = settings.prompts_per_step // self.accelerator.num_processes
        start = self.step * settings.prompts_per_step + rank * each
        problems = self.problems[start : start + each]
        self.sampler.load_weights(sampler_weights(self.actor.policy))
        seed = derive(settings.seed, "rollout", self.step, rank)
        decoding = Decoding(settings.max_completion_length, settings.temperature, n=settings.group_size, seed=seed)
        groups = self.sampler.generate([self.sampler.encode(problem.prompt) for problem in problems], decoding)
        repeated = [problem for problem in problems for _ in range(settings.group_size)]
        return repeated, [completion for group in groups for completion in group]

    def score(self, problems: Sequence[Problem], completions: Sequence[Completion]) -> tuple[torch.Tensor, Metrics]:
        """The score of each completion [B], NaN where nothing was decided; every verdict is written down."""
        verdicts = judge(self.verifier, problems, completions)
        scores = [v.score for v in verdicts] if self.reward is None else score(self.reward, problems, completions)
        if self.settings.truncated_score is not None:  # (3)
            cut = self.settings.truncated_score
            scores = [cut if c.truncated else each for c, each in zip(completions, scores, strict=True)]
        judged = zip(problems, completions, verdicts, scores, strict=True)
        rows = gather_object([sample_row(self.step + 1, p, c, verdict) | {"reward": r} for p, c, verdict, r in judged])
        if self.log_samples is not None and self.accelerator.is_main_process:
            self.log_samples(self.step + 1, rows)
        for problem, each in zip(problems, scores, strict=True):
            if each is not None and not math.isfinite(each):
                raise InputError(f"the reward of a completion of {problem.id} at step {self.step + 1} is {each}")
        scores_B = torch.tensor([math.nan if each is None else float(each) for each in scores])
        metrics = {"reward": self._mean(scores_B), "reward/missing": self._mean(scores_B.isnan().float())}
        metrics["length/mean"] = sum(row["tokens"] for row in rows) / len(rows)
        metrics |= {name: self._mean(figure_B) for name, figure_B in counts(completions, verdicts).items()}
        self.tokens += sum(row["tokens"] for row in rows)
        return scores_B.to(self.accelerator.device), metrics | {"tokens": float(self.tokens)}

    def prepare(
        self, problems: Sequence[Problem], completions: Sequence[Completion], scores_B: torch.Tensor
    ) -> tuple[Rollout, Metrics]:
        """Old log-probabilities and values, token rewards and advantages of what was sampled."""
        prompts = [self.sampler.encode(problem.prompt) for problem in problems]
        batch = make_batch(prompts, [c.token_ids for c in completions], self.accelerator.device)
        with torch.no_grad():
            old = in_parts(batch, self.settings.micro_batch, self._forward)  # (7)
            without = in_parts(batch, self.settings.micro_batch, self._reference) if self.settings.kl else old
        mask_B_T = batch["completion_mask"] * ~scores_B.isnan()[:, None]  # (10)
        kl_B_T = kl_estimate(old["logprobs"], without["logprobs"], "k1")
        rewards_B_T = token_rewards(scores_B.nan_to_num(), kl_B_T, mask_B_T, self.kl_coefficient)
        if self.settings.whiten_rewards:
            rewards_B_T = self._whiten(rewards_B_T, mask_B_T, shift_mean=False)  # (6)
        advantages_B_T = gae(rewards_B_T, old["values"], mask_B_T, gamma=1.0, lam=self.settings.lam)
        returns_B_T = advantages_B_T + old["values"]
        self.asked = problems
        rollout = Rollout(
            place_B=torch.arange(len(problems), device=mask_B_T.device),
            **batch,
            mask_B_T=mask_B_T,
            logprobs_B_T=old["logprobs"],
            values_B_T=old["values"],
            advantages_B_T=self._whiten(advantages_B_T, mask_B_T),
            returns_B_T=returns_B_T,
        )
        sampled_B_T = rectangle([list(completion.logprobs) for completion in completions], mask_B_T.device)
        gap_B_T = (old["logprobs"] - sampled_B_T).abs() * batch["completion_mask"]
        metrics = {
            "kl/completion": self._mean(sequence_logprobs(kl_B_T, batch["completion_mask"])),
            "value/mean": self._mean(masked_mean(old["values"], mask_B_T)),
            "return/mean": self._mean(masked_mean(returns_B_T, mask_B_T)),
            "explained_variance": explained_variance(old["values"], returns_B_T, mask_B_T),
            "logprob_gap/mean": self._mean(masked_mean(gap_B_T, batch["completion_mask"])),
            "logprob_gap/max": gap_B_T.max().item(),
        }
        return rollout, metrics

    def _forward(self, batch: Mapping[str, torch.Tensor]) -> Batch:
        with self.accelerator.autocast():
            return forward(self.model, self.actor, batch, self.settings.group_size)

    def _reference(self, batch: Batch) -> Batch:
        with self.accelerator.autocast():
            return reference(self.actor, batch, self.settings.group_size)

    # Update

    def update(self, rollout: Rollout) -> Metrics:
        """The epochs of mini-batches over one rollout; means of their figures."""
        warm = min(1.0, (self.step + 1) / max(1, self.settings.warmup_steps))
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * warm
        figures: list[Metrics] = []
        for epoch in range(self.settings.epochs):
            for rows in self._mini_batches(len(rollout.mask_B_T), epoch):
                figures.append(self._optimise(rollout.rows(rows)))
        means = {name: sum(each[name] for each in figures) / len(figures) for name in figures[0]}
        return means | {"learning_rate": self.settings.learning_rate * warm}

    def _mini_batches(self, rows: int, epoch: int) -> list[torch.Tensor]:
        """Rows of each mini-batch: whole groups in an order fixed by seed, step and epoch."""
        size = self.settings.group_size
        seed = derive(self.settings.seed, "mini-batches", self.step, epoch, self.accelerator.process_index)
        order = torch.randperm(rows // size, generator=torch.Generator().manual_seed(seed))
        shuffled = (order[:, None] * size + torch.arange(size)).flatten()
        return list(shuffled.split(self.settings.mini_batch // self.accelerator.num_processes))

    def _optimise(self, mini: Rollout) -> Metrics:
        """One optimiser step on the mean over the tokens of a mini-batch, a micro-batch at a time."""
        processes = self.accelerator.num_processes
        total = self._mean(mini.mask_B_T.sum().float()) * processes
        figures: dict[str, torch.Tensor] = {}
        self.optimizer.zero_grad()
        for index in torch.arange(len(mini.mask_B_T)).split(self.settings.micro_batch):
            part = mini.rows(index)
            loss, measured = ppo_loss(self._forward(vars(part)), part, self.settings)
            if not loss.isfinite():
                raise InputError(f"the loss is not finite at step {self.step + 1}, {self._blame(part)}; {REMEDY}")
            # Gradients are averaged over processes, so each micro-batch enters with its share of all tokens.
            weight = part.mask_B_T.sum() * processes / max(total, 1.0)
            self.accelerator.backward(loss * weight)
            for name, figure in measured.items():
                figures[name] = figures.get(name, torch.zeros(())) + figure * weight
        norm = torch.nn.utils.clip_grad_norm_(self.trained.values(), 1.0)
        if not norm.isfinite():
            raise InputError(f"the gradient is not finite at step {self.step + 1}; {REMEDY}")
        self.optimizer.step()
        return {name: self._mean(figure) for name, figure in figures.items()} | {"grad_norm": norm.item()}

    @torch.no_grad()
    def _blame(self, part: Rollout) -> str:
        """Which problems have a completion whose log-probabilities or values are not finite when it is alone."""
        found = []
        for row in range(len(part.mask_B_T)):
            new = self._forward(vars(part.rows(torch.tensor([row]))))
            finite = all(bool(new[name].isfinite().all()) for name in ("logprobs", "values"))
            found.append((self.asked[int(part.place_B[row])].id, finite))
        return blame(found, "problem")

    # Over processes

    def _mean(self, values: torch.Tensor) -> float:
        """The mean over all processes of the values that are not NaN."""
        everyone: Any = self.accelerator.gather(values.to(self.accelerator.device).flatten())
        return everyone.nanmean().item()

    def _whiten(self, values_B_T: torch.Tensor, mask_B_T: torch.Tensor, *, shift_mean: bool = True) -> torch.Tensor:
        """Whitened over the tokens of every process."""
        gathered: list[Any] = [
            self.accelerator.gather(self.accelerator.pad_across_processes(part, dim=1))
            for part in (values_B_T, mask_B_T)
        ]
        whitened = whiten(*gathered, shift_mean=shift_mean)
        rows, length = values_B_T.shape
        return whitened[self.accelerator.process_index * rows :][:rows, :length]

    # Checkpoints

    def save(self, folder: Path) -> None:
        """Everything the next step depends on: all random draws follow from seed and step."""
        folder.mkdir(parents=True, exist_ok=True)
        state = {
            "trained": {name: parameter.detach() for name, parameter in self.trained.items()},
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "tokens": self.tokens,
            "kl_coefficient": self.kl_coefficient,
        }
        torch.save(state, folder / "trainer.pt")

    @torch.no_grad()
    def load(self, folder: Path) -> None:
        """Go on from what `save` wrote."""
        state = torch.load(folder / "trainer.pt", map_location=self.accelerator.device, weights_only=True)
        for name, parameter in self.trained.items():
            parameter.copy_(state["trained"][name])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.tokens, self.kl_coefficient = state["step"], state["tokens"], state["kl_coefficient"]

    def policy(self) -> PeftModel:
        """The policy, without its value head."""
        return self.actor.policy

    def save_model(self, output_dir: str) -> None:
        """The adapter in the hub's format, and the value head beside it."""
        self.actor.policy.save_pretrained(output_dir)
        save_file(self.actor.value_head.state_dict(), Path(output_dir) / "value_head.safetensors")
