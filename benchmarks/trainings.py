"""Trainings whose numbers travel with the book: one table of them, and one program that runs it.

    python -m benchmarks.trainings                    # the groups, and how much of each is stored
    python -m benchmarks.trainings bases              # train what is not stored yet
    python -m benchmarks.trainings bases --run my-127 # store a finished run instead
    python -m benchmarks.trainings numbers RUN ...    # measure what the ledger asks, of RUN too

Each line of ``book/results/GROUP.jsonl`` is one training, written when it is done: a program
that was stopped goes on where it stopped.
"""

import dataclasses
import json
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import click
import jax
import numpy as np
from tqdm import tqdm

from miiii_book import ledger, numbers
from miiii_book.claims import MEASURES
from miiii_book.claims.claim import CannotTell
from miiii_book.spaces import RECORDING, neighbours
from miiii_core import files, runs, train
from miiii_core.config import Config
from miiii_core.losses import GENERALISED
from miiii_core.presets import preset
from miiii_core.tasks import Task

RESULTS = Path(__file__).parent.parent / "book" / "results"
BARE: dict[str, Any] = {"probes": (), "n_snapshots": 0, "settled_share": 0.0, "eval_every": 64}
BASES = (23, 29, 31, 37, 41, 43, 47, 53, 59, 71, 83)
FORKS: tuple[dict[str, Any], ...] = (
    {}, {"dropout_mask": "shared"}, {"dropout": 0.0}, {"grokfast_start": "first"},
    {"grokfast": "ma"}, {"grokfast": "none"}, {"init": "nanda"}, {"weight_decay": 1 / 3},
    {"train_fraction": 0.7}, {"precision": "bfloat16"},
)  # fmt: skip
FAST_FORKS: tuple[dict[str, Any], ...] = (
    {"dropout": 0.0}, {"train_fraction": 0.3}, {"weight_decay": 0.0},
    {"dropout": 0.0, "weight_decay": 0.0}, {"epochs": 8192}, {"epochs": 8192, "cooldown": 0.8},
)  # fmt: skip


class Group(NamedTuple):
    """Trainings that one file of results holds."""

    about: str  #: What they are compared for
    configs: Callable[[int], list[Config]]  #: Makes the configurations of one seed
    renamed: bool = False  #: Whether the tokens of the second digit stand in random order
    until_learned: bool = False  #: Whether a training ends once all tasks are learned


def _bases(seed: int) -> list[Config]:
    common = preset("miiii-small").replace(**BARE, evals_per_octave=4, seed=seed)
    return [common.replace(p=p) for p in BASES]


def _forks(seed: int) -> list[Config]:
    # A base in which all tasks are learned within minutes, though not by every seed.
    common = preset("miiii-small").replace(p=41, epochs=4096, **BARE, evals_per_octave=1, seed=seed)
    return [common.replace(**fork) for fork in FORKS]


def _neighbours(seed: int) -> list[Config]:
    center = preset("miiii").replace(precision="bfloat16", seed=seed, **RECORDING)
    return list(neighbours(center).values())


def _curves(seed: int) -> list[Config]:
    common = [preset(name) for name in ("miiii", "no-grokfast", "miiii-fast")]
    several = common * (seed > 0) + [common[-1].replace(**fork) for fork in FAST_FORKS]
    return [one.replace(seed=seed, precision="bfloat16") for one in several]


GROUPS: dict[str, Group] = {
    "bases": Group("when each task is learned in other bases", _bases, until_learned=True),
    "renamed": Group(
        "the same with the second digit's tokens renamed", lambda seed: _bases(seed)[:9],
        renamed=True, until_learned=True,
    ),
    "shuffled": Group(
        "the same with shuffled labels, as a control of what is said of bases",
        lambda seed: [one.replace(name="basis", epochs=2048) for one in _bases(seed)[:9]],
    ),
    "shuffled-renamed": Group(
        "the same of both at once", lambda seed: GROUPS["shuffled"].configs(seed), renamed=True
    ),
    "forks": Group("what a reading of the paper costs, at p = 41", _forks),
    "neighbours": Group("one step from the paper's settings", _neighbours),
    "curves": Group("other seeds at p = 113, and what the fast recipe can do without", _curves),
}  # fmt: skip


@click.command(context_settings={"show_default": True})
@click.argument("group", type=click.Choice([*GROUPS, "numbers"]), required=False)
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path))
@click.option("--seeds", default=1, type=click.IntRange(1), help="trainings of each, from seed 0")
@click.option("--run", "kept", multiple=True, type=click.Path(path_type=Path), help="store a run")
@click.option("--out", type=click.Path(path_type=Path), help="file to write  [the book's]")
def main(
    group: str | None, folders: tuple[Path, ...], seeds: int, kept: tuple[Path, ...], out: Path
) -> None:
    """Train what a group lacks and store its numbers; without a group, list them."""
    if group is None:
        for name, one in GROUPS.items():
            known, wanted = digests(RESULTS / f"{name}.jsonl"), one.configs(0)
            there = sum(config.digest in known for config in wanted)
            click.echo(f"{name:11} {there} of {len(wanted)} stored for seed 0; {one.about}")
        return
    if group == "numbers":
        measure_numbers(folders, out or RESULTS / numbers.FILE)
        return
    path = out or RESULTS / f"{group}.jsonl"
    if kept:
        if GROUPS[group].renamed:
            raise click.ClickException(f"a run has its tokens in order, and those of {group} not")
        found, known = map(row_of_run, map(runs.load, kept)), digests(path)
        append(path, [row for row in found if row["digest"] not in known])
        return
    wanted = [config for seed in range(seeds) for config in GROUPS[group].configs(seed)]
    known = digests(path)
    for config in tqdm([one for one in wanted if one.digest not in known], unit="training"):
        append(path, [train_alone(config, GROUPS[group])])


def append(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Add lines to a file of results."""
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def digests(path: Path) -> set[str]:
    """Digests of the configurations that a file of results holds."""
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    return {json.loads(line)["digest"] for line in lines}


def renamed_task(task: Task, seed: int) -> Task:
    """The same numbers and answers, with the tokens of the digit x1 in random order.

    What is in one table for both digits no longer fits both: no wave over the tokens is one
    over x0 and over x1.
    """
    digits = np.array(task.digits)
    digits[:, 1] = np.random.default_rng(seed).permutation(task.p)[digits[:, 1]]
    return dataclasses.replace(task, digits=digits)


def train_alone(config: Config, group: Group) -> dict[str, Any]:
    """Train one configuration; returns its line."""
    began, task = time.perf_counter(), train.task_of(config)
    task = renamed_task(task, config.train.seed) if group.renamed else task
    records: dict[int, np.ndarray] = {}
    for now in train.fit(config, task, train.initial_state(config, task)):
        if now.metrics is not None:
            records[now.epoch] = now.metrics["accuracy"]
            if group.until_learned and None not in learned_at(records):
                break
    return row(config, task, records, time.perf_counter() - began)


def row_of_run(run: runs.Run) -> dict[str, Any]:
    """The line of a run that was trained by itself.

    Raises:
        click.ClickException: If the run is not a finished one of T_miiii.
    """
    if run.config.task.name != "miiii" or not run.finished:
        raise click.ClickException(f"{run.folder} is not a finished run of T_miiii")
    records = zip(map(int, run.metrics["epoch"]), run.metrics["accuracy"], strict=True)
    own = {name: run.info[name] for name in ("device", "training_version")}
    return row(run.config, run.task, dict(records), run.info["wall_seconds"]) | own


def learned_at(records: Mapping[int, np.ndarray]) -> list[int | None]:
    """The epoch at which each task was learned, of accuracies (split, task) by epoch."""
    learned = np.stack(list(records.values()))[:, 1] >= GENERALISED
    epochs = list(records)
    return [epochs[each.argmax()] if each.any() else None for each in learned.T]


def row(
    config: Config, task: Task, records: Mapping[int, np.ndarray], seconds: float
) -> dict[str, Any]:
    """The line that a training becomes, of accuracies (split, task) by epoch.

    A point of the curve is the epoch, mean accuracies in training and validation, and the least
    in validation with its modulus; then the validation accuracy of each task at the end.
    """
    curve = []
    for epoch, (trained, validation, *_) in records.items():
        means = [float(x) for x in (trained.mean(), validation.mean(), validation.min())]
        curve.append([epoch, *means, task.moduli[int(np.argmin(validation))]])
    return {
        "digest": config.digest,
        "config": json.loads(config.to_json()),
        "learned": learned_at(records),
        "last": curve[-1][0],
        "curve": curve,
        "ends": [round(float(x), 5) for x in [*records.values()][-1][1]],
        "seconds": round(seconds, 1),
        "device": jax.devices()[0].device_kind,
        "training_version": train.TRAINING_VERSION,
    }


def measure_numbers(folders: Iterable[Path], path: Path) -> None:
    """Measure what the ledger asks, of shipped and other runs and of controls in their place.

    What is stored of runs that are not here is kept.
    """
    evidence = ledger.gather([*runs.shipped_runs(), *map(runs.load, folders)])
    here = {numbers.identity(run) for several in evidence.values() for run in several}
    rows = [row for row in numbers.stored_rows() if not set(row.runs.values()) <= here]
    subjects: dict[str, numbers.Evidence] = {
        numbers.RUNS: evidence,
        numbers.SHUFFLED: evidence | dict.fromkeys(numbers.PLACES, evidence.get("basis", [])),
        numbers.UNTRAINED: {
            kind: list(map(numbers.untrained, several)) for kind, several in evidence.items()
        },
    }
    for key, several in tqdm(MEASURES.items()):
        kinds = {kind for one in several for kind in one.kinds}
        for subject, taken in subjects.items():
            unplaced, together = not kinds & set(numbers.PLACES), several[0].together
            if unplaced if subject == numbers.SHUFFLED else together:
                continue  # what is of several runs together is measured when it is asked for
            try:
                rows += ledger.measured(key, taken, subject=subject)
            except CannotTell as why:
                tqdm.write(f"{key}, {subject}: {why}")
    files.write_atomic(path, numbers.as_lines(rows).encode())


if __name__ == "__main__":
    main()
