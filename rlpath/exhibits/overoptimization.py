"""How far a proxy can be optimized before the true reward falls: best-of-n and PPO against the same reward model.

After Gao et al. 2022, arXiv 2210.10760: proxy and true reward over the square root of the KL divergence from the model
that both started from. For best-of-n the divergence is known, for PPO it is measured on the completions of each step.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import torch

from rlpath.core.types import Decoding, ProblemSet, Verifier
from rlpath.exhibits.reward_hacking import RewardCurve
from rlpath.models.rollouts import PolicySampler
from rlpath.posttrain.verify import RewardFunction
from rlpath.report import page, plots
from rlpath.report.plots import Line


@dataclass(frozen=True)
class BestOf:
    """Choosing the best of n by the proxy: KL from the sampling model, mean proxy and true reward of the chosen."""

    n: int
    kl: float
    proxy: float
    true: float


def best_of_n(proxy_P_N: torch.Tensor, true_P_N: torch.Tensor, ns: Sequence[int]) -> list[BestOf]:
    """The expected reward of the best of n out of N samples of each of P prompts, over all subsets of size n.

    With samples in rising order of proxy, the i-th (from 1) is the best of C(i-1, n-1) of the C(N, n) subsets (Nakano
    et al. 2021, arXiv 2112.09332, appendix I). The KL divergence of best-of-n is log n - (n-1)/n where no two samples
    tie, else at most that (Stiennon et al. 2020, arXiv 2009.01325; Beirami et al. 2024, arXiv 2401.01879). Samples
    that tie share their true reward.
    """
    count = proxy_P_N.shape[1]
    if not all(1 <= n <= count for n in ns):
        raise ValueError(f"the best of n needs n between 1 and the {count} samples of a prompt")
    ordered, order = proxy_P_N.sort(1)
    true = _shared_among_ties(ordered, true_P_N.gather(1, order).float())
    found = []
    for n in ns:
        weights = torch.tensor([math.comb(i, n - 1) / math.comb(count, n) for i in range(count)])
        best = (ordered @ weights).mean().item(), (true @ weights).mean().item()
        found.append(BestOf(n, math.log(n) - (n - 1) / n, *best))
    return found


def _shared_among_ties(ordered_P_N: torch.Tensor, true_P_N: torch.Tensor) -> torch.Tensor:
    same_P_N_N = (ordered_P_N[:, :, None] == ordered_P_N[:, None, :]).float()
    return (same_P_N_N @ true_P_N[:, :, None])[..., 0] / same_P_N_N.sum(-1)


def sample_best_of(
    sampler: PolicySampler,
    problems: ProblemSet,
    reward: RewardFunction,
    truth: Verifier,
    decoding: Decoding,
    ns: Sequence[int],
) -> list[BestOf]:
    """`best_of_n` on completions of `problems` by the sampler as it stands."""
    groups = sampler.generate([sampler.encode(problem.prompt) for problem in problems.problems], decoding)
    proxy, true = [], []
    for problem, group in zip(problems.problems, groups, strict=True):
        prompts = [[{"role": "user", "content": problem.prompt}]] * len(group)
        proxy.append(list(reward(prompts=prompts, completions=[completion.text for completion in group])))
        true.append(
            [truth(c.text, problem.gold, question=problem.prompt, truncated=c.truncated).correct for c in group]
        )
    return best_of_n(torch.tensor(proxy), torch.tensor(true), ns)


# The picture


def overoptimization_section(curves: Mapping[int, RewardCurve], bests: Mapping[int, Sequence[BestOf]]) -> list[str]:
    """A plot, a table and the words to them, for the page of an exhibit; both by seed."""
    title = "Proxy reward and true reward over √KL from the starting model"
    points = _mean_best(bests)
    rows = [[str(best.n), f"{best.kl:.2f}", f"{best.proxy:.2f}", f"{best.true:.2f}"] for best in points]
    words = (
        "Best-of-n: the expected reward of the best of n by the reward model, over all subsets of the samples drawn; "
        "its divergence is log n - (n-1)/n nats. PPO: each step's completions, divergence by the k1 estimate, which "
        "can be below zero near the start and then counts as zero. Both are means over seeds; each seed has a reward "
        "model of its own. Proxy rewards are in standard deviations of the starting model's completions."
    )
    table = page.table(("n", "KL, nats", "proxy reward", "true reward"), rows)
    return [page.section(title, page.plots([overoptimization_plot(curves, points)]), table, page.soft(words))]


def overoptimization_plot(curves: Mapping[int, RewardCurve], points: Sequence[BestOf]) -> str:
    """Both methods, both rewards, over the square root of the divergence."""
    steps = range(min(len(curve.steps) for curve in curves.values()))
    kl = [max(0.0, _mean([curve.kl[step] for curve in curves.values()])) for step in steps]
    root = [math.sqrt(each) for each in kl]
    ppo = {name: [_mean([getattr(c, name)[step] for c in curves.values()]) for step in steps] for name in REWARDS}
    best = [math.sqrt(point.kl) for point in points]
    lines = [
        Line("PPO, proxy reward", root, ppo["proxy"], color=plots.RED),
        Line("PPO, true reward", root, ppo["true"], color=plots.GREEN),
        Line("best-of-n, proxy reward", best, [point.proxy for point in points], color=plots.ORANGE),
        Line("best-of-n, true reward", best, [point.true for point in points], color=plots.BLUE),
    ]
    return plots.line_plot("overoptimization", "Reward over √KL", lines, xlabel="√KL, nats per completion")


REWARDS = ("proxy", "true")


def best_of_rows(bests: Mapping[int, Sequence[BestOf]]) -> dict[str, list[dict[str, float]]]:
    """For a file: by seed, one row for each n."""
    return {str(seed): [asdict(best) for best in found] for seed, found in bests.items()}


def _mean_best(bests: Mapping[int, Sequence[BestOf]]) -> list[BestOf]:
    means = []
    for each in zip(*bests.values(), strict=True):
        proxy, true = _mean([best.proxy for best in each]), _mean([best.true for best in each])
        means.append(BestOf(each[0].n, each[0].kl, proxy, true))
    return means


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
