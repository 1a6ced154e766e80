"""Our SFT, DPO and reward trainers against stock TRL's on the same batches, and what they do with a bad example."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig, TaskType
from transformers import LlamaConfig, LlamaForSequenceClassification, PrinterCallback, TrainerCallback
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer as TRLDPOTrainer
from trl.trainer.reward_config import RewardConfig
from trl.trainer.reward_trainer import RewardTrainer as TRLRewardTrainer
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling
from trl.trainer.sft_trainer import SFTTrainer as TRLSFTTrainer

import rlpath.posttrain.packing.pooled
import rlpath.posttrain.trainers
from rlpath.core.errors import InputError
from rlpath.posttrain.packing.forward import without_adapter
from rlpath.posttrain.scores import answer_logprobs, rewards
from rlpath.posttrain.tokens import TokenPair, TokenRow, dpo_row, reward_row, sft_row
from rlpath.posttrain.trainers import DPOTrainer, RewardTrainer, SFTTrainer

LORA = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")
SCORER = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type=TaskType.SEQ_CLS)
LENGTHS = ((9, 4), (3, 7), (12, 1), (5, 5))


def row(name: str, prompt: int, answer: int, seed: int) -> TokenRow:
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(3, 259, (prompt + answer,), generator=generator).tolist()
    return TokenRow(name, tuple(tokens[:prompt]), tuple(tokens[prompt:]))


ROWS = [row(f"example-{i}", *lengths, seed=i) for i, lengths in enumerate(LENGTHS)]
PAIRS = [TokenPair(one, TokenRow(one.id, one.prompt, row("", 0, 6, 50 + i).answer)) for i, one in enumerate(ROWS)]


class Trace(TrainerCallback):
    """The gradients of each step, and the losses as logged."""

    def __init__(self) -> None:
        self.gradients: list[dict[str, torch.Tensor]] = []
        self.losses: list[float] = []

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        self.gradients.append({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if "loss" in (logs or {}):
            self.losses.append(logs["loss"])


def arguments(folder: Path, **changes: Any) -> dict[str, Any]:
    return {
        "output_dir": str(folder),
        "use_cpu": True,
        "bf16": False,
        "max_steps": 2,
        "per_device_train_batch_size": 2,
        "max_length": None,
        "learning_rate": 1e-2,
        "gradient_checkpointing": False,
        "train_sampling_strategy": "sequential",
        "remove_unused_columns": False,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        **changes,
    }


def train(trainer: Any) -> Trace:
    trace = Trace()
    trainer.add_callback(trace)
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return trace


def assert_equal(ours: Trace, theirs: Trace, tolerance: float = 2e-5) -> None:
    assert len(ours.losses) == len(theirs.losses) == 2
    assert ours.losses == pytest.approx(theirs.losses, rel=1e-4)
    for mine, stock in zip(ours.gradients, theirs.gradients, strict=True):
        assert mine.keys() == stock.keys()
        assert max(gradient.abs().max() for gradient in mine.values()) > 1e-4
        for name in mine:
            torch.testing.assert_close(mine[name], stock[name], atol=tolerance, rtol=2e-3)


def our_sft(model: Any, tokenizer: Any, folder: Path, rows: Sequence[TokenRow] = ROWS, **changes: Any) -> SFTTrainer:
    return SFTTrainer(
        model, rows, args=SFTConfig(**arguments(folder, **changes)), tokenizer=tokenizer, peft_config=LORA
    )


def test_sft_is_trl_s_sft(tiny_model: Callable[..., Any], tiny_tokenizer: Any, tmp_path: Path) -> None:
    """Two steps of two examples: the same loss and the same gradient of every adapter weight as stock TRL, padded."""
    stock = TRLSFTTrainer(
        tiny_model(),
        args=SFTConfig(**arguments(tmp_path)),
        train_dataset=Dataset.from_list([sft_row(r) for r in ROWS]),
        data_collator=DataCollatorForLanguageModeling(pad_token_id=0),
        processing_class=tiny_tokenizer,
        peft_config=LORA,
    )
    ours = our_sft(tiny_model(), tiny_tokenizer, tmp_path)

    assert ours.packs
    assert_equal(train(ours), train(stock))


def test_accumulated_micro_batches_are_one_batch(
    tiny_model: Callable[..., Any], tiny_tokenizer: Any, tmp_path: Path
) -> None:
    """Four examples at once or one at a time: the loss is averaged over answer tokens, not over micro-batches."""
    whole = train(our_sft(tiny_model(), tiny_tokenizer, tmp_path, max_steps=2, per_device_train_batch_size=4))
    parts = train(
        our_sft(
            tiny_model(),
            tiny_tokenizer,
            tmp_path,
            max_steps=2,
            per_device_train_batch_size=1,
            gradient_accumulation_steps=4,
        )
    )

    assert_equal(whole, parts)


def test_dpo_is_trl_s_dpo(tiny_model: Callable[..., Any], tiny_tokenizer: Any, tmp_path: Path) -> None:
    """Precomputed reference and shared prompts change neither loss nor gradient; the first loss is ln 2."""
    args = {**arguments(tmp_path), "beta": 0.3}
    ours = DPOTrainer(tiny_model(), PAIRS, args=DPOConfig(**args), tokenizer=tiny_tokenizer, peft_config=LORA)

    class Stock(TRLDPOTrainer):
        def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
            return dataset

    stock = Stock(
        tiny_model(),
        args=DPOConfig(**args),
        train_dataset=Dataset.from_list([dpo_row(pair) for pair in PAIRS]),
        processing_class=tiny_tokenizer,
        peft_config=LORA,
    )
    mine = train(ours)
    assert mine.losses[0] == pytest.approx(0.693147, abs=1e-4)
    assert_equal(mine, train(stock))


def classifier(tiny_model: Callable[..., Any], **changes: Any) -> Any:
    config = LlamaConfig(**{**tiny_model().config.to_dict(), "num_labels": 1, **changes})
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return LlamaForSequenceClassification(config)


def reward_trainers(tiny_model: Callable[..., Any], tokenizer: Any, folder: Path) -> tuple[Any, Any]:
    args = arguments(folder)
    ours = RewardTrainer(
        classifier(tiny_model), PAIRS, args=RewardConfig(**args), tokenizer=tokenizer, peft_config=SCORER
    )
    stock = TRLRewardTrainer(
        classifier(tiny_model),
        args=RewardConfig(**args),
        train_dataset=Dataset.from_list([reward_row(pair) for pair in PAIRS]),
        processing_class=tokenizer,
        peft_config=SCORER,
    )
    return ours, stock


def test_reward_model_is_trl_s(tiny_model: Callable[..., Any], tiny_tokenizer: Any, tmp_path: Path) -> None:
    """What two answers share is read once; loss and gradients, of the scoring head too, are those of stock TRL."""
    ours, stock = reward_trainers(tiny_model, tiny_tokenizer, tmp_path)

    assert ours.packs
    mine, theirs = train(ours), train(stock)
    assert any("score" in name for name in mine.gradients[0])
    assert_equal(mine, theirs)


def test_common_prefixes_leave_two_tokens() -> None:
    """Rows 1 2 3 4 5 and 1 2 3 9: three tokens are shared, of which the shorter row (4) may give up two."""
    ids = torch.tensor([[1, 2, 3, 4, 5], [7, 8, 9, 0, 0], [1, 2, 3, 9, 0], [6, 8, 9, 0, 0]])

    prefixes = rlpath.posttrain.packing.pooled.common_prefixes(ids, torch.tensor([5, 3, 4, 3]))

    assert prefixes.tolist() == [2, 1, 2, 1]


def test_scores_are_the_plain_model_s(tiny_model: Callable[..., Any], tiny_tokenizer: Any, tmp_path: Path) -> None:
    """Log-probabilities of answers and rewards of pairs, in the given order, equal one forward a row."""
    trainer = our_sft(tiny_model(), tiny_tokenizer, tmp_path)
    plain = tiny_model()
    expected = []
    for one in ROWS:
        ids = torch.tensor([[*one.prompt, *one.answer]])
        with torch.no_grad():
            logprobs = plain(input_ids=ids).logits[0, :-1].log_softmax(-1).gather(-1, ids[0, 1:, None])[:, 0]
        expected.append(logprobs[len(one.prompt) - 1 :].sum().item())
    assert answer_logprobs(trainer, ROWS, batch=3) == pytest.approx(expected, abs=1e-4)

    ours, _ = reward_trainers(tiny_model, tiny_tokenizer, tmp_path)
    scorer = classifier(tiny_model).eval()
    with torch.no_grad():
        alone = [
            tuple(
                scorer(input_ids=torch.tensor([[*r.prompt, *r.answer]])).logits.item() for r in (p.chosen, p.rejected)
            )
            for p in PAIRS
        ]
    found = rewards(ours, PAIRS, batch=3)
    assert [score for pair in found for score in pair] == pytest.approx([s for pair in alone for s in pair], abs=1e-4)


@pytest.mark.parametrize("gap", [1.0, 0.0])
def test_a_model_that_cannot_be_packed_gets_trl_s_forward(
    gap: float, tiny_model: Callable[..., Any], tiny_tokenizer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the packing gap is above the tolerance the trainer says so, and TRL's own forward answers."""
    monkeypatch.setattr("rlpath.posttrain.packing.labeled.packing_gap", lambda *_: gap)
    trainer = our_sft(tiny_model(), tiny_tokenizer, tmp_path)
    called = []
    monkeypatch.setattr(
        "rlpath.posttrain.packing.labeled.pack_padded", lambda *_: called.append(1) or pytest.fail("packed")
    )

    assert trainer.packs is (gap == 0)
    if gap:
        answer_logprobs(trainer, ROWS[:1])
    else:
        with pytest.raises(pytest.fail.Exception, match="packed"):
            answer_logprobs(trainer, ROWS[:1])


def poison(trainer: Any, token: int) -> None:
    """Make every logit after `token` not a number."""
    table = without_adapter(trainer.accelerator.unwrap_model(trainer.model)).get_input_embeddings()
    table.weight.data[token] = float("nan")


@pytest.mark.parametrize("kind", ["sft", "dpo", "reward"])
def test_a_loss_that_is_not_finite_is_blamed_on_its_example(
    kind: str, tiny_model: Callable[..., Any], tiny_tokenizer: Any, tmp_path: Path
) -> None:
    """NaN at the second step's second example: one sentence with step, example and checkpoint; weights untouched."""
    bad = TokenRow("example-3", (300, 5, 6), ROWS[3].answer)
    rows = [*ROWS[:3], bad]
    changes = {"save_strategy": "steps", "save_steps": 1}
    model = tiny_model(vocab_size=301, tie_word_embeddings=False)
    pairs = [TokenPair(r, TokenRow(r.id, r.prompt, p.rejected.answer)) for r, p in zip(rows, PAIRS, strict=True)]
    given = {"tokenizer": tiny_tokenizer, "peft_config": LORA}
    if kind == "sft":
        trainer: Any = our_sft(model, tiny_tokenizer, tmp_path, rows, **changes)
    elif kind == "dpo":
        trainer = DPOTrainer(model, pairs, args=DPOConfig(**arguments(tmp_path, **changes)), **given)
    else:
        args = RewardConfig(**arguments(tmp_path, **changes))
        given["peft_config"] = SCORER
        trainer = RewardTrainer(classifier(tiny_model, vocab_size=301), pairs, args=args, **given)
    poison(trainer, 300)
    with pytest.raises(InputError) as refused:
        train(trainer)

    sentence = str(refused.value)
    assert "the loss is not finite at step 2, for example example-3;" in sentence
    assert "checkpoint-1 is the last good checkpoint" in sentence
    assert "example-2" not in sentence
    assert all(torch.isfinite(p).all() for n, p in trainer.model.named_parameters() if "lora" in n)
    assert not (tmp_path / "checkpoint-2").exists()


def test_diverged_weights_are_called_that(tiny_model: Callable[..., Any], tiny_tokenizer: Any, tmp_path: Path) -> None:
    """Where every example alone has no finite loss, no example is to blame."""
    trainer = our_sft(tiny_model(), tiny_tokenizer, tmp_path)
    without_adapter(trainer.accelerator.unwrap_model(trainer.model)).model.norm.weight.data[0] = float("inf")

    with pytest.raises(InputError, match=r"for every example of the step \(first example-0\), so the weights"):
        train(trainer)


def test_a_gradient_that_is_not_finite_stops_before_the_weights(
    tiny_model: Callable[..., Any], tiny_tokenizer: Any, tmp_path: Path
) -> None:
    """A finite loss with an infinite gradient is stopped too, and nothing has been trained."""
    trainer = our_sft(tiny_model(), tiny_tokenizer, tmp_path)
    weights = {n: p for n, p in trainer.model.named_parameters() if p.requires_grad}
    before = {n: p.detach().clone() for n, p in weights.items()}
    next(iter(weights.values())).register_hook(lambda gradient: gradient * float("inf"))

    with pytest.raises(InputError, match=r"the gradient of .* is not finite at step 1.*no checkpoint was reached"):
        train(trainer)
    assert all(torch.equal(before[n], p) for n, p in weights.items())
