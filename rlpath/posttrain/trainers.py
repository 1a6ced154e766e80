"""TRL's SFT, DPO and reward trainers with three changes: packed forwards, a stop at a loss that is not finite that
names the example, and rows in the order they are given.

Everything else (losses, metrics, optimizer, checkpoints, several processes) is TRL's.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch
from datasets import Dataset
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DataCollatorForPreference as DPOCollator
from trl.trainer.dpo_trainer import DPOTrainer as TRLDPOTrainer
from trl.trainer.reward_config import RewardConfig
from trl.trainer.reward_trainer import DataCollatorForPreference as RewardCollator
from trl.trainer.reward_trainer import RewardTrainer as TRLRewardTrainer
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling
from trl.trainer.sft_trainer import SFTTrainer as TRLSFTTrainer

from rlpath.core.errors import InputError
from rlpath.posttrain.finite import StopWhereNotFinite, blame, remedy
from rlpath.posttrain.packing.forward import PACKING_TOLERANCE, leave_casting_to_autocast, without_adapter
from rlpath.posttrain.packing.labeled import patch_labeled_forward
from rlpath.posttrain.packing.pooled import patch_pooled_forward, score_exactly
from rlpath.posttrain.scores import pair_logprobs
from rlpath.posttrain.tokens import TokenPair, TokenRow, dpo_row, reward_row, sft_row

# What TRL logs and the packed forward does not compute.
NOT_COMPUTED = ("mean_token_accuracy", "logits/chosen", "logits/rejected")


class RowCollator:
    """A collator that hands on which examples a batch holds, as `batch["row"]` [examples]."""

    def __init__(self, collator: Any) -> None:
        self.collator = collator

    def __call__(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        batch = self.collator([{k: v for k, v in example.items() if k != "row"} for example in examples])
        return {**batch, "row": torch.tensor([example["row"] for example in examples])}


class _CheckedTrainer:
    """What the three trainers share; comes before TRL's class among the bases."""

    names: Sequence[str]
    packing_gap: float
    args: Any
    model: Any
    state: Any
    accelerator: Any

    def training_step(self: Any, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> torch.Tensor:
        """TRL's step; raises `InputError` naming the example where the loss is not finite."""
        began = time.perf_counter()
        rows = inputs.pop("row")
        if self._total_train_tokens == 0:
            # TRL counts from zero again after a resumption; what was read before stands in the log.
            earlier = [line["num_tokens"] for line in self.state.log_history if "num_tokens" in line]
            self._total_train_tokens = earlier[-1] if earlier else 0
        loss = super().training_step(model, dict(inputs), num_items_in_batch)  # type: ignore[misc]
        self._seconds = getattr(self, "_seconds", 0.0) + time.perf_counter() - began
        if not torch.isfinite(loss):
            raise InputError(
                f"the loss is not finite at step {self.state.global_step + 1}, {self._blame(model, inputs, rows)}; "
                f"{remedy(self.state.global_step, self.args)}"
            )
        return loss

    @torch.no_grad()
    def _blame(self: Any, model: Any, inputs: dict[str, Any], rows: torch.Tensor) -> str:
        """Which examples of the batch have a loss that is not finite when they are alone.

        Among several processes a forward on one of them would wait for the others: there all of its examples are named.
        """
        count = len(rows)
        if self.accelerator.num_processes > 1:
            return f"for one of the examples {', '.join(dict.fromkeys(self.names[int(row)] for row in rows))}"
        found = []
        for at in range(count):
            # Pairs lie as [chosen, rejected]: the second half belongs to the same examples.
            alone = {
                name: value[at::count] if isinstance(value, torch.Tensor) and value.dim() else value
                for name, value in inputs.items()
            }
            with self.compute_loss_context_manager():
                loss = self.compute_loss(model, self._prepare_inputs(alone))
            found.append((self.names[int(rows[at])], bool(torch.isfinite(loss))))
        return blame(found, "example")

    def log(self: Any, logs: dict[str, float], start_time: float | None = None) -> None:
        """TRL's log without what is not computed, with the seconds of the step."""
        found = self._metrics["train" if self.model.training else "eval"]
        if self.packs:
            for name in NOT_COMPUTED:
                found.pop(name, None)
        if "loss" in logs:
            logs["step_time"] = self._seconds
            self._seconds = 0.0
        super().log(logs, start_time)  # type: ignore[misc]

    @property
    def packs(self) -> bool:
        """Whether the packed forward is used; where it is not, TRL's own is."""
        return self.packing_gap < PACKING_TOLERANCE

    def _finish(self: Any, rows_per_prompt: int, patch: Any = patch_labeled_forward) -> None:
        self.add_callback(StopWhereNotFinite())
        policy = self.accelerator.unwrap_model(self.model)
        if self.args.bf16:
            leave_casting_to_autocast(policy)
        self.packing_gap = patch(
            without_adapter(policy),
            rows_per_prompt=rows_per_prompt,
            device=self.accelerator.device,
        )


def with_row_numbers(rows: Sequence[dict[str, Any]]) -> Dataset:
    """A data set whose rows know their number."""
    return Dataset.from_list([{**row, "row": number} for number, row in enumerate(rows)])


class SFTTrainer(_CheckedTrainer, TRLSFTTrainer):
    """Supervised fine-tuning on `rows`, in their order; the loss counts the answers alone."""

    def __init__(self, model: Any, rows: Sequence[TokenRow], *, args: SFTConfig, tokenizer: Any, **given: Any) -> None:
        self.names = [row.id for row in rows]
        collator = RowCollator(DataCollatorForLanguageModeling(pad_token_id=tokenizer.pad_token_id))
        super().__init__(
            model,
            args=args,
            train_dataset=with_row_numbers([sft_row(row) for row in rows]),
            data_collator=collator,  # type: ignore[arg-type]
            processing_class=tokenizer,
            **given,
        )
        self._finish(rows_per_prompt=1)


class DPOTrainer(_CheckedTrainer, TRLDPOTrainer):
    """DPO on `pairs`, in their order; the reference is the model as it is given, and is asked once, before training."""

    def __init__(
        self, model: Any, pairs: Sequence[TokenPair], *, args: DPOConfig, tokenizer: Any, **given: Any
    ) -> None:
        self.names = [pair.id for pair in pairs]
        super().__init__(
            model,
            args=args,
            train_dataset=with_row_numbers([dpo_row(pair) for pair in pairs]),
            data_collator=RowCollator(DPOCollator(pad_token_id=tokenizer.pad_token_id)),  # type: ignore[arg-type]
            processing_class=tokenizer,
            **given,
        )
        self._finish(rows_per_prompt=2)
        different = list(dict.fromkeys(pairs))
        reference = dict(zip(different, pair_logprobs(self, different), strict=True))
        rows = [
            {**dpo_row(pair), "ref_chosen_logps": reference[pair][0], "ref_rejected_logps": reference[pair][1]}
            for pair in pairs
        ]
        self.train_dataset = with_row_numbers(rows)
        # TRL would compute them again, padded; it reads them from the batch where this is set.
        self.precompute_ref_logps = True

    def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
        """The rows are tokens already."""
        return dataset


class RewardTrainer(_CheckedTrainer, TRLRewardTrainer):
    """A Bradley-Terry reward model on `pairs`, in their order."""

    def __init__(
        self, model: Any, pairs: Sequence[TokenPair], *, args: RewardConfig, tokenizer: Any, **given: Any
    ) -> None:
        self.names = [pair.id for pair in pairs]
        super().__init__(
            model,
            args=args,
            train_dataset=with_row_numbers([reward_row(pair) for pair in pairs]),
            data_collator=RowCollator(RewardCollator(pad_token_id=tokenizer.pad_token_id)),  # type: ignore[arg-type]
            processing_class=tokenizer,
            **given,
        )
        score_exactly(without_adapter(self.accelerator.unwrap_model(self.model)))
        self._finish(rows_per_prompt=2, patch=patch_pooled_forward)
