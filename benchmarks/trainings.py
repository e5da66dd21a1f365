"""Trainings of which the curve is kept: a line of JSON each, and none is trained twice."""

import json
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from miiii_core.config import SWEEPABLE, Config
from miiii_core.storage.provenance import code_revision, device_name
from miiii_core.storage.results import read_lines
from miiii_core.training.sweep import fit_many
from miiii_core.training.train import Progress, TrainingDiverged, fit, initial_state, task_of


def collect(
    path: Path, configs: Iterable[Config], fields: tuple[str, ...], *, together: bool = False
) -> None:
    """Train what is not in a file yet, and append its curve to it.

    Args:
        path: As for `keep`.
        configs: What to train.
        fields: Of the configuration, to stand in each line.
        together: Whether to train all at once that one program can; a GPU is quicker so.
    """

    def rows_of(group: Sequence[Config]) -> list[dict[str, Any]]:
        rows = train_together(group) if together else [train(group[0])]
        return [
            {field: config.values[field] for field in fields} | row
            for config, row in zip(group, rows, strict=True)
        ]

    keep(path, configs, rows_of, _groups if together else one_by_one)


def keep(
    path: Path,
    configs: Iterable[Config],
    train: Callable[[Sequence[Config]], list[dict[str, Any]]],
    groups: Callable[[Iterable[Config]], list[list[Config]]],
) -> None:
    """Train what is not in a file yet, and append a line for each: stopped, it goes on.

    Args:
        path: Of lines, each a JSON object.
        configs: What to train.
        train: From some of them to what each line is to say beside the digest.
        groups: Which are trained at once.
    """
    known = {row["digest"] for row in read_lines(path)}
    for group in tqdm(groups(one for one in configs if one.digest not in known), unit="training"):
        rows = train(group)
        with path.open("a") as file:
            for config, row in zip(group, rows, strict=True):
                file.write(json.dumps({"digest": config.digest, **row}) + "\n")


def one_by_one(configs: Iterable[Config]) -> list[list[Config]]:
    """Each by itself."""
    return [[config] for config in configs]


def train(config: Config) -> dict[str, Any]:
    """Train to the end; its seed, seconds, origin and curve.

    A point of the curve is the epoch, mean accuracies in training and validation, and the
    least in validation with its modulus.
    """
    task, curve, began = task_of(config), [], time.perf_counter()
    for now in fit(config, task, initial_state(config, task)):
        if now.metrics is not None:
            curve.append(_point(now, task.moduli))
    return _row(config, curve, time.perf_counter() - began)


def train_together(configs: Sequence[Config]) -> list[dict[str, Any]]:
    """The same of runs that one program can train side by side, each with its share of the seconds.

    The curve of one that diverges ends there.
    """
    moduli, began = task_of(configs[0]).moduli, time.perf_counter()
    curves: list[list[Any]] = [[] for _ in configs]
    for news in fit_many(configs):
        for place, now in news.items():
            if not isinstance(now, TrainingDiverged) and now.metrics is not None:
                curves[place].append(_point(now, moduli))
    share = (time.perf_counter() - began) / len(configs)
    return [_row(config, curve, share) for config, curve in zip(configs, curves, strict=True)]


def _groups(configs: Iterable[Config]) -> list[list[Config]]:
    """Configurations that differ only in what one program can train side by side."""
    found: dict[Config, list[Config]] = {}
    for config in configs:
        usual = {field: Config().values[field] for field in SWEEPABLE}
        found.setdefault(config.replace(**usual), []).append(config)
    return list(found.values())


def _point(now: Progress, moduli: Sequence[int]) -> list[Any]:
    assert now.metrics is not None
    trained, validation = now.metrics["accuracy"][:2]
    means = [float(x) for x in (trained.mean(), validation.mean(), validation.min())]
    return [now.epoch, *means, moduli[int(np.argmin(validation))]]


def _row(config: Config, curve: list[Any], seconds: float) -> dict[str, Any]:
    origin = {"device": device_name(jax.devices()[0]), "code_revision": code_revision()}
    return {"seed": config.train.seed, "seconds": round(seconds, 1), **origin, "curve": curve}


def markdown(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table in Markdown."""
    head = list(head)
    lines = ["| " + " | ".join(row) + " |" for row in (head, *rows)]
    return "\n".join([lines[0], "|" + " --- |" * len(head), *lines[1:]]) + "\n"
