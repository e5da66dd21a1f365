"""In which order are tasks learned in other bases? Trains a small T_miiii in each, several seeds.

    python -m benchmarks.bases                      # trains what is not stored yet; hours on a CPU
    python -m benchmarks.bases --p 43 --seeds 3     # one base, with three seeds
    python -m benchmarks.bases --renamed            # the second digit's tokens in random order
    python -m benchmarks.bases --run my-127         # what a run of yours says, of any recipe

All else than base and seed is as in the preset ``miiii-small``, but for runs. A training ends when
it has learned all tasks, or with the preset's last epoch. Every line of
``book/results/bases.jsonl``, or of ``renamed.jsonl`` beside it, is one, kept when it is done; the
chapter "Variations" shows them.
"""

import argparse
import dataclasses
import itertools
import json
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from miiii_core.claims.bases import FILE, RENAMED
from miiii_core.claims.learning import generalised_at
from miiii_core.config import Config
from miiii_core.milestones import GENERALISED
from miiii_core.presets import preset
from miiii_core.storage.provenance import code_revision, device_name
from miiii_core.storage.saved import Run, RunError, load
from miiii_core.tasks import Task
from miiii_core.training.train import fit, initial_state, task_of

from .trainings import keep, one_by_one

RESULTS = Path(__file__).parent.parent / "book" / "results"
SMALL = (23, 29, 31, 37, 41, 43, 47, 53, 59)  # a minute or two each
LARGE = (71, 83)  # up to a quarter of an hour each
RECORDING: dict[str, Any] = {
    "probes": (), "n_snapshots": 0, "settled_share": 0.0, "eval_every": 64, "evals_per_octave": 4,
}  # fmt: skip


def main() -> None:
    """Train what is not stored yet, all bases of one seed before those of the next."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--p", type=int, action="append", help=f"a base  [{SMALL + LARGE}]")
    parser.add_argument("--seeds", type=int, default=1, help="trainings in each base, from seed 0")
    parser.add_argument("--renamed", action="store_true", help="rename the second digit's tokens")
    parser.add_argument("--run", type=Path, action="append", help="keep this run, train nothing")
    parser.add_argument("--out", type=Path, help="file of lines to add to  [the book's]")
    given = parser.parse_args()
    bases = given.p or (SMALL if given.renamed else SMALL + LARGE)
    path = given.out or RESULTS / (RENAMED if given.renamed else FILE)
    if given.run:
        if given.renamed or given.p:
            parser.error("--run keeps a run as it is; --p and --renamed say what to train")
        try:
            done = {run.config: run for run in map(finished, given.run)}
        except RunError as error:
            parser.error(str(error))
        keep(path, done, lambda group: [row_of(done[group[0]])], one_by_one)
        return
    do = partial(train, renamed=given.renamed)
    keep(path, chosen(bases, range(given.seeds)), lambda group: [do(group[0])], one_by_one)


def chosen(bases: Iterable[int], seeds: Iterable[int], **changes: Any) -> list[Config]:
    """What to train.

    Args:
        bases: Primes.
        seeds: Of each.
        changes: Fields that all have otherwise, for a smaller experiment.
    """
    common = preset("miiii-small").replace(**RECORDING | changes)
    return [common.replace(p=p, seed=seed) for seed, p in itertools.product(seeds, bases)]


def finished(folder: Path) -> Run:
    """A run of T_miiii that is at its end.

    Raises:
        RunError: if it is not, or not there.
    """
    run = load(folder)
    if run.config.task.name != "miiii" or not run.finished:
        raise RunError(f"{folder} is not a finished run of T_miiii, whose bases are compared")
    return run


def row_of(run: Run) -> dict[str, Any]:
    """What `train` would have said of a run."""
    return _row(
        run.config, generalised_at(run), run.epoch, run.info["wall_seconds"], run.info["device"],
        run.info["code_revision"],
    )  # fmt: skip


def renamed_task(task: Task, seed: int) -> Task:
    """The same numbers and answers, with the tokens of the digit x1 in random order.

    What is in one table for both digits no longer fits both: no wave over the tokens is one over
    x0 and over x1.
    """
    digits = np.array(task.digits)
    digits[:, 1] = np.random.default_rng(seed).permutation(task.p)[digits[:, 1]]
    return dataclasses.replace(task, digits=digits)


def train(config: Config, *, renamed: bool = False) -> dict[str, Any]:
    """Train until all tasks are learned: the epoch of each, null for never, and of the end.

    Args:
        config: What to train.
        renamed: Whether to train on the `renamed_task`.
    """
    task, began = task_of(config), time.perf_counter()
    task = renamed_task(task, config.train.seed) if renamed else task
    learned, last = np.full(len(task.moduli), np.inf), 0
    for now in fit(config, task, initial_state(config, task)):
        if now.metrics is not None:
            validation, last = now.metrics["accuracy"][1], now.epoch
            learned[(validation >= GENERALISED) & np.isinf(learned)] = now.epoch
        if np.isfinite(learned).all():
            break
    seconds, device = time.perf_counter() - began, device_name(jax.devices()[0])
    return _row(config, learned, last, seconds, device, code_revision())


def _row(
    config: Config,
    learned: Iterable[float],
    last: int,
    seconds: float,
    device: str,
    revision: str,
) -> dict[str, Any]:
    return {
        "config": json.loads(config.to_json()),
        "learned": [int(epoch) if np.isfinite(epoch) else None for epoch in learned],
        "last": last,
        "seconds": round(seconds, 1),
        "device": device,
        "code_revision": revision,
    }


if __name__ == "__main__":
    main()
