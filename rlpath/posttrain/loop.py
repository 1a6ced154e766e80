"""The loop that learns from its own samples: sample → verify → advantages → loss → update → checkpoint.

GRPO and its relatives and PPO run through it; `objectives` (and `ppo`) say how rewards become advantages and
advantages a loss, with the functions of `rlpath.losses`. Accelerate takes care of devices, precision and processes.

- Rollouts come from a sampler with weights of its own, merged outside the model. Its draws follow from seed, step and
  the problem's number in the step: they are the same on one process and on several.
- Log-probabilities come from one packed forward in which a group shares its prompt.
- Completions that have no gradient are not computed.
- Every random draw follows from seed and step: a checkpoint holds weights, optimizer and places, and nothing else.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from peft import PeftModel
from safetensors.torch import save_file

from rlpath.core.errors import InputError
from rlpath.core.seeding import derive
from rlpath.core.types import Completion, Decoding, Player, Problem, Verifier, complete
from rlpath.models.rollouts import PolicySampler
from rlpath.models.weights import sampler_weights
from rlpath.posttrain.all_processes import AllProcesses
from rlpath.posttrain.controls import control_reward
from rlpath.posttrain.finite import blame
from rlpath.posttrain.objectives import Figures, GroupObjective, Metrics, Objective, Whole
from rlpath.posttrain.policy_model import PolicyModel, completion_rectangles, policy_model, reference_model
from rlpath.posttrain.ppo_rlhf import CriticObjective
from rlpath.posttrain.problem_stream import ProblemStream
from rlpath.posttrain.rollout import Batch, Rollout, make_rollout, micro_batches
from rlpath.posttrain.settings import GRPOSettings, PolicySettings, PPOSettings
from rlpath.posttrain.verify import (
    Reward,
    SampleLog,
    Verified,
    as_tensor,
    counts,
    reward_completions,
    sample_rows,
    verify_sampled,
)
from rlpath.rewards.combine.penalties import soft_overlong_penalty
from rlpath.runs.cpu import return_freed_memory

SHARDED = (DistributedType.FSDP, DistributedType.DEEPSPEED, DistributedType.MEGATRON_LM)
REMEDY = "training stopped, and the last checkpoint is from before this step: lower --learning-rate and start again"


def objective_of(settings: PolicySettings) -> Objective:
    """The algorithm that settings of this kind mean."""
    if isinstance(settings, PPOSettings):
        return CriticObjective(settings)
    if isinstance(settings, GRPOSettings):
        return GroupObjective(settings)
    raise TypeError(f"{type(settings).__name__} trains nothing that is known here: give an objective")


class OnPolicyTrainer:
    """Trains `model` (all its weights, or its adapter) on rewards for what it samples.

    The reward is the verifier's score, or the weighted sum of `rewards`; verdicts are counted and written down in any
    case. The reference is `teacher`, or the model as it is now. `log_samples(step, rows)` receives what was sampled, on
    the main process. With an `environment` completions are episodes of several turns, and the answers of its tools
    carry no loss.
    Raises `InputError` where the model cannot be trained so, or a reward, a loss or a gradient is not finite.
    """

    def __init__(
        self,
        model: Any,
        settings: PolicySettings,
        problems: Sequence[Problem],
        verifier: Verifier,
        sampler: PolicySampler,
        *,
        objective: Objective | None = None,
        teacher: PolicyModel | None = None,
        rewards: Sequence[Reward] = (),
        accelerator: Accelerator | None = None,
        log_samples: SampleLog | None = None,
        environment: Player | None = None,
    ) -> None:
        self.settings, self.verifier, self.sampler, self.environment = settings, verifier, sampler, environment
        self.problems = ProblemStream(problems, settings.seed)
        self.rewards, self.log_samples = list(rewards) or [Reward()], log_samples
        self.objective = objective or objective_of(settings)
        self.control = control_reward(settings, problems, verifier, environment)
        if environment is not None and self.objective.critic:
            raise InputError(
                "PPO's critic values one turn, not an episode with tools between: train environments with GRPO"
            )
        self.accelerator = accelerator or Accelerator(cpu=not torch.cuda.is_available())
        refuse_sharding(self.accelerator.distributed_type.value if self.accelerator.distributed_type in SHARDED else "")
        self.everyone = AllProcesses(self.accelerator)
        device = self.accelerator.device
        self.reference = teacher
        if self.objective.needs_reference and teacher is None:
            self.reference = reference_model(model, settings.temperature, device)
        self.own = policy_model(
            model,
            settings.temperature,
            device,
            bf16=self.accelerator.mixed_precision == "bf16",
            critic=self.objective.critic,
            checkpointing=settings.gradient_checkpointing,
            entropy_gradient=settings.entropy_bonus > 0,
        )
        self.trained = {name: p for name, p in self.own.named_parameters() if p.requires_grad}
        self.optimizer = torch.optim.AdamW(self._rates(), weight_decay=0.0, fused=True)
        self.rates = [group["lr"] for group in self.optimizer.param_groups]
        self.model: Any = self.accelerator.prepare(self.own)
        self.step = self.tokens = self.place = 0
        self.pushed: int | None = None

    def train_step(self) -> Metrics:
        """One rollout and its update; the metrics of both."""
        began = time.perf_counter()
        return_freed_memory()
        kept, everything = self.collect()
        return_freed_memory()
        generated = time.perf_counter()
        metrics = self.record(everything, kept)
        rollout, measured = self.prepare(kept)
        metrics |= measured | self.update(rollout, [problem.id for problem in kept.problems])
        self.objective.after(metrics)
        self.step += 1
        metrics["seconds/generate"] = generated - began
        metrics["seconds/step"] = time.perf_counter() - began
        return {name: value for name, value in metrics.items() if math.isfinite(value)}

    # Sample and verify

    def collect(self) -> tuple[Verified, Verified]:
        """The completions to train on, and all that were sampled.

        With dynamic sampling, groups whose rewards are all equal are replaced by groups of new problems, a bounded
        number of times; where that was not enough the last ones stay. Each process replaces its own.
        """
        size = self.settings.group_size
        wanted = self.settings.prompts_per_step // self.everyone.count
        tries = self.settings.dynamic_sampling if isinstance(self.settings, GRPOSettings) else 0
        kept, everything = Verified(), Verified()
        for attempt in range(tries + 1):
            sampled = self.verify(*self.sample(wanted - len(kept.problems) // size, attempt))
            everything += sampled
            last = attempt == tries
            groups = [group for group in sampled.groups(size) if last or sampled.has_signal(group)]
            kept += sampled.rows([row for group in groups for row in group])
            missing = wanted - len(kept.problems) // size
            if not last and not sum(self.everyone.objects([missing])):
                break
        return kept, everything

    def sample(self, count: int, attempt: int = 0) -> tuple[list[Problem], list[Completion]]:
        """The next `count` problems for this process, each as often as it is completed, and the completions."""
        settings = self.settings
        counts_P = self.everyone.objects([count])
        first = sum(counts_P[: self.everyone.rank])
        problems = self.problems.take(self.place + first, count)
        self.place += sum(counts_P)
        self.push_weights()
        decoding = Decoding(
            settings.max_completion_length,
            settings.temperature,
            settings.top_p,
            settings.top_k,
            n=settings.group_size,
            seed=derive(settings.seed, "rollout", self.step, attempt),
        )
        groups = complete(self.sampler, problems, decoding, self.environment, first=first) if problems else []
        repeated = [problem for problem in problems for _ in range(settings.group_size)]
        return repeated, [completion for group in groups for completion in group]

    def push_weights(self) -> None:
        """Bring the sampler up to date, once a step."""
        if self.pushed != self.step:
            self.sampler.load_weights(sampler_weights(self.policy()))
            self.pushed = self.step

    def verify(self, problems: Sequence[Problem], completions: Sequence[Completion]) -> Verified:
        """Verdict and reward of each completion."""
        settings = self.settings
        if not problems:
            return Verified()
        verdicts = verify_sampled(self.verifier, problems, completions)
        verified = reward_completions(self.rewards, problems, completions, verdicts)
        if self.control is not None:
            verified.rewards = self.control(verified)
        for row, completion in enumerate(completions):
            reward, length = verified.rewards[row], len(completion.token_ids)
            if completion.truncated and settings.truncated_score is not None:  # detail 3 of ppo_rlhf.py
                reward = settings.truncated_score
            if reward is not None and settings.overlong_buffer:
                limit, buffer = settings.max_completion_length, settings.overlong_buffer
                reward += soft_overlong_penalty(length, max_length=limit, buffer=buffer)
            verified.rewards[row] = reward
        return verified

    def record(self, sampled: Verified, kept: Verified | None = None) -> Metrics:
        """Write the samples down; figures about all of them, over all processes. `kept` are those to train on."""
        step, everyone, size = self.step + 1, self.everyone, self.settings.group_size
        # The first group of a step is kept token by token, the same on one process and on several.
        detailed = size if everyone.rank == 0 and self.log_samples is not None else 0
        rows = everyone.objects(sample_rows(step, sampled, getattr(self.sampler, "tokenizer", None), detailed))
        if self.log_samples is not None and self.accelerator.is_main_process:
            self.log_samples(step, rows)
        tokens = sum(row["tokens"] for row in rows)
        self.tokens += tokens
        groups = sampled.groups(size)
        rewards_B = as_tensor(sampled.rewards)
        figures = {
            "reward": rewards_B,
            "reward/missing": rewards_B.isnan().float(),
            **counts(sampled.completions, sampled.verdicts),
            "reward_std": torch.tensor([_spread(rewards_B[group.start : group.stop]) for group in groups]),
            "groups/no_signal": torch.tensor([float(not sampled.has_signal(group)) for group in groups]),
            # The mean of -log p over sampled tokens is an unbiased estimate of the entropy of the policy.
            "entropy": torch.tensor([-p for c in sampled.completions for p in c.logprobs], dtype=torch.float32),
        }
        if len(sampled.parts) > 1:
            figures |= {f"reward/{name}": as_tensor(values) for name, values in sampled.parts.items()}
        metrics = {name: self._mean_of_all(values) for name, values in figures.items()}
        metrics["tokens"] = float(self.tokens)
        extra = len(rows) - self.settings.completions
        if extra:
            metrics["sampling/extra"] = extra / self.settings.completions
            trained_on = sum(self.everyone.objects([sum(c.length for c in (kept or sampled).completions)]))
            metrics["sampling/tokens_of_extra"] = float(tokens - trained_on)
        return metrics

    def _mean_of_all(self, values: torch.Tensor) -> float:
        # Processes may have sampled different numbers of completions.
        known = values[~values.isnan()].double()
        total, count = self.everyone.total(torch.stack([known.sum(), known.new_tensor(len(known))])).tolist()
        return total / count if count else math.nan

    # Prepare: what the policy, the reference and the critic say of the rollout before it changes them

    def prepare(self, verified: Verified) -> tuple[Rollout, Metrics]:
        """The rollout as tensors, with advantages."""
        prompts = [
            self.sampler.encode(problem.prompt) if completion.episode is None else completion.episode.prompt_ids
            for problem, completion in zip(verified.problems, verified.completions, strict=True)
        ]
        rollout = make_rollout(
            prompts,
            verified.completions,
            as_tensor(verified.rewards),
            self.accelerator.device,
            mask_truncated=self.settings.mask_truncated,
        )
        metrics = Metrics()
        if self.objective.needs_old:  # detail 7 of ppo_rlhf.py
            old = self._measure(rollout, reference=False)
            rollout = rollout.with_(old_B_T=old["logprobs"], values_B_T=old.get("values"))
            metrics |= self._gap(gaps(old["logprobs"], rollout))
        if self.objective.needs_reference:
            rollout = rollout.with_(reference_B_T=self._measure(rollout, reference=True)["logprobs"])
        rollout, measured = self.objective.complete(rollout, self.everyone)
        return rollout, metrics | measured

    @torch.no_grad()
    def _measure(self, rollout: Rollout, *, reference: bool) -> Batch:
        """A forward of all completions without gradient, each [B, T]."""
        parts = self._parts(rollout, torch.arange(len(rollout), device=rollout.mask_B_T.device))
        forward = self._reference if reference else self._forward
        found: list[Batch] = []
        for index in range(int(self.everyone.largest(len(parts)))):
            # The policy may be wrapped in something that all processes must call equally often.
            batch = forward(rollout.rows(parts[min(index, len(parts) - 1)]).batch())
            if index < len(parts):
                found.append(batch)
        return {name: torch.cat([batch[name] for batch in found]) for name in found[0]}

    def _forward(self, batch: Batch) -> Batch:
        with self.accelerator.autocast():
            return completion_rectangles(self.model, self.own, batch, self.settings.group_size)

    def _reference(self, batch: Batch) -> Batch:
        with self.accelerator.autocast():
            if self.reference is not None:
                return completion_rectangles(self.reference, self.reference, batch, self.settings.group_size)
            with self.own.policy.disable_adapter():
                return completion_rectangles(self.own, self.own, batch, self.settings.group_size)

    def _parts(self, rollout: Rollout, rows: torch.Tensor) -> list[torch.Tensor]:
        """`rows` in micro-batches: as many tokens as `settings.micro_batch` completions of full length have."""
        size, group = self.settings.micro_batch, self.settings.group_size
        longest = int(rollout.prompt_mask.sum(1).max())
        budget = size * self.settings.max_completion_length + math.ceil(size / group) * longest
        return micro_batches(rollout, rows, group, self.own.completions_per_block(rollout.batch(), group), budget)

    def _gap(self, gap_N: torch.Tensor) -> Metrics:
        """How far trainer and sampler are apart on the same tokens, over all processes."""
        total, count = self.everyone.total(torch.stack([gap_N.sum(), gap_N.new_tensor(len(gap_N))])).tolist()
        largest = self.everyone.largest(gap_N.max().item() if len(gap_N) else 0.0)
        return {"logprob_gap/mean": total / max(count, 1), "logprob_gap/max": largest}

    # Update

    def update(self, rollout: Rollout, names: Sequence[str] = ()) -> Metrics:
        """The epochs of mini-batches over one rollout; means of their figures. `names` are those of the problems."""
        factor = self.rate_factor()
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor
        found: list[Metrics] = []
        for epoch in range(self.settings.epochs):
            found += [self._optimize(rollout, rows, names) for rows in self._mini_batches(len(rollout), epoch)]
        means = {name: sum(each.get(name, 0.0) for each in found) / len(found) for name in found[0]}
        return means | {"learning_rate": self.settings.learning_rate * factor}

    def _mini_batches(self, rows: int, epoch: int) -> list[torch.Tensor]:
        """Rows of each mini-batch: whole groups in an order fixed by seed, step and epoch."""
        size, count = self.settings.group_size, self.settings.mini_batches
        if count == 1:
            return [torch.arange(rows, device=self.accelerator.device)]
        seed = derive(self.settings.seed, "mini-batches", self.step, epoch, self.everyone.rank)
        order = torch.randperm(rows // size, generator=torch.Generator().manual_seed(seed))
        shuffled = (order[:, None] * size + torch.arange(size)).flatten()
        return list(shuffled.to(self.accelerator.device).split(rows // count))

    def _optimize(self, rollout: Rollout, rows: torch.Tensor, names: Sequence[str]) -> Metrics:
        """One optimizer step on one mini-batch, a micro-batch at a time."""
        mini, count = rollout.rows(rows), self.everyone.count
        computed = self.objective.has_gradient(mini).nonzero()[:, 0]
        sizes = [len(mini), mini.mask_B_T.sum(), mini.mask_B_T[computed].sum(), rollout.mask_B_T.sum()]
        completions, tokens, kept, all_tokens = self.everyone.total(torch.tensor(sizes, dtype=torch.float64)).tolist()
        whole = Whole(completions, tokens, kept, all_tokens / self.settings.mini_batches)
        parts = self._parts(mini, computed)
        rounds = max(1, int(self.everyone.largest(len(parts))))
        figures: Figures = {}
        apart: list[torch.Tensor] = []
        self.optimizer.zero_grad()
        for index in range(rounds):
            # Every process goes forward equally often; one that has nothing left does so for nothing.
            idle = index >= len(parts)
            part = mini.rows(rows.new_zeros(1) if idle else parts[index])
            with self.accelerator.no_sync(self.model) if index + 1 < rounds else nullcontext():
                new = self._forward(part.batch())
                loss, measured = self.objective.loss(new, part, whole)
                share = 0.0 if idle else 1.0
                # Gradients are averaged over processes, and each has only its own share of the loss.
                self.accelerator.backward(loss * share * count)
            for name, figure in {"loss": loss.detach(), **measured}.items():
                figures[name] = figures.get(name, torch.zeros((), device=loss.device)) + figure * share
            if not idle or not kept:
                apart.append(gaps(new["logprobs"].detach(), part))
            # Micro-batches differ in size, so that what one leaves behind seldom fits the next.
            return_freed_memory()
        found = dict(zip(figures, self.everyone.total(torch.stack(list(figures.values()))).tolist(), strict=True))
        if not math.isfinite(found["loss"]):
            guilty = self._blame(rollout, rows, names)
            raise InputError(f"the loss is not finite at step {self.step + 1}, {guilty}; {REMEDY}")
        norm = self._clip()
        if not math.isfinite(norm):
            raise InputError(f"the gradient is not finite at step {self.step + 1}; {REMEDY}")
        self.optimizer.step()
        if not self.objective.needs_old:
            # Before the only update: the trainer is still what was sampled from.
            found |= self._gap(torch.cat(apart or [rollout.rewards_B[:0]]))
        return found | {"grad_norm": norm}

    def _clip(self) -> float:
        limit = self.settings.max_grad_norm or math.inf
        return torch.nn.utils.clip_grad_norm_(list(self.trained.values()), limit).item()

    def rate_factor(self) -> float:
        """What the learning rates of this step are multiplied with: warm-up, then the schedule."""
        settings, at = self.settings, self.step
        if at < settings.warmup_steps:
            return (at + 1) / settings.warmup_steps
        if settings.schedule == "constant":
            return 1.0
        progress = (at - settings.warmup_steps) / max(1, settings.steps - settings.warmup_steps)
        return 1 - progress if settings.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * progress))

    def _rates(self) -> list[dict[str, Any]]:
        """The optimizer's groups: the value head has a learning rate of its own."""
        head = [] if self.own.value_head is None else list(self.own.value_head.parameters())
        policy = [p for p in self.trained.values() if all(p is not other for other in head)]
        groups = [{"params": policy, "lr": self.settings.learning_rate}]
        if head:
            assert isinstance(self.settings, PPOSettings)
            groups.append({"params": head, "lr": self.settings.value_learning_rate})
        return groups

    @torch.no_grad()
    def _blame(self, rollout: Rollout, rows: torch.Tensor, names: Sequence[str]) -> str:
        """Which problems have a completion whose numbers are not finite when it is alone, on any process."""
        found = []
        for row in rows.tolist():
            with self.accelerator.autocast():
                # Not through the wrapper: processes have different numbers of rows.
                batch = rollout.rows(torch.tensor([row], device=rows.device)).batch()
                new = completion_rectangles(self.own, self.own, batch, self.settings.group_size)
            finite = all(bool(new[name].isfinite().all()) for name in ("logprobs", "values") if name in new)
            found.append((names[row] if names else str(row), finite))
        return blame(self.everyone.objects(found), "problem")

    # Checkpoints

    def save(self, folder: Path) -> None:
        """Everything the next step depends on: all random draws follow from seed and step."""
        folder.mkdir(parents=True, exist_ok=True)
        state = {
            "trained": {name: parameter.detach() for name, parameter in self.trained.items()},
            "optimizer": self.optimizer.state_dict(),
            "objective": self.objective.state(),
            "step": self.step,
            "tokens": self.tokens,
            "place": self.place,
        }
        torch.save(state, folder / "trainer.pt")

    @torch.no_grad()
    def load(self, folder: Path) -> None:
        """Go on from what `save` wrote."""
        state = torch.load(folder / "trainer.pt", map_location=self.accelerator.device, weights_only=True)
        for name, parameter in self.trained.items():
            parameter.copy_(state["trained"][name])
        self.optimizer.load_state_dict(state["optimizer"])
        self.objective.load(state["objective"])
        self.step, self.tokens, self.place = state["step"], state["tokens"], state["place"]

    def policy(self) -> Any:
        """The trained model, without what wraps it."""
        return self.own.policy

    def save_model(self, output_dir: str) -> None:
        """The adapter or the model in the hub's format, and the value head beside it."""
        self.own.policy.save_pretrained(output_dir)
        if not isinstance(self.own.policy, PeftModel):
            self.sampler_tokenizer_to(output_dir)
        if self.own.value_head is not None:
            save_file(self.own.value_head.state_dict(), Path(output_dir) / "value_head.safetensors")

    def sampler_tokenizer_to(self, output_dir: str) -> None:
        """The tokenizer, beside a whole model."""
        tokenizer: Any = getattr(self.sampler, "tokenizer", None)
        if tokenizer is not None:
            tokenizer.save_pretrained(output_dir)


def gaps(logprobs_B_T: torch.Tensor, rollout: Rollout) -> torch.Tensor:
    """Distance of the trainer's log-probability from the sampler's, where that is known, for each token [N]."""
    known = rollout.written_B_T.bool() & ~rollout.sampled_B_T.isnan()
    return (logprobs_B_T - rollout.sampled_B_T)[known].abs()


def _spread(rewards_G: torch.Tensor) -> float:
    known = rewards_G[~rewards_G.isnan()]
    return known.std().item() if len(known) > 1 else math.nan


def refuse_sharding(kind: str) -> None:
    """Raise `InputError` where a model would be sharded; `kind` is what shards it, empty where nothing does."""
    if kind:
        raise InputError(
            f"this loop keeps a copy of the model on each process and does not shard it: without {kind}, start it "
            "with `accelerate launch --multi_gpu`"
        )
