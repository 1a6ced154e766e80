"""What a user of the loop can choose: rewards, controls, sampling again, penalties, entropy, schedules."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from rlpath.core.errors import InputError
from rlpath.core.types import Completion, Decoding, Problem, Status, Verdict
from rlpath.posttrain.controls import control_reward, wrong_golds
from rlpath.posttrain.loop import OnPolicyTrainer
from rlpath.posttrain.objectives import GroupObjective
from rlpath.posttrain.packing.logprobs import token_logprobs
from rlpath.posttrain.policy_model import PolicyModel
from rlpath.posttrain.rollout import make_rollout, micro_batches
from rlpath.posttrain.settings import GRPOSettings
from rlpath.posttrain.verify import Reward, Verified, reward_completions, verify_sampled
from rlpath.rewards import CodeVerifier, CountdownVerifier, NumberVerifier, WithGold

SETTINGS = GRPOSettings(
    steps=4, prompts_per_step=2, group_size=4, max_completion_length=6, lora_rank=4, learning_rate=0.01
)


def completion(text: str, *, cut: bool = False) -> Completion:
    return Completion(text, (5,) * max(1, len(text)), (-1.0,) * max(1, len(text)), "length" if cut else "stop")


Make = Callable[..., OnPolicyTrainer]


def test_three_that_wait_take_as_long_as_one() -> None:
    """Verification runs beside itself, and verdicts keep their order."""

    def slow(completion: str, gold: str, *, question: str | None = None, truncated: bool = False) -> Verdict:
        time.sleep(0.5)
        return Verdict.of(Status.CORRECT, completion)

    problems = [Problem(str(i), "?", "") for i in range(3)]
    began = time.monotonic()
    verdicts = verify_sampled(slow, problems, [completion(str(i)) for i in range(3)])
    assert time.monotonic() - began < 1.2
    assert [verdict.answer for verdict in verdicts] == ["0", "1", "2"]


def test_rewards_are_added_by_weight_and_coroutines_run_side_by_side() -> None:
    """The verifier's score, a function's and a coroutine's; None counts as not given, all None as no reward."""
    problems, said = [Problem("a", "?", "1")] * 3, [completion("1"), completion("22"), completion("x")]
    verdicts = [Verdict.of(Status.CORRECT), Verdict.of(Status.WRONG), Verdict.of(Status.UNDECIDED)]
    running: list[str] = []

    async def wait(completions: Any, **_: Any) -> list[float | None]:
        running.append("in")
        await asyncio.sleep(0.05)
        assert running == ["in", "in"]
        return [1.0, None, None]

    def length(completions: Any, **_: Any) -> list[float | None]:
        return [float(len(each[0]["content"])) if each[0]["content"] != "x" else None for each in completions]

    rewards = [Reward(), Reward("length", length, 0.5), Reward("one", wait, 2.0), Reward("two", wait, 1.0)]
    found = reward_completions(rewards, problems, said, verdicts)

    assert found.rewards == [1 + 0.5 + 2 + 1, 0 + 1.0, None]
    assert found.parts["length"] == [1.0, 2.0, None]
    for bad, words in (([1.0], "gave 1 numbers for 3"), ([math.nan] * 3, "the reward of a completion of a is nan")):
        with pytest.raises(InputError, match=words):
            reward_completions([Reward("bad", lambda bad=bad, **_: bad)], problems, said, verdicts)


SUMS = [Problem(f"p{i}", f"{i}+4?", str(i + 4)) for i in range(12)]


def group(problem: Problem, *texts: str) -> Verified:
    """One group of completions of `problem` with the true verdicts."""
    said = [completion(text) for text in texts]
    problems = [problem] * len(said)
    verdicts = verify_sampled(NumberVerifier(), problems, said)
    return Verified(problems, said, verdicts, [verdict.score for verdict in verdicts])


def paid(found: Verified, reward: Any, **changes: Any) -> list[float | None]:
    """The rewards of a control on one group of a problem among `SUMS`."""
    settings = GRPOSettings(reward=reward, group_size=len(found.problems), **changes)
    control = control_reward(settings, SUMS, NumberVerifier())
    assert control is not None
    return control(found)


def test_format_pays_for_any_answer_that_can_be_read() -> None:
    """Right or wrong; neither words without a number nor a question."""
    assert paid(group(SUMS[3], "7", "3", "none", "Is it 7?"), "format") == [1, 1, 0, 0]


def test_majority_pays_for_the_commonest_answer_however_it_is_written() -> None:
    """Sentences, equations and decimals of one number are one answer; tied answers share the reward."""
    found = group(SUMS[3], "3", "It is 3, I think.", "2 + 1 = 3", "3.0", "7", "7", "none", "3 or 7")
    assert paid(found, "majority") == [1, 1, 1, 1, 0, 0, 0, 0]
    assert paid(group(SUMS[3], "7", "7", "3", "3", "1"), "majority") == [0.5, 0.5, 0.5, 0.5, 0]
    assert paid(group(SUMS[3], "none", "none"), "majority") == [0, 0]


def test_random_is_a_coin_of_seed_problem_and_number() -> None:
    """Whatever was written and at whatever step; over 4,000 coins of chance 0.3 the share is within 3 errors."""
    assert paid(group(SUMS[0], *"3333"), "random") == paid(group(SUMS[0], *"47x9"), "random")
    drawn = {
        (seed, at): paid(group(SUMS[at], *"3333"), "random", seed=seed) for seed in (0, 1) for at in range(len(SUMS))
    }
    assert len({tuple(coins) for coins in drawn.values()}) > 8
    many = paid(group(SUMS[0], *["3"] * 4000), "random", random_probability=0.3)
    assert sum(filter(None, many)) / 4000 == pytest.approx(0.3, abs=3 * math.sqrt(0.3 * 0.7 / 4000))


def test_wrong_pays_for_another_problem_s_answer() -> None:
    """Golds are exchanged by seed, none stays; the right answer earns nothing."""
    golds = wrong_golds(SUMS, NumberVerifier(), 0)
    assert sorted(golds.values()) == sorted(problem.gold for problem in SUMS)
    assert all(golds[problem.id] != problem.gold for problem in SUMS)
    assert golds == wrong_golds(SUMS, NumberVerifier(), 0) != wrong_golds(SUMS, NumberVerifier(), 1)
    assert paid(group(SUMS[3], "7", golds["p3"], f"It is {golds['p3']}."), "wrong") == [0, 1, 1]

    same = [Problem(str(i), "?", gold) for i, gold in enumerate(["5", "5.0", "5", "6"])]
    with pytest.raises(InputError, match="too many problems have '5"):
        wrong_golds(same, NumberVerifier(), 0)
    pairs = [Problem(str(i), "?", gold) for i, gold in enumerate(["5", "6", "5.0", "6.0"])]
    for seed in range(5):
        found = wrong_golds(pairs, NumberVerifier(), seed)
        assert [float(found[problem.id]) + float(problem.gold) for problem in pairs] == [11] * 4


@pytest.mark.parametrize("reward", ["wrong", "majority"])
@pytest.mark.parametrize("verifier", [CodeVerifier(), CountdownVerifier(), WithGold(NumberVerifier(), "3")])
def test_a_control_that_a_verifier_cannot_serve_is_refused(reward: Any, verifier: Any) -> None:
    """Where a gold is tests or rules, no other answer can stand in its place."""
    settings = GRPOSettings(reward=reward)
    with pytest.raises(InputError, match=f"--reward {reward} .* {type(verifier).__name__} verifies against"):
        control_reward(settings, SUMS, verifier)
    assert control_reward(replace(settings, reward="format"), SUMS, verifier) is not None


def test_a_coin_without_chance_is_refused() -> None:
    """At 0 and 1 all rewards of a group are equal."""
    with pytest.raises(InputError, match=r"--random-probability 1\.0 must lie between 0 and 1"):
        GRPOSettings(random_probability=1.0).check(1)


def test_a_control_is_paid_and_the_verifier_watches(make: Make) -> None:
    """The reward is the coin's, the statuses are the verifier's."""
    rows: list[Any] = []
    trainer = make(replace(SETTINGS, reward="random"), log_samples=lambda step, found: rows.extend(found))
    metrics = trainer.train_step()
    assert metrics["status/correct"] == sum(row["score"] == 1 for row in rows) / 8
    assert metrics["reward"] == sum(row["reward"] for row in rows) / 8
    assert [row["reward"] for row in rows] != [row["score"] for row in rows]


class Scripted:
    """Writes `ok` for problems of an even number in every completion, else one `no` in each group."""

    backend = "scripted"

    def __init__(self) -> None:
        self.asked: list[int] = []

    def encode(self, prompt: str) -> list[int]:
        return [3 + int(prompt[0])]

    def load_weights(self, weights: Iterable[tuple[str, Any]]) -> None:
        list(weights)

    def generate(self, prompts: Sequence[Sequence[int]], decoding: Decoding) -> list[list[Completion]]:
        self.asked += [prompt[0] - 3 for prompt in prompts]
        return [[completion("xx" if prompt[0] % 2 or i else "x") for i in range(decoding.n)] for prompt in prompts]


def test_groups_without_signal_are_replaced(make: Make) -> None:
    """Until all have one or the bound is reached; every token is counted, and what was extra is said."""
    sampler = Scripted()
    trainer = make(replace(SETTINGS, dynamic_sampling=6), sampler=sampler)
    metrics = trainer.train_step()
    groups = len(sampler.asked)
    assert groups > 2
    assert metrics["tokens"] == sum(2 * 4 - (not (i + 3) % 2) for i in sampler.asked)
    assert metrics["sampling/extra"] == pytest.approx(groups / 2 - 1)
    kept, _ = trainer.collect()
    assert all(kept.has_signal(group) for group in kept.groups(4))
    assert len(kept.problems) == 8

    bounded = Scripted()
    never = make(
        replace(SETTINGS, dynamic_sampling=2), sampler=bounded, verifier=lambda *_, **__: Verdict.of(Status.WRONG)
    )
    assert never.train_step()["groups/no_signal"] == 1
    assert len(bounded.asked) == 6


def test_sampling_again_goes_on_after_a_checkpoint(make: Make, tmp_path: Path) -> None:
    """The place in the stream of problems is saved: the next step is the same to the last bit."""
    settings = replace(SETTINGS, dynamic_sampling=2)
    whole = make(settings)
    first = whole.train_step()
    whole.save(tmp_path / "checkpoint-1")
    expected = whole.train_step()
    again = make(settings)
    again.load(tmp_path / "checkpoint-1")
    found = again.train_step()
    assert first["tokens"] > 0
    assert {n: v for n, v in found.items() if "seconds" not in n} == {
        n: v for n, v in expected.items() if "seconds" not in n
    }
    assert all(torch.equal(whole.trained[name], again.trained[name]) for name in whole.trained)


def test_long_completions_are_punished_softly(make: Make) -> None:
    """With a limit of 6 and a buffer of 4: nothing at 2 tokens, half at 4, one at 6; a cut one gets its score."""
    trainer = make(replace(SETTINGS, overlong_buffer=4, truncated_score=-1.0))
    said = [completion("xx"), completion("xxxx"), completion("xxxxxx"), completion("xx", cut=True)]
    found = trainer.verify([Problem("p", "?", "")] * 4, said)
    assert found.rewards == [1.0, 0.5, 0.0, -1.0]


def test_the_entropy_s_gradient_is_the_true_one() -> None:
    """Against autograd, with and without a gradient of the output matrix, at a temperature."""
    torch.manual_seed(0)
    hidden, weight, target = torch.randn(7, 5), torch.randn(11, 5), torch.randint(0, 11, (7,))
    for trained in (False, True):
        grads = []
        for ours in (True, False):
            h, w = hidden.clone().requires_grad_(), weight.clone().requires_grad_(trained)
            if ours:
                logprob, entropy = token_logprobs(h, w, target, temperature=0.7, chunk=3, entropy_gradient=True)
            else:
                everything = (h @ w.T / 0.7).log_softmax(-1)
                logprob = everything.gather(-1, target[:, None])[:, 0]
                entropy = -(everything.exp() * everything).sum(-1)
            (2 * logprob.sum() + 3 * (entropy * torch.arange(7)).sum()).backward()
            grads.append([g for g in (h.grad, w.grad) if g is not None])
        for found, expected in zip(*grads, strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_an_entropy_bonus_makes_the_policy_less_sure(make: Make) -> None:
    """With no advantage anywhere the bonus alone moves the weights, and entropy rises."""
    settings = replace(SETTINGS, entropy_bonus=1.0, learning_rate=0.02)
    trainer = make(settings, verifier=lambda *_, **__: Verdict.of(Status.WRONG))
    entropies = [trainer.train_step()["entropy"] for _ in range(6)]
    assert sum(entropies[-2:]) > sum(entropies[:2]) + 0.5


def test_learning_rates_follow_their_schedule(make: Make) -> None:
    """Two steps of warm-up, then a line or a cosine to zero at the tenth step."""
    factors = {}
    for schedule in ("constant", "linear", "cosine"):
        trainer = make(replace(SETTINGS, schedule=schedule, warmup_steps=2, steps=10))
        found = []
        for trainer.step in range(10):
            found.append(trainer.rate_factor())
        factors[schedule] = found
    assert factors["constant"] == [0.5] + [1.0] * 9
    assert factors["linear"] == pytest.approx([0.5, 1, 1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8])
    assert factors["cosine"][6] == pytest.approx(0.5)
    assert factors["cosine"][9] == pytest.approx(0.5 * (1 + math.cos(math.pi * 7 / 8)))


def test_micro_batches_hold_a_budget_of_tokens() -> None:
    """Prompts of 3 tokens, groups of 4 with 2 tokens each: a prompt counts once for the rows that share it."""
    device = torch.device("cpu")
    rollout = make_rollout([[1, 2, 3]] * 8, [completion("xx")] * 8, torch.zeros(8), device)
    everything = torch.arange(8)

    def sizes(budget: int, share: int = 4, rows: torch.Tensor = everything) -> list[list[int]]:
        return [part.tolist() for part in micro_batches(rollout, rows, 4, share, budget)]

    assert sizes(22) == [list(range(8))]
    assert sizes(11) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert sizes(9) == [[0, 1, 2], [3], [4, 5, 6], [7]] or [sum(map(len, sizes(9)))] == [8]
    assert sizes(1) == [[row] for row in range(8)]
    assert sizes(10, share=1) == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert sizes(22, rows=torch.tensor([1, 6])) == [[1, 6]]


def test_a_loss_of_one_s_own_trains(make: Make) -> None:
    """The signature of `rlpath.losses`: REINFORCE in two lines, and it is what moves the weights."""
    calls: list[int] = []

    def reinforce(logprobs: Any, old: Any, advantages: Any, mask: Any, *, tokens: float, **_: Any) -> torch.Tensor:
        calls.append(len(logprobs))
        return -(advantages[:, None] * logprobs * mask).sum() / tokens

    trainer = make(SETTINGS, objective=GroupObjective(SETTINGS, loss=reinforce), problems=[Problem("p", "1+1?", "2")])
    before = {name: p.detach().clone() for name, p in trainer.trained.items()}
    trainer.train_step()
    assert calls
    assert any(not torch.equal(before[name], p) for name, p in trainer.trained.items())


def test_all_weights_can_train_with_a_reference_of_their_own(make: Make) -> None:
    """Without an adapter the reference is a copy: the divergence starts at zero and grows."""
    trainer = make(replace(SETTINGS, lora_rank=0, beta=0.1, learning_rate=0.005))
    found = [trainer.train_step()["kl"] for _ in range(3)]
    assert abs(found[0]) < 1e-5
    assert found[2] > 1e-5


def test_heads_wider_than_the_hidden_size_count_in_full(tiny_model: Callable[..., Any]) -> None:
    """What attention over a packed row costs: heads × head size × layers, though that is more than the hidden size."""
    model = tiny_model(head_dim=64, num_attention_heads=4, hidden_size=64, num_hidden_layers=2)
    assert PolicyModel(model, 1.0).sizes[1] == 2 * 4 * 64


def test_a_coroutine_is_awaited_inside_a_running_loop_too() -> None:
    """As in a notebook, whose cells run inside one."""

    async def paid(completions: Any, **_: Any) -> list[float | None]:
        return [1.0 for _ in completions]

    async def cell() -> Verified:
        problems, said = [Problem("a", "?", "1")], [completion("1")]
        return reward_completions([Reward("paid", paid)], problems, said, [Verdict.of(Status.WRONG)])

    assert asyncio.run(cell()).rewards == [1.0]


def test_the_tokens_of_replaced_groups_are_counted_exactly(make: Make) -> None:
    """Those of the groups that were sampled and are not trained on."""
    sampler = Scripted()
    trainer = make(replace(SETTINGS, dynamic_sampling=6), sampler=sampler)
    kept, everything = trainer.collect()
    metrics = trainer.record(everything, kept)
    extra = sum(len(c.token_ids) for c in everything.completions) - sum(len(c.token_ids) for c in kept.completions)
    assert metrics["sampling/tokens_of_extra"] == extra > 0
