"""TRL's `GRPOTrainer` with the parts replaced that a small machine, a seed or an honest log cannot do without.

Kept from TRL: data flow, advantages, every loss type, clipping, KL, optimiser, checkpoints. Replaced:

- rollouts come from a `Sampler` of ours, seeded by (seed, step, process), with weights merged outside the model;
- log-probabilities come from one packed forward in which a group shares its prompt (`packing`, `logprobs`);
- the correction for the sampler's rounding uses that same forward instead of a second one;
- completions without advantage are left out of the forward: they have no gradient;
- rewards come from a verifier, and every verdict is counted and written down.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from accelerate.utils import gather_object
from peft import PeftModel
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer as TRLTrainer
from trl.trainer.utils import split_tensor_dict

from rlpath.core.errors import InputError
from rlpath.core.seeding import derive
from rlpath.core.types import Completion, Decoding, Problem, Verifier
from rlpath.losses import correction_weights
from rlpath.models.rollouts import PolicySampler
from rlpath.models.weights import sampler_weights
from rlpath.posttrain.finite import blame, remedy
from rlpath.posttrain.judge import SampleLog, counts, judge, sample_row
from rlpath.posttrain.packing.blocks import best_completions_per_block
from rlpath.posttrain.packing.forward import (
    PACKING_TOLERANCE,
    attention_window,
    completion_logprobs,
    install,
    leave_casting_to_autocast,
    packing_gap,
)


class GRPOTrainer(TRLTrainer):
    """GRPO on a verifier's verdicts.

    `train_dataset` has the columns `prompt` (a conversation), `question`, `gold` and `problem_id`, in the order in
    which they are to be used. `log_samples(step, rows)` receives what was sampled, on the main process. With
    `share_prompts=False` only the padding is removed. `correction` is how the ratio of trainer to sampler enters the
    loss (see `losses.correction_weights`), capped at `correction_cap`; None leaves it out.

    `packs` says whether the model can be trained packed at all; where it cannot, TRL's forward is used.
    Raises `InputError` where the arguments ask for something this step does not compute.
    """

    # Set by transformers, whose annotations are wider than what they hold here.
    args: Any
    model: Any

    def __init__(
        self,
        model: Any,
        *,
        args: GRPOConfig,
        train_dataset: Any,
        verifier: Verifier,
        sampler: PolicySampler,
        log_samples: SampleLog | None = None,
        share_prompts: bool = True,
        correction: str | None = "token_truncate",
        correction_cap: float = 2.0,
        extra_rewards: Sequence[Callable[..., list[float | None]]] = (),
        **kwargs: Any,
    ) -> None:
        check_arguments(args)
        self.verifier = verifier
        self.sampler = sampler
        self.log_samples = log_samples
        self.correction = correction
        self.correction_cap = correction_cap
        self.rollout: list[Completion] = []
        self.problem_ids: list[str] = []
        self._pushed_step: int | None = None
        self._computed: tuple[torch.Tensor, torch.Tensor] | None = None
        super().__init__(model, [self.verify, *extra_rewards], args=args, train_dataset=train_dataset, **kwargs)
        given = self.args
        self.decoding = Decoding(
            given.max_completion_length, given.temperature, given.top_p, given.top_k or 0, given.num_generations
        )
        if self.aux_loss_enabled:
            raise InputError("GRPOTrainer does not support output_router_logits (a router's loss)")
        policy: Any = self.accelerator.unwrap_model(self.model)
        base: Any = policy.get_base_model() if isinstance(policy, PeftModel) else policy
        install(base, args.temperature)
        if args.bf16:
            leave_casting_to_autocast(base)
        if self.ref_model is not None:
            install(self.accelerator.unwrap_model(self.ref_model), args.temperature)
        config = base.config.get_text_config()
        self.share_prompts = share_prompts
        self.packing_gap = self._measure_packing_gap(base, min(config.vocab_size, 1000))
        self.packs = self.packing_gap < PACKING_TOLERANCE
        self._window = attention_window(base)
        self._attention_width = config.num_hidden_layers * config.hidden_size
        self._weights = base.num_parameters(exclude_embeddings=True)

    def _measure_packing_gap(self, base: Any, vocabulary: int) -> float:
        was_training = base.training
        base.eval()
        with self.accelerator.autocast():
            gap = packing_gap(base, vocabulary, self.accelerator.device, self.args.temperature)
        base.train(was_training)
        return gap

    # Rollouts

    def _generate_single_turn(
        self,
        prompt_ids: list[list[int]],
        images: Any,
        multimodal_fields: Any,
        num_generations: int,
        has_tool_images: bool = False,
    ) -> tuple[list[list[int]], list[list[float]]]:
        """TRL's hook for sampling: token ids and the sampler's log-probabilities of each row."""
        began = time.perf_counter()
        if any(prompt != prompt_ids[row - row % num_generations] for row, prompt in enumerate(prompt_ids)):
            raise ValueError(f"prompts do not come in groups of {num_generations}")
        self.push_weights()
        step, rank = self.state.global_step, self.accelerator.process_index
        decoding = replace(self.decoding, n=num_generations, seed=derive(self.args.seed, "rollout", step, rank))
        groups = self.sampler.generate(prompt_ids[::num_generations], decoding)
        self.rollout = [completion for group in groups for completion in group]
        self._note("seconds/generate", time.perf_counter() - began)
        return [list(c.token_ids) for c in self.rollout], [list(c.logprobs) for c in self.rollout]

    def policy(self) -> Any:
        """The model that trains, without what wraps it."""
        return self.accelerator.unwrap_model(self.model)

    def push_weights(self) -> None:
        """Bring the sampler up to date, once a step."""
        if self._pushed_step != self.state.global_step:
            self.sampler.load_weights(sampler_weights(self.policy()))
            self._pushed_step = self.state.global_step

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        """TRL's buffering of one generation over its micro-batches, without shuffling groups apart."""
        if not self.model.training:
            return super()._prepare_inputs(generation_batch)
        per_generation = self.args.steps_per_generation
        if self._step % (per_generation * self.num_iterations) == 0 or self._buffered_inputs is None:
            batch = self._generate_and_score_completions(generation_batch)
            self._buffered_inputs = split_tensor_dict(batch, per_generation)
        return self._buffered_inputs[self._step % per_generation]

    # Rewards

    def verify(
        self,
        completions: list[Any],
        gold: list[str],
        question: list[str],
        problem_id: list[str],
        **_: Any,
    ) -> list[float | None]:
        """TRL's reward function: the score of each verdict, None where nothing was decided."""
        problems = [Problem(*each) for each in zip(problem_id, question, gold, strict=True)]
        self.problem_ids = problem_id
        verdicts = judge(self.verifier, problems, self.rollout)
        for name, figure_B in counts(self.rollout, verdicts).items():
            self._note(name, figure_B.nanmean().item())
        step = self.state.global_step + 1
        rows = [sample_row(step, *each) for each in zip(problems, self.rollout, verdicts, strict=True)]
        gathered = gather_object(rows)
        if self.log_samples is not None and self.accelerator.is_main_process:
            self.log_samples(step, gathered)
        return [verdict.score for verdict in verdicts]

    # Loss

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        **_: Any,
    ) -> tuple[torch.Tensor, torch.Tensor, None]:
        """TRL's hook for log-probabilities: those of `_compute_loss`'s forward, or forwards of its own."""
        if self._computed is not None:
            return *self._computed, None
        size = batch_size or len(input_ids)
        parts = []
        for ids, mask in zip(input_ids.split(size), attention_mask.split(size), strict=True):
            batch = {
                "prompt_ids": ids[:, :-logits_to_keep],
                "prompt_mask": mask[:, :-logits_to_keep],
                "completion_ids": ids[:, -logits_to_keep:],
                "completion_mask": mask[:, -logits_to_keep:],
            }
            parts.append(self._forward(model, batch))
        logprobs, entropy = zip(*parts, strict=True)
        return torch.cat(logprobs), torch.cat(entropy), None

    def _forward(self, model: Any, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-probabilities and entropies of a micro-batch's completions, each [B, C]."""
        longest = (batch["prompt_mask"].sum(1) + batch["completion_mask"].sum(1)).max().item()
        if not self.packs or longest > self._window:
            return self._plain_forward(model, batch)
        share = 1
        if self.share_prompts:
            share = best_completions_per_block(
                batch["prompt_mask"].sum(1).float().mean().item(),
                batch["completion_mask"].sum(1).float().mean().item(),
                self.args.num_generations,
                self._weights,
                self._attention_width,
            )
        with self.accelerator.autocast():
            return completion_logprobs(model, batch, share)

    def _plain_forward(self, model: Any, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """TRL's own forward: a rectangle with all its padding."""
        logprobs, entropy, _ = super()._get_per_token_logps_and_entropies(
            model,
            torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1),
            torch.cat([batch["prompt_mask"], batch["completion_mask"]], 1),
            batch["completion_ids"].shape[1],
            compute_entropy=True,
        )
        return logprobs, entropy

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        """TRL's loss on log-probabilities of our own, with the sampler's correction folded into the advantages.

        A non-negative weight w commutes with the clipped objective: w · min(r A, clip(r) A) = min(r wA, clip(r) wA).
        """
        rows = self._rows_with_signal(inputs)
        logprobs, entropy = self._forward_of(rows, model, inputs)
        advantages = inputs["advantages"]
        sampled = inputs.get("sampling_per_token_logps")
        if sampled is not None:
            advantages = self._corrected(advantages, logprobs.detach(), sampled, inputs, rows)
        self._computed = (logprobs, entropy)
        try:
            loss = super()._compute_loss(model, {**inputs, "advantages": advantages})
        finally:
            self._computed = None
        if not loss.isfinite():
            raise InputError(
                f"the loss is not finite at step {self.state.global_step + 1}, {self._blame(model, inputs)}; "
                f"{remedy(self.state.global_step, self.args)}"
            )
        return loss

    @torch.no_grad()
    def _blame(self, model: Any, inputs: dict[str, Any]) -> str:
        """Which problems have a completion whose log-probabilities are not finite when it is alone."""
        start = self._step % self.args.steps_per_generation * len(inputs["completion_mask"])
        found = []
        for row in (inputs["completion_mask"].sum(1) > 0).nonzero()[:, 0]:
            logprobs = self._forward_of(row[None], model, inputs)[0][row]
            found.append((self.problem_ids[start + int(row)], bool(logprobs.isfinite().all())))
        return blame(found, "problem")

    def _rows_with_signal(self, inputs: dict[str, Any]) -> torch.Tensor:
        """Indices of the rows that have a gradient; the first row where none has: every process must go forward."""
        keep = inputs["completion_mask"].sum(1) > 0
        if self.beta == 0 and self.top_entropy_quantile == 1:
            keep &= inputs["advantages"] != 0
        rows = keep.nonzero()[:, 0]
        return rows if len(rows) else rows.new_zeros(1)

    def _forward_of(self, rows: torch.Tensor, model: Any, inputs: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-probabilities and entropies [B, C] with `rows` computed and the others filled with what changes nothing.

        TRL gathers a number for each row from every process, so all must have all their rows: the others have no
        gradient and are put in as equal to the policy they were sampled from (ratio 1), at the mean entropy.
        """
        batch = {
            name: inputs[name][rows] for name in ("prompt_ids", "prompt_mask", "completion_ids", "completion_mask")
        }
        if not batch["completion_mask"].any():
            # Every completion is masked out: any token will do for a forward that nothing comes of.
            batch["completion_mask"] = torch.ones_like(batch["completion_mask"])
        logprobs, entropy = self._forward(model, batch)
        filling = inputs.get("old_per_token_logps", inputs.get("sampling_per_token_logps"))
        if filling is None:
            filling = logprobs.new_zeros(inputs["completion_mask"].shape)
        mean_entropy = entropy.sum() / batch["completion_mask"].sum()
        return (
            filling.float().index_copy(0, rows, logprobs),
            mean_entropy.expand_as(filling).index_copy(0, rows, entropy),
        )

    def _corrected(
        self,
        advantages: torch.Tensor,
        trainer: torch.Tensor,
        sampled: torch.Tensor,
        inputs: dict[str, Any],
        rows: torch.Tensor,
    ) -> torch.Tensor:
        """Advantages [B] times the correction's weights, or as they are; notes how far trainer and sampler differ."""
        mask = inputs["completion_mask"][rows]
        counted = mask.sum().clamp(min=1)
        gap = (trainer - sampled)[rows].abs() * mask
        self._note("logprob_gap/mean", (gap.sum() / counted).item())
        self._note("logprob_gap/max", gap.max().item())
        if self.correction is None:
            return advantages
        old = inputs.get("old_per_token_logps", trainer)
        weights = correction_weights(old, sampled, inputs["completion_mask"], self.correction, self.correction_cap)
        self._note("correction/mean", ((weights[rows] * mask).sum() / counted).item())
        return advantages[:, None] * weights

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log this step without the metrics that have no value in it (the length of wrong completions, say)."""
        for values in self._metrics.values():
            for name in [name for name, found in values.items() if all(math.isnan(value) for value in found)]:
                del values[name]
        super().log(logs, start_time)

    def _note(self, name: str, value: float) -> None:
        """Add a value to this step's log: the mean over processes that have one."""
        mode = "train" if self.model.training else "eval"
        values: Any = self.accelerator.gather(
            torch.tensor([value], dtype=torch.float32, device=self.accelerator.device)
        )
        self._metrics[mode][name].append(values.nanmean().item())


def check_arguments(args: GRPOConfig) -> None:
    """Refuse what the packed step does not compute, naming the field; raises `InputError`."""
    local_batch = args.per_device_train_batch_size * (args.steps_per_generation or 1)
    refusals = {
        "use_vllm=True (rollouts come from the sampler)": args.use_vllm,
        "entropy_coef (the packed entropy has no gradient)": args.entropy_coef != 0,
        "loss_type='vespo' (it needs TRL's own correction)": args.loss_type == "vespo",
        "cast_lm_head_to_fp32": args.cast_lm_head_to_fp32,
        "shuffle_dataset=True (the data set's order is the order)": args.shuffle_dataset,
        "steps_per_generation below gradient_accumulation_steps (a step would draw the same random numbers twice)": (
            args.steps_per_generation or args.gradient_accumulation_steps
        )
        < args.gradient_accumulation_steps,
    }
    for what, refused in refusals.items():
        if refused:
            raise InputError(f"GRPOTrainer does not support {what}")
    group = args.num_generations or 1
    if local_batch % group or args.per_device_train_batch_size % group:
        raise InputError(
            f"per_device_train_batch_size {args.per_device_train_batch_size} is not a multiple of the group size "
            f"{args.num_generations}: a group must stay in one micro-batch"
        )
