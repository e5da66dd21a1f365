"""Short trainings that are kept: a line of JSON each, and none is trained twice."""

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from miiii_core.config import Config
from miiii_core.milestones import GENERALISED, first_epoch
from miiii_core.training.train import fit, initial_state, task_of


def collect(path: Path, configs: Iterable[Config], fields: tuple[str, ...]) -> None:
    """Train what is not in a file yet, and append a line for each: stopped, it goes on.

    Args:
        path: Of lines as `read` returns them.
        configs: What to train.
        fields: Of the configuration, to stand in each line.
    """
    known = {row["digest"] for row in read(path)}
    for config in tqdm([c for c in configs if c.digest not in known], unit="training"):
        row = train(config)
        row = {"digest": row["digest"], **{f: config.values[f] for f in fields}, **row}
        with path.open("a") as file:
            file.write(json.dumps(row) + "\n")


def train(config: Config) -> dict[str, Any]:
    """Train to the end; its digest, seed, seconds and curve.

    A point of the curve is the epoch, mean accuracies in training and validation, and the
    least in validation with its modulus.
    """
    task, curve, began = task_of(config), [], time.perf_counter()
    for now in fit(config, task, initial_state(config, task)):
        if now.metrics is not None:
            trained, validation = now.metrics["accuracy"][:2]
            means = [float(x) for x in (trained.mean(), validation.mean(), validation.min())]
            curve.append([now.epoch, *means, task.moduli[int(np.argmin(validation))]])
    seconds = round(time.perf_counter() - began, 1)
    return {
        "digest": config.digest, "seed": config.train.seed, "seconds": seconds, "curve": curve
    }  # fmt: skip


def read(path: Path) -> list[dict[str, Any]]:
    """Every training that a file has."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


def passed_at(row: dict[str, Any]) -> int | None:
    """First epoch at which the mean validation accuracy is `GENERALISED`; None for never."""
    epochs, _, means, *_ = zip(*row["curve"], strict=True)
    return first_epoch(np.array(epochs, int), np.array(means, float), GENERALISED)


def markdown(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table in Markdown."""
    head = list(head)
    lines = ["| " + " | ".join(row) + " |" for row in (head, *rows)]
    return "\n".join([lines[0], "|" + " --- |" * len(head), *lines[1:]]) + "\n"
