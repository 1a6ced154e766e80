"""PPO for language models: its update is the tested losses on a plain forward, its parts are worked out by hand."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model

import rlpath.posttrain.all_processes as all_processes_module
import rlpath.posttrain.loop as loop_module
import rlpath.posttrain.policy_model as policy_model_module
import rlpath.posttrain.ppo_rlhf as ppo_module
from rlpath import losses
from rlpath.core.errors import InputError
from rlpath.core.types import Completion, Decoding, Problem, Status, Verdict
from rlpath.models.hf_sampler import HFSampler
from rlpath.models.load import load_model, load_tokenizer
from rlpath.posttrain.loop import OnPolicyTrainer
from rlpath.posttrain.ppo_rlhf import explained_variance, next_kl_coefficient, token_rewards
from rlpath.posttrain.settings import PPOSettings
from rlpath.posttrain.verify import Reward

QUESTIONS = ("1+1?", "What is 12 + 30?", "7-5", "how much is 3 times 4")
SETTINGS = PPOSettings(
    steps=4,
    prompts_per_step=2,
    group_size=4,
    micro_batch=8,
    mini_batch=8,
    epochs=1,
    max_completion_length=6,
    learning_rate=0.01,
    lora_rank=4,
    temperature=0.9,
)


def problems(steps: int = 4) -> list[Problem]:
    return [Problem(f"p{i}", QUESTIONS[i % 4], str(i)) for i in range(2 * steps)]


def verdict(completion: str, gold: str, *, question: str | None = None, truncated: bool = False) -> Verdict:
    """A score from the letters, so that completions differ; gold "undecided" is that."""
    if gold == "undecided":
        return Verdict.of(Status.UNDECIDED)
    score = sum(map(ord, completion)) % 5 / 4
    return Verdict(Status.CORRECT if score > 0.6 else Status.WRONG, score)


class Recording:
    """A sampler that keeps what it wrote."""

    backend = "recording"

    def __init__(self, sampler: HFSampler) -> None:
        self.sampler = sampler
        self.written: list[Completion] = []

    def encode(self, prompt: str) -> list[int]:
        return self.sampler.encode(prompt)

    def load_weights(self, weights: Iterable[tuple[str, Any]]) -> None:
        self.sampler.load_weights(weights)

    def generate(self, prompts: Sequence[Sequence[int]], decoding: Decoding) -> list[list[Completion]]:
        groups = self.sampler.generate(prompts, decoding)
        self.written = [completion for group in groups for completion in group]
        return groups


Make = Callable[..., OnPolicyTrainer]


@pytest.fixture
def make(digit_folder: Path) -> Make:
    """`make(settings, moved=True, **arguments)`: a trainer, its adapter and value head moved off their zeros."""

    def build(settings: PPOSettings = SETTINGS, *, moved: bool = True, **arguments: Any) -> OnPolicyTrainer:
        torch.manual_seed(0)
        lora = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")
        model = get_peft_model(load_model(digit_folder, "float32"), lora)
        assert isinstance(model, PeftModel)
        sampler = Recording(HFSampler(load_model(digit_folder, "float32"), load_tokenizer(digit_folder)))
        if "reward" in arguments:
            arguments["rewards"] = [Reward("paid", arguments.pop("reward"))]
        given: dict[str, Any] = {"problems": problems(), "verifier": verdict, "sampler": sampler, **arguments}
        trainer = OnPolicyTrainer(model, settings, **given)
        asked = given["problems"]
        trainer.problems.take = lambda start, count: asked[start : start + count]  # type: ignore[method-assign]
        if moved:
            with torch.no_grad():
                for name, parameter in trainer.trained.items():
                    if "lora_B" in name or "value_head" in name:
                        parameter.add_(torch.randn_like(parameter) * 0.1)
        return trainer

    return build


# Parts by hand


def test_the_score_comes_last_and_every_token_pays_for_its_divergence() -> None:
    """Price 0.5 a nat; the second completion has one token, the third was left out."""
    kl = torch.tensor([[0.2, -0.4, 1.0], [0.6, 9.0, 9.0], [1.0, 1.0, 1.0]])
    mask = torch.tensor([[1, 1, 1], [1, 0, 0], [0, 0, 0]])

    found = token_rewards(torch.tensor([1.0, 2.0, 5.0]), kl, mask, 0.5)

    torch.testing.assert_close(found, torch.tensor([[-0.1, 0.2, 0.5], [1.7, 0.0, 0.0], [0.0, 0.0, 0.0]]))


@pytest.mark.parametrize(
    ("kl", "target", "expected"),
    [(3.3, 3.0, 1.01), (2.7, 3.0, 0.99), (30.0, 3.0, 1.02), (0.0, 3.0, 0.98), (-5.0, 3.0, 0.98), (30.0, None, 1.0)],
)
def test_the_kl_coefficient_follows_its_target(kl: float, target: float | None, expected: float) -> None:
    """A tenth of the relative error, which counts as at most 20 %."""
    assert next_kl_coefficient(0.5, kl, target) == pytest.approx(0.5 * expected)


def test_explained_variance_by_hand() -> None:
    """Returns 1, 2, 3: variance 2/3. A constant explains nothing, a perfect critic all, half the slope 3/4."""
    returns, mask = torch.tensor([[1.0, 2.0, 3.0, 99.0]]), torch.tensor([[1, 1, 1, 0]])

    def explained(*values: float) -> float:
        return explained_variance(torch.tensor([[*values, 0.0]]), returns, mask)

    assert explained(7, 7, 7) == pytest.approx(0, abs=1e-6)
    assert explained(1, 2, 3) == pytest.approx(1)
    assert explained(0.5, 1, 1.5) == pytest.approx(0.75)
    assert explained(3, 2, 1) == pytest.approx(-3)
    assert math.isnan(explained_variance(returns * 0, returns * 0, mask))


def test_every_detail_is_marked_where_it_happens() -> None:
    """The numbers of the list at the top of the file stand beside the code, none without the other."""
    listing, code = Path(str(ppo_module.__file__)).read_text().split('"""', 2)[1:]
    code += "".join(Path(str(module.__file__)).read_text() for module in (policy_model_module, loop_module))
    listed = set(re.findall(r"^ ?(\d+)\. ", listing, re.M))

    assert len(listed) == 10
    assert listed == set(re.findall(r"# detail (\d+)", code))


# The update is the tested losses


def plain_forward(
    trainer: OnPolicyTrainer, prompts: Sequence[list[int]], written: Sequence[Completion], *, adapter: bool = True
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities and values [B, T] by one unpadded forward of the model for each completion."""
    longest = max(len(completion.token_ids) for completion in written)
    logprobs, values = [], []
    for prompt, completion in zip(prompts, written, strict=True):
        ids = torch.tensor([[*prompt, *completion.token_ids]])
        policy: Any = trainer.policy()
        if adapter:
            output = policy(input_ids=ids, output_hidden_states=True)
        else:
            with policy.disable_adapter():
                output = policy(input_ids=ids, output_hidden_states=True)
        before = slice(len(prompt) - 1, -1)
        of_all = (output.logits[0, before] / trainer.settings.temperature).log_softmax(-1)
        found = of_all.gather(-1, ids[0, len(prompt) :, None])[:, 0]
        padding = (0, longest - len(found))
        logprobs.append(torch.nn.functional.pad(found, padding))
        value = head_of(trainer)(output.hidden_states[-1][0, before])[:, 0]
        values.append(torch.nn.functional.pad(value, padding))
    return torch.stack(logprobs), torch.stack(values)


def head_of(trainer: OnPolicyTrainer) -> torch.nn.Linear:
    """The critic's output layer."""
    assert trainer.own.value_head is not None
    return trainer.own.value_head


def expected_gradients(trainer: OnPolicyTrainer) -> dict[str, torch.Tensor]:
    """The gradient of the first step, from the losses alone."""
    settings, sampler = trainer.settings, trainer.sampler
    assert isinstance(sampler, Recording) and isinstance(settings, PPOSettings)
    asked, written = trainer.sample(2)
    prompts = [sampler.encode(problem.prompt) for problem in asked]
    lengths = torch.tensor([len(completion.token_ids) for completion in written])
    mask = (torch.arange(int(lengths.max())) < lengths[:, None]).int()
    scores = torch.tensor([verdict(c.text, p.gold).score or 0.0 for p, c in zip(asked, written, strict=True)])
    logprobs, values = plain_forward(trainer, prompts, written)
    old, old_values = logprobs.detach(), values.detach()
    reference = plain_forward(trainer, prompts, written, adapter=False)[0].detach()
    rewards = -settings.kl * (old - reference) * mask
    rewards[torch.arange(len(rewards)), lengths - 1] += scores
    advantages = losses.gae(rewards, old_values, mask, gamma=1.0, lam=settings.lam)
    returns = advantages + old_values
    loss = losses.ppo_policy_loss(logprobs, old, losses.whiten(advantages, mask), mask, epsilon=settings.clip)
    loss = loss + settings.value_coefficient * losses.ppo_value_loss(
        values, old_values, returns, mask, clip=settings.clip
    )
    gradients = torch.autograd.grad(loss, list(trainer.trained.values()), allow_unused=True)
    return {name: g for name, g in zip(trainer.trained, gradients, strict=True) if g is not None}


@pytest.mark.parametrize("micro_batch", [8, 4])
def test_the_gradient_is_that_of_the_tested_losses(make: Make, micro_batch: int) -> None:
    """Whole, and summed over two micro-batches of unequal numbers of tokens; then held at norm 1."""
    expected = expected_gradients(make())
    norm = math.sqrt(sum(gradient.square().sum().item() for gradient in expected.values()))

    trainer = make(replace(SETTINGS, micro_batch=micro_batch))
    metrics = trainer.train_step()

    assert metrics["grad_norm"] == pytest.approx(norm, rel=1e-3)
    assert any("value_head" in name for name in expected)
    for name, gradient in expected.items():
        found = trainer.trained[name].grad
        assert found is not None
        torch.testing.assert_close(found, gradient / max(norm, 1.0), rtol=2e-3, atol=2e-5)


def scaled(function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    return lambda *args, **kwargs: function(*args, **kwargs) * 1.1


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (ppo_module, "gae"),
        (ppo_module, "kl_estimate"),
        (ppo_module, "ppo_policy_loss"),
        (ppo_module, "ppo_value_loss"),
        (all_processes_module, "whiten"),
    ],
)
def test_the_tested_losses_are_the_ones_that_train(
    module: Any, name: str, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each function of `rlpath.losses`, made 10 % larger, changes a training."""

    def weights() -> Mapping[str, torch.Tensor]:
        trainer = make(replace(SETTINGS, max_grad_norm=0.0))
        trainer.train_step()
        return trainer.trained

    before = weights()
    monkeypatch.setattr(module, name, scaled(getattr(losses, name)))
    after = weights()
    assert max((before[key] - after[key]).abs().max().item() for key in before) > 1e-5


def test_before_the_first_update_the_ratio_is_one(make: Make) -> None:
    """One epoch of one mini-batch: nothing is clipped, nothing has moved; with a second epoch it has."""
    metrics = make().train_step()
    assert metrics["clip_ratio"] == 0
    assert metrics["kl/update"] < 1e-10
    assert metrics["logprob_gap/max"] < 1e-4

    assert make(replace(SETTINGS, epochs=3)).train_step()["kl/update"] > 1e-6


def test_at_the_start_policy_and_reference_are_one_and_values_are_zero(make: Make) -> None:
    """A fresh adapter changes nothing; once moved, the divergence lowers the reward."""
    fresh = make(moved=False).train_step()
    assert fresh["kl/completion"] == pytest.approx(0, abs=1e-5)
    assert fresh["value/mean"] == 0
    assert abs(make().train_step()["kl/completion"]) > 1e-3


def test_without_a_price_there_is_no_reference(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is computed with the adapter off."""
    monkeypatch.setattr(OnPolicyTrainer, "_reference", lambda *_: pytest.fail("asked for a reference"))

    assert make(replace(SETTINGS, kl=0.0)).train_step()["kl/completion"] == 0


def test_values_are_clipped_and_weighted(make: Make) -> None:
    """Without the value loss the head does not move; with it, it does."""
    for coefficient, moves in ((0.0, False), (0.1, True)):
        trainer = make(replace(SETTINGS, value_coefficient=coefficient))
        before = head_of(trainer).weight.detach().clone()
        trainer.train_step()
        assert (not torch.equal(before, head_of(trainer).weight)) is moves


def test_mini_batches_hold_whole_groups_and_every_row_once(make: Make) -> None:
    """In another order at every step and epoch, the same for the same seed."""
    trainer = make(replace(SETTINGS, prompts_per_step=8, mini_batch=16))

    batches = trainer._mini_batches(32, epoch=0)

    assert [len(rows) for rows in batches] == [16, 16]
    assert torch.cat(batches).sort().values.tolist() == list(range(32))
    for rows in batches:
        groups = rows.view(-1, 4)
        assert (groups % 4 == torch.arange(4)).all()
        assert (groups // 4 == groups[:, :1] // 4).all()
    again, other = trainer._mini_batches(32, epoch=0), trainer._mini_batches(32, epoch=1)
    assert torch.equal(torch.cat(batches), torch.cat(again))
    assert not torch.equal(torch.cat(batches), torch.cat(other))


# Scores


def test_an_undecided_completion_moves_nothing(make: Make) -> None:
    """With every second problem undecided the update is finite and the mean reward is over the others."""
    given = [replace(p, gold="undecided") if i % 2 else p for i, p in enumerate(problems())]
    trainer = make(problems=given)
    verified = trainer.verify(*trainer.sample(2))

    metrics = trainer.record(verified)
    rollout, _ = trainer.prepare(verified)
    scores = rollout.rewards_B

    assert scores.isnan().tolist() == [False] * 4 + [True] * 4
    assert metrics["reward"] == pytest.approx(scores[:4].mean().item())
    assert metrics["status/undecided"] == 0.5
    assert not rollout.mask_B_T[4:].any()
    assert rollout.advantages is not None
    assert not rollout.advantages[4:].any()
    assert all(math.isfinite(value) for value in trainer.update(rollout).values())
    everything = make(problems=[replace(p, gold="undecided") for p in problems()])
    before = {name: p.detach().clone() for name, p in everything.trained.items()}
    everything.train_step()
    assert all(torch.equal(before[name], p) for name, p in everything.trained.items())


def test_a_reward_function_is_paid_for_and_the_verifier_watches(make: Make) -> None:
    """It gets conversations and gold answers; verdicts are counted and both numbers are written down."""
    calls, rows = [], []

    def reward(prompts: Any, completions: Any, gold: Any, **_: Any) -> list[float | None]:
        calls.append((prompts[0], completions[0], gold[0]))
        return [None, *[3.0] * (len(gold) - 1)]

    trainer = make(reward=reward, log_samples=lambda step, found: rows.extend(found))
    metrics = trainer.train_step()

    assert metrics["reward"] == 3.0
    assert metrics["status/correct"] + metrics["status/wrong"] == 1
    assert calls[0][0] == [{"role": "user", "content": QUESTIONS[0]}]
    assert calls[0][1] == [{"role": "assistant", "content": rows[0]["completion"]}]
    assert calls[0][2] == "0"
    assert [row["reward"] for row in rows] == [None, *[3.0] * 7]
    assert rows[0]["score"] == verdict(rows[0]["completion"], "0").score
    assert {row["step"] for row in rows} == {1}


def test_a_cut_completion_gets_its_fixed_score(make: Make) -> None:
    """Of whoever judges; one that ended itself keeps its own."""
    trainer = make(replace(SETTINGS, truncated_score=-1.0, max_completion_length=2))
    verified = trainer.verify(*trainer.sample(2))

    cut = [completion.truncated for completion in verified.completions]
    assert 0 < sum(cut) < len(cut)
    assert [score == -1 for score in verified.rewards] == cut


def test_rewards_are_scaled_and_not_shifted(make: Make) -> None:
    """With `whiten_rewards` the token rewards of a rollout have variance 1 and the mean they had."""
    trainer = make(replace(SETTINGS, whiten_rewards=True, lam=1.0), moved=False)
    verified = trainer.verify(*trainer.sample(2))
    verified.rewards = [100.0] * 8

    rollout, _ = trainer.prepare(verified)

    # Without values and at λ = 1 a return is the sum of what is still to come.
    assert rollout.returns_B_T is not None
    to_go = torch.cat([rollout.returns_B_T, torch.zeros(8, 1)], 1)
    rewards = (to_go[:, :-1] - to_go[:, 1:])[rollout.mask_B_T.bool()]
    assert rewards.var().item() == pytest.approx(1, rel=1e-3)
    assert rewards.mean().item() == pytest.approx(800 / len(rewards), rel=1e-3)


# Training


def test_it_learns_what_is_paid_for(make: Make) -> None:
    """Paid for beginning with a seven, the policy soon does so more often than not."""

    def reward(completions: Any, **_: Any) -> list[float | None]:
        return [float(said[0]["content"].startswith("7")) for said in completions]

    settings = replace(SETTINGS, prompts_per_step=4, micro_batch=16, mini_batch=8, epochs=2, kl=0.0)
    trainer = make(replace(settings, max_completion_length=3), moved=False, reward=reward, problems=problems(24))

    rewards = [trainer.train_step()["reward"] for _ in range(12)]

    assert sum(rewards[:2]) / 2 < 0.2
    assert sum(rewards[-5:]) / 5 > 0.5


def test_a_price_on_divergence_holds_the_policy_back(make: Make) -> None:
    """The same training twice: under a high KL coefficient it stays small."""

    def reward(completions: Any, **_: Any) -> list[float | None]:
        return [float(said[0]["content"].startswith("7")) for said in completions]

    ends = []
    for price in (0.01, 10.0):
        settings = replace(SETTINGS, prompts_per_step=4, micro_batch=16, mini_batch=16, epochs=2, kl=price)
        trainer = make(settings, moved=False, reward=reward, problems=problems(12))
        ends.append([trainer.train_step()["kl/completion"] for _ in range(6)][-1])
    assert ends[0] > 0.1
    assert abs(ends[1]) < ends[0] / 2


def test_saved_and_loaded_it_goes_on_as_if_it_had_not_stopped(make: Make, tmp_path: Path) -> None:
    """Weights, optimizer, KL coefficient and every random draw: the same to the last bit."""
    settings = replace(SETTINGS, mini_batch=4, epochs=2, kl_target=0.01)

    def facts(metrics: dict[str, float]) -> dict[str, float]:
        return {n: v for n, v in metrics.items() if not n.startswith("seconds/") and math.isfinite(v)}

    whole = make(settings)
    expected = [facts(whole.train_step()) for _ in range(4)]
    first = make(settings)
    found = [facts(first.train_step()) for _ in range(2)]
    first.save(tmp_path / "checkpoint-2")
    second = make(settings, moved=False)
    second.load(tmp_path / "checkpoint-2")
    found += [facts(second.train_step()) for _ in range(2)]

    assert found == expected
    assert all(torch.equal(whole.trained[name], second.trained[name]) for name in whole.trained)
    assert expected[0]["kl/coefficient"] != expected[3]["kl/coefficient"]


def test_what_is_not_finite_stops_before_the_weights_change(make: Make) -> None:
    """A reward, with its problem and step; a loss, with its step and the remedy; a gradient."""
    trainer = make(reward=lambda completions, **_: [0.0, math.inf] * (len(completions) // 2))
    with pytest.raises(InputError, match="the reward of a completion of p0 is inf"):
        trainer.train_step()

    trainer = make()
    before = {name: p.detach().clone() for name, p in trainer.trained.items()}
    with torch.no_grad():
        head_of(trainer).bias.fill_(math.nan)
    diverged = r"the loss is not finite at step 1, for every problem of the step .*: lower --learning-rate"
    with pytest.raises(InputError, match=diverged):
        trainer.train_step()
    assert all(torch.equal(before[name], p) for name, p in trainer.trained.items() if "value_head" not in name)

    trainer = make()
    head_of(trainer).bias.register_hook(lambda gradient: gradient * math.inf)
    with pytest.raises(InputError, match="the gradient is not finite at step 1; training stopped"):
        trainer.train_step()


def test_a_loss_that_is_not_finite_is_blamed_on_its_problem(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the completions of one of two problems have no log-probability, that problem is named."""
    trainer = make()
    verified = trainer.verify(*trainer.sample(2))
    rollout, _ = trainer.prepare(verified)
    right, length = loop_module.completion_rectangles, len(trainer.sampler.encode(QUESTIONS[1]))

    def poisoned(model: Any, own: Any, batch: Any, group_size: int) -> Any:
        found = right(model, own, batch, group_size)
        bad = batch["prompt_mask"].sum(1) == length
        return found | {"logprobs": found["logprobs"].masked_fill(bad[:, None], math.nan)}

    monkeypatch.setattr(loop_module, "completion_rectangles", poisoned)
    with pytest.raises(InputError, match="the loss is not finite at step 1, for problem p1; training stopped"):
        trainer.update(rollout, [problem.id for problem in verified.problems])


def test_a_model_that_cannot_share_prompts_is_refused(
    make: Make, tiny_model: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that answers otherwise when they are shared, and one whose window is shorter than a prompt."""
    monkeypatch.setattr(policy_model_module, "packing_gap", lambda *_: 0.7)
    with pytest.raises(InputError, match=r"log-probabilities differ by 0\.70"):
        make()
    monkeypatch.undo()
    monkeypatch.setattr(policy_model_module, "attention_window", lambda *_: 20)
    with pytest.raises(InputError, match=r"more than the model's attention window of 20"):
        make().train_step()


def test_the_adapter_is_saved_in_the_hubs_format(make: Make, digit_folder: Path, tmp_path: Path) -> None:
    """PEFT loads it; the value head lies beside it."""
    trainer = make()
    trainer.save_model(str(tmp_path))

    loaded = PeftModel.from_pretrained(load_model(digit_folder, "float32"), str(tmp_path))

    ids = torch.arange(3, 13)[None]
    policy: Any = trainer.policy()
    torch.testing.assert_close(loaded(input_ids=ids).logits, policy(input_ids=ids).logits)
    assert (tmp_path / "value_head.safetensors").is_file()
