"""The loop on episodes of several turns: equal to TRL's trainer, the loss mask decides, packed is plain."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from datasets import Dataset
from transformers import PrinterCallback
from trl.chat_template_utils import qwen2_5_chat_template, qwen3_template
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer as TRLTrainer

from rlpath.core.errors import InputError
from rlpath.core.types import Completion, Episode, EpisodeTurn
from rlpath.envs.calculator import Calculator, calculator
from rlpath.envs.turns.calls import Limits
from rlpath.envs.turns.problems import environment_problems
from rlpath.models.chat import CHATML_TOOLS
from rlpath.models.hf_sampler import HFSampler
from rlpath.models.load import load_model, load_tokenizer
from rlpath.posttrain.loop import OnPolicyTrainer
from rlpath.posttrain.policy_model import completion_rectangles, policy_model
from rlpath.posttrain.rollout import make_rollout
from rlpath.posttrain.settings import GRPOSettings, PPOSettings
from tests.envs.turns.scripted import ScriptedSampler, call

GROUP, ROOM = 2, 700
SETTINGS = GRPOSettings(
    steps=1,
    prompts_per_step=2,
    group_size=GROUP,
    max_completion_length=ROOM,
    learning_rate=1e-3,
    lora_rank=0,
    loss="grpo",
    correction="none",
    log_to="none",
)
ROWS = [{"question": "What is 3 + 4?", "gold": "7"}, {"question": "What is 5 * 5?", "gold": "25"}]


def script(number: int, turn: int) -> str:
    """Each group has a right and a wrong answer, after a sum, two calls at once, or none."""
    moves = {
        0: [call("calculate", expression="3 + 4"), call("answer", number="7"), "done"],
        1: [call("answer", number="8"), "well"],
        2: [
            call("calculate", expression="5 * 5") + "\n" + call("calculate", expression="5 / 4"),
            call("answer", number="25"),
            "ok",
        ],
        3: ["I do not know"],
    }
    return moves[number][turn]


class Endless(Calculator):
    """As TRL plays it: nothing ends an episode but the model."""

    done = property(lambda self: False, lambda self, value: None)  # type: ignore[assignment]

    def answer(self, number: str) -> str:
        """Give the final answer.

        Args:
            number: the number alone
        """
        self.given = str(number)
        return "thank you"


class Terse(Endless):
    """The same with shorter descriptions, for speed."""

    def reset(self, question: str, gold: str, **row: object) -> str:
        super().reset(question, gold)
        return question

    def answer(self, number: str) -> str:
        """End.

        Args:
            number: it
        """
        return super().answer(number)

    def calculate(self, expression: str) -> str:
        """Sum.

        Args:
            expression: it
        """
        return super().calculate(expression)


@pytest.fixture(scope="module")
def folder(tiny_model: Callable[..., Any], tiny_tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model whose template has tools."""
    path = tmp_path_factory.mktemp("model")
    tiny_model(seed=1, max_position_embeddings=4096).save_pretrained(path)
    tiny_tokenizer.save_pretrained(path)
    (path / "chat_template.jinja").write_text(CHATML_TOOLS)
    return path


@pytest.fixture(scope="module")
def qwen_folder(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with Qwen2.5's template, which TRL knows."""
    path = Path(shutil.copytree(folder, tmp_path_factory.mktemp("qwen"), dirs_exist_ok=True))
    (path / "chat_template.jinja").write_text(qwen2_5_chat_template)
    return path


def trainer_of(folder: Path, settings: GRPOSettings = SETTINGS, **given: Any) -> OnPolicyTrainer:
    made = environment_problems("sums", given.pop("factory", Terse), ROWS)
    sampler = given.pop("sampler", None) or ScriptedSampler(load_tokenizer(folder), script)
    torch.manual_seed(0)
    model = load_model(folder, "float32")
    given = {"accelerator": Accelerator(cpu=True), "environment": made.environment, **given}
    trainer = OnPolicyTrainer(model, settings, made.problems, made.verifier, sampler, **given)
    trainer.problems.take = lambda place, count: list(made.problems)  # type: ignore[method-assign]
    return trainer


class Stock(TRLTrainer):
    """TRL's trainer with nothing replaced but where its turns come from."""

    def _generate_single_turn(
        self, prompt_ids: list[list[int]], images: Any, fields: Any, num_generations: int, has_tool_images: bool = False
    ) -> tuple[list[list[int]], list[list[float]] | None]:
        self.turns: dict[int, int]
        if num_generations > 1:
            self.prompts_seen, self.turns = prompt_ids, {}
            numbers = list(range(len(prompt_ids)))
        else:
            # Who goes on is who called: the others' scripts are over.
            numbers = [n for n in range(2 * GROUP) if "<tool_call>" in script(n, self.turns[n] - 1)]
            assert len(numbers) == len(prompt_ids)
        ids = []
        for number in numbers:
            text = script(number, self.turns.get(number, 0))
            self.turns[number] = self.turns.get(number, 0) + 1
            ids.append([*self.processing_class(text)["input_ids"], 2])
        return ids, None

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        self.scored = super()._generate_and_score_completions(inputs)
        return self.scored

    def compute_loss(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        self.loss = super().compute_loss(*args, **kwargs)
        return self.loss


def stock(folder: Path, output: Path) -> tuple[Stock, dict[str, torch.Tensor]]:
    """One optimizer step of stock TRL on the same class and rows, and its gradients."""
    arguments = GRPOConfig(
        output_dir=str(output),
        per_device_train_batch_size=2 * GROUP,
        num_generations=GROUP,
        max_completion_length=ROOM,
        max_steps=1,
        loss_type="grpo",
        beta=0.0,
        learning_rate=1e-3,
        lr_scheduler_type="constant",
        weight_decay=0.0,
        shuffle_dataset=False,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
    )
    tokenizer = load_tokenizer(folder)
    tokenizer.response_template = qwen3_template
    trainer = Stock(
        load_model(folder, "float32"),
        args=arguments,
        train_dataset=Dataset.from_list(ROWS),
        processing_class=tokenizer,
        environment_factory=Endless,
    )
    trainer.remove_callback(PrinterCallback)
    gradients: dict[str, torch.Tensor] = {}
    clip = trainer.accelerator.clip_grad_norm_

    def noted(*given: Any, **keywords: Any) -> Any:
        model: Any = trainer.model
        gradients.update({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})
        return clip(*given, **keywords)

    trainer.accelerator.clip_grad_norm_ = noted
    trainer.train()
    return trainer, gradients


def test_the_same_class_learns_the_same_in_stock_trl(
    qwen_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TRL's `environment_factory` and our loop: the same prompts, tokens, loss mask, rewards, loss and gradients."""
    monkeypatch.setattr("trl.trainer.grpo_trainer.shuffle_sequence_dict", lambda batch: batch)
    theirs, wanted = stock(qwen_folder, tmp_path)
    ours = trainer_of(qwen_folder, factory=Endless)
    gradients: dict[str, torch.Tensor] = {}
    clip = ours._clip
    rollouts: list[Any] = []
    prepare = ours.prepare

    def noted() -> float:
        gradients.update({n: p.grad.clone() for n, p in ours.policy().named_parameters() if p.grad is not None})
        return clip()

    def prepared(kept: Any) -> Any:
        rollouts.append(prepare(kept))
        return rollouts[-1]

    ours._clip, ours.prepare = noted, prepared  # type: ignore[method-assign]
    metrics = ours.train_step()

    rollout, scored = rollouts[0][0], theirs.scored
    for row in range(2 * GROUP):
        prompt = scored["prompt_ids"][row][scored["prompt_mask"][row].bool()]
        assert prompt.tolist() == rollout.prompt_ids[row][rollout.prompt_mask[row].bool()].tolist()
        length = int(rollout.completion_mask[row].sum())
        assert int(scored["completion_mask"][row].sum()) == length
        assert scored["completion_ids"][row][:length].tolist() == rollout.completion_ids[row][:length].tolist()
        assert scored["tool_mask"][row][:length].tolist() == rollout.mask_B_T[row][:length].tolist()
    assert rollout.rewards_B.tolist() == [1.0, 0.0, 1.0, 0.0]
    assert metrics["loss"] == pytest.approx(theirs.loss.item(), abs=1e-6)
    assert gradients.keys() == wanted.keys()
    scale = max(gradient.abs().max().item() for gradient in wanted.values())
    assert scale > 1e-3
    for name, gradient in wanted.items():
        assert (gradients[name] - gradient).abs().max().item() < 1e-5 * max(scale, 0.5), name


def gradients_of(trainer: OnPolicyTrainer) -> dict[str, torch.Tensor]:
    """The gradients of one step, whose update is not made."""
    trainer.optimizer.step = lambda *_: None  # type: ignore[method-assign]
    trainer.train_step()
    return {name: p.grad.clone() for name, p in trainer.trained.items() if p.grad is not None}


def test_the_loss_mask_decides_the_gradient(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What tools answered is not learned: with their tokens in the loss the gradient is another, by a good part."""
    masked = gradients_of(trainer_of(folder))
    monkeypatch.setattr(Completion, "sampled", property(lambda self: (True,) * len(self.token_ids)))
    unmasked = gradients_of(trainer_of(folder))

    apart = sum((masked[name] - unmasked[name]).square().sum() for name in masked).sqrt()
    size = sum(gradient.square().sum() for gradient in masked.values()).sqrt()
    assert apart / size > 0.1


def test_no_gradient_comes_from_a_tools_tokens(folder: Path) -> None:
    """The log-probability of another answer's tokens changes nothing: the loss is computed from the model's alone."""
    trainer = trainer_of(folder)
    kept, _ = trainer.collect()
    rollout, _ = trainer.prepare(kept)

    loss, _ = trainer.objective.loss(*_with_noise(trainer, rollout, at=rollout.mask_B_T == 0))
    same, _ = trainer.objective.loss(*_with_noise(trainer, rollout, at=rollout.mask_B_T < 0))
    other, _ = trainer.objective.loss(*_with_noise(trainer, rollout, at=rollout.mask_B_T == 1))

    assert loss.item() == same.item()
    assert other.item() != same.item()


def _with_noise(trainer: OnPolicyTrainer, rollout: Any, at: torch.Tensor) -> tuple[Any, Any, Any]:
    from rlpath.posttrain.objectives import Whole

    with torch.no_grad():
        new = trainer._forward(rollout.batch())
    rollout = rollout.with_(old_B_T=new["logprobs"])
    new = {**new, "logprobs": new["logprobs"] + 0.1 * at}
    tokens = float(rollout.mask_B_T.sum())
    return new, rollout, Whole(float(len(rollout)), tokens, tokens, tokens)


def test_packed_groups_of_several_turns_are_the_plain_forward(folder: Path) -> None:
    """Two groups of unequal episodes: log-probabilities and gradients of the shared and the plain forward are one."""
    trainer = trainer_of(folder)
    kept, _ = trainer.collect()
    rollout = trainer.prepare(kept)[0]
    own = policy_model(load_model(folder, "float32"), 1.0, torch.device("cpu"), bf16=False)
    assert own.packs
    found = []
    for gap in (0.0, 1.0):  # the second says that the model cannot be packed
        own.packing_gap = gap
        own.zero_grad()
        new = completion_rectangles(own, own, rollout.batch(), GROUP)
        (new["logprobs"] * rollout.mask_B_T).sum().backward()
        gradient = torch.cat([p.grad.flatten() for p in own.parameters() if p.grad is not None])
        found.append((new["logprobs"].detach(), gradient))

    assert rollout.completion_mask.sum() > rollout.mask_B_T.sum() > 0
    torch.testing.assert_close(found[0][0], found[1][0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found[0][1], found[1][1], atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("loss", ["dapo", "gspo", "rloo", "reinforce_pp"])
def test_every_loss_takes_episodes(loss: Any, folder: Path) -> None:
    """With a KL term, mini-batches and the sampler's correction nothing is lost on tokens without a log-probability."""
    # The script's log-probabilities are far from the model's: over an episode their ratio is 0.
    correction = "none" if loss == "rloo" else "token_truncate"
    settings = replace(
        SETTINGS, loss=loss, correction=correction, beta=0.1, mini_batch=GROUP, epochs=2,
        kl_estimator="k1" if loss in ("rloo", "reinforce_pp") else "k3",
    )  # fmt: skip
    metrics = trainer_of(folder, settings).train_step()

    assert metrics["grad_norm"] > 0
    assert {"loss", "entropy", "logprob_gap/mean"} <= metrics.keys()


def test_what_is_told_of_a_step(folder: Path) -> None:
    """Turns, calls and lengths are means over episodes; a line of the samples has its turns."""
    rows: list[Any] = []
    metrics = trainer_of(folder, log_samples=lambda step, found: rows.extend(found)).train_step()

    assert metrics["episode/turns"] == (3 + 2 + 3 + 1) / 4
    assert metrics["tools/calls"] == (2 + 1 + 3 + 0) / 4
    assert metrics["tools/raised"] == metrics["tools/hung"] == 0
    assert metrics["reward"] == 0.5
    assert [role for role, _ in rows[0]["turns"]] == ["assistant", "tool", "assistant", "tool", "assistant"]
    assert rows[0]["turns"][1][1] == "7"
    assert metrics["length/mean"] == sum(row["tokens"] for row in rows) / 4


def test_a_tiny_model_learns_from_episodes(folder: Path) -> None:
    """Its own samples, a limit of two turns, an adapter: finite metrics, and weights that moved."""
    settings = replace(SETTINGS, lora_rank=0, group_size=2, max_completion_length=12, reward="random", loss="dapo")
    tokenizer = load_tokenizer(folder)
    trainer = trainer_of(
        folder, settings, sampler=HFSampler(load_model(folder, "float32"), tokenizer), factory=Calculator
    )
    before = {name: p.detach().clone() for name, p in trainer.trained.items()}
    metrics = [trainer.train_step() for _ in range(2)]

    assert all(row["logprob_gap/max"] < 1e-3 for row in metrics)
    assert metrics[0]["length/truncated"] > 0
    assert any((p != before[name]).any() for name, p in trainer.trained.items())


def test_what_episodes_cannot_be_trained_with(folder: Path) -> None:
    """A critic, and rewards that read an answer, are refused with a sentence."""
    with pytest.raises(InputError, match="--reward majority reads an answer"):
        trainer_of(folder, replace(SETTINGS, reward="majority"))
    with pytest.raises(InputError, match="PPO's critic values one turn"):
        trainer_of(folder, PPOSettings(prompts_per_step=2, group_size=2, mini_batch=4, log_to="none"))  # type: ignore[arg-type]


def test_a_rollout_reads_what_it_does_not_learn() -> None:
    """Two episodes by hand: ids of all tokens, a mask of the model's, and no log-probability elsewhere."""
    turns = (
        EpisodeTurn("assistant", "a", (5, 6), (-1.0, -2.0)),
        EpisodeTurn("tool", "b", (7,)),
        EpisodeTurn("assistant", "c", (8,), (-3.0,)),
    )
    nan = float("nan")
    episode = Completion("abc", (5, 6, 7, 8), (-1.0, -2.0, nan, -3.0), "stop", Episode((1, 2), turns, None, {}))
    single = Completion("d", (9,), (-4.0,), "length")
    rollout = make_rollout([[1, 2], [3]], [episode, single], torch.zeros(2), torch.device("cpu"), mask_truncated=True)

    assert rollout.completion_ids.tolist() == [[5, 6, 7, 8], [9, 0, 0, 0]]
    assert rollout.completion_mask.tolist() == [[1, 1, 1, 1], [1, 0, 0, 0]]
    assert rollout.written_B_T.tolist() == [[1, 1, 0, 1], [1, 0, 0, 0]]
    assert rollout.mask_B_T.tolist() == [[1, 1, 0, 1], [0, 0, 0, 0]]
    assert rollout.sampled_B_T.isnan().tolist() == [[False, False, True, False], [False] * 4]


def test_the_limits_of_a_set_are_kept(folder: Path) -> None:
    """Turns beyond the limit are not asked for: the episode of three turns is cut to two."""
    made = calculator(size=4, limits=Limits(turns=2))
    assert made.environment is not None
    sampler = ScriptedSampler(load_tokenizer(folder), lambda number, turn: call("calculate", expression="1 + 1"))
    trainer = trainer_of(folder, sampler=sampler, environment=made.environment)
    trainer.problems.take = lambda place, count: list(made.problems[:count])  # type: ignore[method-assign]

    assert trainer.train_step()["episode/turns"] == 2
