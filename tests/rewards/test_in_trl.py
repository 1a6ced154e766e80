"""Verifiers and a reward model as reward functions of TRL's own trainer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")

from datasets import Dataset
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer as TRLTrainer

from rlpath.core.errors import InputError
from rlpath.rewards.combine.reward_model import RewardModelReward
from rlpath.rewards.combine.trl import as_trl_reward
from rlpath.rewards.verifiers.number import NumberVerifier


@pytest.fixture(scope="module")
def judge_folder(tmp_path_factory: pytest.TempPathFactory, tiny_model: Callable[..., Any], tiny_tokenizer: Any) -> Path:
    """A tiny random sequence classifier with one output, saved as a reward model is."""
    import transformers

    config = tiny_model().config
    config.num_labels = 1
    folder = tmp_path_factory.mktemp("judge")
    transformers.set_seed(0)
    transformers.LlamaForSequenceClassification(config).save_pretrained(folder)
    tiny_tokenizer.save_pretrained(folder)
    return folder


def test_stock_trl_trains_on_a_verifier_and_a_reward_model(
    digit_folder: Path, judge_folder: Path, tiny_tokenizer: Any, tmp_path: Path
) -> None:
    """Two steps of TRL's trainer log both rewards: the verifier's within [0, 1], the model's within its clip."""
    problems = [(3, 4), (1, 2), (5, 3), (2, 6)] * 4
    rows = [{"prompt": [{"role": "user", "content": f"{a}+{b}?"}], "answer": str(a + b)} for a, b in problems]
    args = GRPOConfig(
        output_dir=str(tmp_path),
        use_cpu=True,
        bf16=False,
        per_device_train_batch_size=8,
        num_generations=4,
        max_completion_length=4,
        max_steps=2,
        logging_steps=1,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
        gradient_checkpointing=False,
    )
    rewards: list[Any] = [
        as_trl_reward(NumberVerifier(), gold="answer", name="number"),
        RewardModelReward(judge_folder, clip=0.5),
    ]
    trainer = TRLTrainer(
        str(digit_folder),
        reward_funcs=rewards,
        args=args,
        train_dataset=Dataset.from_list(rows),
        processing_class=tiny_tokenizer,
    )

    trainer.train()

    logged = [line for line in trainer.state.log_history if "reward" in line]
    assert len(logged) == 2
    for line in logged:
        assert 0.0 <= line["rewards/number/mean"] <= 1.0
        assert -0.5 <= line[f"rewards/{rewards[1].__name__}/mean"] <= 0.5


def numbers(scores: list[float | None]) -> list[float]:
    """Scores of which none is missing."""
    found = [score for score in scores if score is not None]
    assert len(found) == len(scores)
    return found


def test_what_a_reward_model_cannot_read_whole_has_no_score(judge_folder: Path) -> None:
    """A completion over the limit is counted and not cut; the others are scored as without it."""
    reward = RewardModelReward(judge_folder, max_length=60)
    prompts = [[{"role": "user", "content": "hello"}]] * 3

    found = reward(prompts, ["a", "b" * 40, "?"])

    assert found[1] is None
    assert reward.too_long == 1
    assert [found[0], found[2]] == pytest.approx(numbers(RewardModelReward(judge_folder)(prompts[:2], ["a", "?"])))


def test_a_reward_model_scores_each_completion_alone(judge_folder: Path) -> None:
    """Scores do not depend on what else is in the batch, and `scale` divides them."""
    prompts = [[{"role": "user", "content": "hello"}]] * 3
    completions = [[{"role": "assistant", "content": text}] for text in ("a", "a longer answer", "?")]
    together = numbers(RewardModelReward(judge_folder)(prompts, completions))
    alone = numbers(
        [RewardModelReward(judge_folder, batch_size=1)([p], [c])[0] for p, c in zip(prompts, completions, strict=True)]
    )

    assert together == pytest.approx(alone, abs=1e-5)
    assert len(set(together)) == 3
    assert RewardModelReward(judge_folder, scale=2.0)(prompts, completions) == pytest.approx(
        [score / 2 for score in together], abs=1e-5
    )


def test_a_run_or_its_adapter_names_the_merged_classifier(judge_folder: Path, tmp_path: Path) -> None:
    """Run folder and adapter folder score as the classifier beside them; an adapter alone is refused."""
    prompts, completions = ["a", "b"], ["x", "y"]
    expected = RewardModelReward(judge_folder)(prompts, completions)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "merged").symlink_to(judge_folder)
    adapter = tmp_path / "run" / "model"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")

    for named in (tmp_path / "run", adapter):
        assert RewardModelReward(named)(prompts, completions) == expected
    (tmp_path / "run" / "merged").unlink()
    with pytest.raises(InputError, match="holds an adapter and no merged/ beside it"):
        RewardModelReward(adapter)


def test_a_score_that_is_not_finite_names_the_text(judge_folder: Path) -> None:
    """A diverged reward model is told by the text it was asked about, before a policy learns from it."""
    reward = RewardModelReward(judge_folder)
    reward.model.score.weight.data.fill_(float("nan"))
    with pytest.raises(InputError, match="gives nan for the text beginning 'abc"):
        reward(["ab"], ["c"])
