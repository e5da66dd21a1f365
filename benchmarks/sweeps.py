"""What a run costs among others: sweeps of several sizes against a run by itself."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

from miiii_core.config import Config
from miiii_core.training import train
from miiii_core.training.sweep import Together

from . import timing
from .timing import Contender


def sweep_rows(
    config: Config, sizes: Sequence[int], rounds: int, seconds: float
) -> list[dict[str, Any]]:
    """The cost of a run in sweeps of so many, runs taking turns and side by side.

    Args:
        config: The experiment; its runs differ in their seeds.
        sizes: Runs in each sweep.
        rounds: How often each gets its turn.
        seconds: About how long a turn takes.

    Returns:
        One row a sweep: ``runs``, how many of them go ``abreast``, what compiling took, ``ms``
        per epoch and run, and that relative to a run by itself, ``ratio`` by the clock and
        ``ratio_cpu`` in processor time, from turns that stood side by side.
    """
    task = train.task_of(config)
    problem, state = train.Problem.of(config, task), train.initial_state(config, task)
    alone = timing.contender("alone", train.advance, problem, state)
    kinds = [(runs, abreast) for runs in sizes for abreast in sorted({1, runs})]
    sweeps = [_sweep(config, runs, abreast) for runs, abreast in kinds]
    turns = timing.take_turns([alone, *sweeps], rounds, seconds)
    rows = [{"runs": 1, "compile_s": alone.compile_s, "ms": 1e3 / timing.rate(turns["alone"])}]
    for (runs, abreast), one in zip(kinds, sweeps, strict=True):
        mine = turns[one.name]
        rows.append(
            {
                "runs": runs,
                "abreast": abreast,
                "compile_s": one.compile_s,
                "ms": 1e3 / runs / timing.rate(mine),
                "ratio": timing.ratio(turns["alone"], mine, 1 / runs),
                "ratio_cpu": timing.ratio(turns["alone"], mine, 1 / runs, "cpu"),
            }
        )
    return rows


def sweeps_report(rows: Sequence[dict[str, Any]]) -> str:
    """The table, relative to a run by itself."""
    return "\n".join(
        [
            "cost of a run among others, relative to a run by itself",
            f"{'runs':>9} {'abreast':>9} {'compile s':>9} {'ms/epoch/run':>12}"
            "   by the clock         in processor time",
            *map(_line, rows),
        ]
    )


def _line(row: dict[str, Any]) -> str:
    beside = row.get("abreast", "alone")
    cells = f"{row['runs']:>9} {beside:>9} {row['compile_s']:>9.1f} {row['ms']:>12.2f}"
    return "   ".join([cells, *_ratios(row)])


def _ratios(row: dict[str, Any]) -> Iterator[str]:
    for median, least, most in (row[key] for key in ("ratio", "ratio_cpu") if key in row):
        yield f"{median:.2f} ({least:.2f} - {most:.2f})"


def _sweep(config: Config, runs: int, abreast: int) -> Contender:
    """A sweep over seeds, compiled."""
    together = Together.of([config.replace(seed=seed) for seed in range(runs)], None, abreast)

    def steps(n: int) -> float:
        began = time.perf_counter()
        together.advance(n)  # waits for the losses
        return time.perf_counter() - began

    return Contender(f"{runs} runs, {abreast} abreast", steps, steps(1) - steps(1))
