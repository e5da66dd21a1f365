"""Does rounding move the grokking? The same seeds in float32 and with bfloat16 products.

    python -m benchmarks.precision             # five seeds of the preset miiii-small
    python -m benchmarks.precision --seeds 3 --preset nanda-small

Trains each seed twice, notes when the mean validation accuracy first reaches a level, and
writes ``precision.md``. The two differ by rounding alone: split, first weights and dropout
masks are those of the seed. Rounding is harmless here if the shift that it makes, the median
over the seeds, is smaller than the range of the float32 seeds themselves.
"""

import statistics
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np

from miiii_core.config import Config, Precision
from miiii_core.milestones import GENERALISED
from miiii_core.presets import PRESETS, preset
from miiii_core.training.sweep import fit_many
from miiii_core.training.train import Progress

TABLE = Path(__file__).with_suffix(".md")
RECORDING = {"probes": (), "n_snapshots": 0, "eval_every": 32, "evals_per_octave": 1}
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")


@click.command(context_settings={"show_default": True})
@click.option("--preset", "name", type=click.Choice(list(PRESETS)), default="miiii-small")
@click.option("--seeds", default=5, type=click.IntRange(2), help="trainings in each precision")
@click.option(
    "--level", default=GENERALISED, type=click.FloatRange(0, 1), help="mean accuracy to reach"
)
@click.option("--epochs", type=click.IntRange(1), help="how long  [the preset's]")
def main(name: str, seeds: int, level: float, epochs: int | None) -> None:
    """Compare when the same seeds grok in float32 and with bfloat16 products."""
    config = preset(name).replace(**RECORDING)
    config = config.replace(epochs=epochs or config.train.epochs)
    reached = {
        precision: grokked_at(config.replace(precision=precision), range(seeds), level)
        for precision in PRECISIONS
    }
    text = f"{introduction(name, level, config)}\n{table(reached)}\n\n{verdict(reached)}\n"
    TABLE.write_text(text)
    click.echo(text)


def grokked_at(config: Config, seeds: Sequence[int], level: float) -> list[int | None]:
    """First recorded epoch of each seed at which mean validation accuracy is at the level."""
    reached: dict[int, int] = {}
    for news in fit_many([config.replace(seed=seed) for seed in seeds]):
        for run, now in news.items():
            if isinstance(now, Progress) and now.metrics is not None and run not in reached:
                if np.mean(now.metrics["accuracy"][1]) >= level:
                    reached[run] = now.epoch
        if len(reached) == len(seeds):
            break
    return [reached.get(run) for run in range(len(seeds))]


def table(reached: dict[Precision, list[int | None]]) -> str:
    """One row a precision, one column a seed, as Markdown."""
    seeds = range(len(reached["float32"]))
    lines = ["| products in | " + " | ".join(f"seed {seed}" for seed in seeds) + " |"]
    lines.append("|" + " --- |" * (1 + len(seeds)))
    for precision, epochs in reached.items():
        lines.append(f"| {precision} | " + " | ".join(str(e or "never") for e in epochs) + " |")
    return "\n".join(lines)


def verdict(reached: dict[Precision, list[int | None]]) -> str:
    """What follows for the shift by rounding, against the range of the seeds."""
    exact, rounded = (reached[precision] for precision in PRECISIONS)
    pairs = [(a, b) for a, b in zip(exact, rounded, strict=True) if a and b]
    never = [epochs.count(None) for epochs in (exact, rounded)]
    if len(pairs) < 2:
        return f"Not decided: {never[0]} and {never[1]} of {len(exact)} seeds never got there."
    shift = statistics.median(b - a for a, b in pairs)
    spread = max(a for a, _ in pairs) - min(a for a, _ in pairs)
    within = "within" if abs(shift) <= spread and never[0] == never[1] else "beyond"
    return (
        f"Rounding shifts the epoch by {shift:+g} in the median, {within} the seeds' own range of "
        f"{spread}; {never[0]} and {never[1]} of {len(exact)} seeds never got there."
    )


def introduction(name: str, level: float, config: Config) -> str:
    """What the table holds."""
    return (
        f"# When the same seeds grok, by the precision of products\n\n"
        f"Written by `python -m benchmarks.precision`: the first epoch, recorded every "
        f"{config.train.eval_every}, at which the mean validation accuracy of {name} reached "
        f"{level}, within {config.train.epochs} epochs.\n"
    )


if __name__ == "__main__":
    main()
