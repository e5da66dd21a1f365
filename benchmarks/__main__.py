"""Print the benchmark: ``python -m benchmarks``, or ``make bench``."""

import os
import statistics
import sys
from timeit import timeit

import click
import jax

from miiii_core import batch, train
from miiii_core.config import Config
from miiii_core.presets import preset

from . import steps, timing


@click.command(context_settings={"show_default": True})
@click.option("--preset", "names", multiple=True, default=("miiii-small", "miiii"), help="what")
@click.option("--rounds", default=5, type=click.IntRange(1), help="turns that each version takes")
@click.option("--seconds", default=2.0, type=click.FloatRange(0.01), help="length of a turn")
@click.option("--runs", default=4, type=click.IntRange(0), help="runs in a batch; 0 for no batch")
def main(names: tuple[str, ...], rounds: int, seconds: float, runs: int) -> None:
    """Compare our training step with others, and a batch of runs with one run."""
    click.echo(f"device        {jax.devices()[0].device_kind}, {os.cpu_count()} cores")
    click.echo(f"versions      jax {jax.__version__}, python {sys.version.split()[0]}")
    click.echo(f"load          {os.getloadavg()[0]:.1f}")
    if problem := steps.why_no_torch():
        click.echo(f"torch         {problem}")
    for name in names:
        click.echo(f"\n{name}")
        report(steps.compare(preset(name), rounds, seconds), preset(name).train.epochs)
    if runs:
        click.echo(f"\n{names[0]}: a run in a batch of {runs} costs, relative to a run alone")
        click.echo(f"  {batch_cost(preset(names[0]), runs, rounds):.2f} of the time of an epoch")


def report(found: steps.Comparison, epochs: int) -> None:
    """Print one comparison."""
    for name, rates in found.rates.items():
        cells = [f"{1e3 / statistics.median(rates):9.2f} ms an epoch"]
        if not name.startswith("ours"):
            cells += [
                f"ours {precision} is {timing.ratio(found.rates[f'ours {precision}'], rates)} times"
                for precision in steps.PRECISIONS
            ]
        click.echo(f"  {name:15}" + ", ".join(cells))
    for precision, reached in found.products.items():
        click.echo(f"  products       {precision}: {reached} of a large square product")
    for name, difference in found.differences.items():
        click.echo(f"  agreement      {name}: gradient within {difference:.0e} in float64")
    step = 1 / statistics.median(found.rates["ours float32"])
    spent = sum(cost * times for cost, times in found.evaluations.values())
    share = spent / (spent + step * epochs)
    for name, (cost, times) in found.evaluations.items():
        click.echo(f"  evaluation     {name}: {1e3 * cost:.0f} ms, {times} times a run")
    click.echo(f"  evaluation     {share:.1%} of a run in float32")


def batch_cost(config: Config, runs: int, rounds: int) -> float:
    """Time of an epoch in a batch, per run, over that of a run alone."""
    config = config.replace(probes=(), n_snapshots=0, epochs=256, eval_every=256)
    seeds = [config.replace(seed=seed) for seed in range(runs)]

    def together() -> None:
        for _ in batch.fit_many(seeds):
            pass

    def alone() -> None:
        task = train.task_of(config)
        for _ in train.fit(config, task, train.initial_state(config, task)):
            pass

    turns = [(timeit(together, number=1), timeit(alone, number=1)) for _ in range(rounds + 1)]
    return statistics.median(a / runs / b for a, b in turns[1:])  # the first turn compiles


if __name__ == "__main__":
    main()
