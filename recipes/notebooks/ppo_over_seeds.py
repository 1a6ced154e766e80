"""PPO over seeds: why one curve is not a result, on CartPole and on this machine in under a minute.

marimo edit recipes/notebooks/ppo_over_seeds.py
"""

import marimo

app = marimo.App()


@app.cell
def _():
    import marimo as mo

    from rlpath.core.stats import t_interval
    from rlpath.deep.ppo import Args, train

    return Args, mo, t_interval, train


@app.cell
def _(mo):
    mo.md("""
    # PPO over seeds

    The same algorithm and settings, three seeds, 8,192 steps each: far too few to solve CartPole, enough to see how
    much seeds differ.
    """)


@app.cell
def _(Args, train):
    seeds = [0, 1, 2]
    results = {seed: train(Args(seed=seed, total_timesteps=8192, checkpoint_every=0)) for seed in seeds}
    returns = {seed: result.last(20) for seed, result in results.items()}
    return results, returns


@app.cell
def _(mo, returns):
    mo.ui.table([{"seed": seed, "mean return of the last 20 episodes": value} for seed, value in returns.items()])


@app.cell
def _(returns, t_interval):
    interval = t_interval(list(returns.values()))
    return (interval,)


@app.cell
def _(interval, mo, returns):
    mo.md(f"""
    Mean {interval.estimate:.0f}, 95 % interval [{interval.low:.0f}, {interval.high:.0f}] over {len(returns)} seeds
    (Student's t). The best seed alone would have reported {max(returns.values()):.0f}. More seeds, the recorded curves
    and the comparison with other libraries: `python recipes/ppo.py --seeds 10`.
    """)


if __name__ == "__main__":
    app.run()
