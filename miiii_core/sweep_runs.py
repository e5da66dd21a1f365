"""Sweeps from the outside: many runs trained at once, each kept in a folder of its own."""

import itertools
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from .config import SWEEPABLE, Config
from .runs import SAVE_SECONDS, begin
from .storage.files import check_writable, remove_leftovers
from .storage.folders import held, refuse_occupied
from .storage.recorder import (
    Interrupted,
    Recorder,
    check_finite,
    clear_failures,
    deferred_interrupt,
)
from .storage.saved import Run, command, load
from .training.devices import DeviceName, check_memory, disk_need, find_devices
from .training.sweep import fit_many, swept_fields, usual_abreast
from .training.train import Progress, TrainingDiverged, initial_state, numerics, task_of


def products(root: Path, base: Config, changes: Mapping[str, Any]) -> dict[Path, Config]:
    """Every combination of listed values, by a folder named after the fields with several.

    Args:
        root: Where the folders are to be.
        base: Where the other fields come from.
        changes: Lists of values for fields in `SWEEPABLE`, one value for any other; None
            leaves a field alone.

    Raises:
        ValueError: if a list is empty or holds a value twice, or a value is not one.
    """
    changes = {field: value for field, value in changes.items() if value is not None}
    lists = {field: changes[field] for field in SWEEPABLE if field in changes}
    for field, values in lists.items():
        if not values or len(set(values)) < len(values):
            raise ValueError(f"{field}={values!r} will not do; it takes values, each of them once")
    common = base.replace(**{k: v for k, v in changes.items() if k not in lists})
    several = [field for field, values in lists.items() if len(values) > 1] or ["seed"]
    found = {}
    for values in itertools.product(*lists.values()):
        chosen = dict(zip(lists, values, strict=True))
        config = common.replace(**chosen)
        shown = {"seed": config.train.seed} | chosen
        parts = (f"{field}={str(shown[field]).removesuffix('.0')}" for field in several)
        found[root / ",".join(parts)] = config
    return found


def train_many(
    configs: Mapping[Path, Config],
    *,
    device: DeviceName = "auto",
    abreast: int | None = None,
    progress: bool = True,
    save_seconds: float = SAVE_SECONDS,
) -> list[Run]:
    """Train new runs at once, dealt out to all devices of a kind.

    Each becomes the run that `runs.train` would make of it, and can be resumed by itself; its
    ``run.json`` notes how many were trained at once, and the seconds are those of all together.

    Args:
        configs: What to train, by folder, each new or empty.
        device: Where to compute.
        abreast: Runs that a device steps side by side, as in `fit_many`.
        progress: Show a bar with the mean loss, speed and time left.
        save_seconds: Least time between two saves of the states.

    Returns:
        The runs, in order. One whose loss stopped being finite has the status ``diverged``
        and its last good state; the others are finished.

    Raises:
        RunError: if a folder holds a run or anything else; nothing is touched.
        ValueError: if runs differ in a field that cannot be swept, the device is not there
            or the runs do not fit.
        OSError: if a folder cannot be written or the disk has no room.
        Interrupted: on Ctrl-C; everything is saved, `runs.resume` goes on with each.
    """
    found = find_devices(device)
    swept_fields(list(configs.values()))
    with ExitStack() as locks:
        for folder, config in configs.items():
            locks.enter_context(held(folder))
            refuse_occupied(folder, config)
        _check_room(configs, found, abreast)
        with jax.default_device(found[0]), numerics(next(iter(configs.values()))):
            recorders = [_begun(folder, config, found[0]) for folder, config in configs.items()]
            for recorder in recorders:
                recorder.info["sessions"][0]["runs_at_once"] = len(recorders)
            _record(recorders, found, abreast, progress, save_seconds)
    return [load(folder) for folder in configs]


def _check_room(
    configs: Mapping[Path, Config], devices: Sequence[jax.Device], abreast: int | None
) -> None:
    """Make sure that memory and disk have room for all runs."""
    config, each = next(iter(configs.values())), -(-len(configs) // len(devices))
    most = usual_abreast(config, devices[0].platform) if abreast is None else abreast
    check_memory(config, devices[0], runs=each, abreast=min(most, each))
    for folder in configs:
        check_writable(folder, sum(map(disk_need, configs.values())))
        remove_leftovers(folder)


def _begun(folder: Path, config: Config, device: jax.Device) -> Recorder:
    return begin(config, folder, device, initial_state(config, task_of(config)))


def _record(
    recorders: Sequence[Recorder],
    devices: Sequence[jax.Device],
    abreast: int | None,
    progress: bool,
    save_seconds: float,
) -> None:
    """Train from the start to the ends, saving on the way.

    Raises:
        Interrupted: on Ctrl-C, after saving.
        OSError: if a file cannot be written; what was saved before stays.
    """
    configs, last = [recorder.config for recorder in recorders], recorders[-1].folder
    go_on = f"{command('resume', last)} and so for each run that is not finished"
    bar = tqdm(
        desc=f"{len(configs)} runs",
        total=configs[0].train.epochs,
        unit="epoch",
        disable=not progress,
    )
    with bar, deferred_interrupt() as stopped, clear_failures(str(last.parent), go_on):
        ended: set[int] = set()
        for news in fit_many(configs, devices=devices, abreast=abreast):
            ended |= {
                i for i, now in news.items() if i not in ended and not _kept(recorders[i], now)
            }
            _show(bar, news)
            going = [(recorders[i], now) for i, now in _progress(news).items() if i not in ended]
            if going and stopped.is_set():
                _save(going, "interrupted")
                raise Interrupted(f"stopped at epoch {going[0][1].epoch}; go on with: {go_on}")
            if going and going[0][0].seconds_since_save > save_seconds:
                _save(going, "running")


def _progress(news: Mapping[int, Progress | TrainingDiverged]) -> dict[int, Progress]:
    return {i: now for i, now in news.items() if isinstance(now, Progress)}


def _save(going: Sequence[tuple[Recorder, Progress]], status: str) -> None:
    for recorder, now in going:
        recorder.save(now, status)


def _kept(recorder: Recorder, now: Progress | TrainingDiverged) -> bool:
    """Record what is new of a run, and write it where it ends; whether it goes on."""
    try:
        if isinstance(now, TrainingDiverged):
            raise now
        check_finite(now)
    except TrainingDiverged:
        recorder.mark_diverged()
        return False
    recorder.record(now)
    if now.last:
        recorder.finish(now)
    return not now.last


def _show(bar: tqdm, news: Mapping[int, Progress | TrainingDiverged]) -> None:
    """Move the bar; where something was recorded, say how the runs stand on average."""
    here = _progress(news).values()
    bar.update(max((now.epoch for now in here), default=bar.n) - bar.n)
    recorded = [now.metrics["accuracy"] for now in here if now.metrics is not None]
    if recorded:
        train, validation, _ = np.mean([each.mean(axis=1) for each in recorded], axis=0)
        bar.set_postfix_str(
            f"{len(here)} going, accuracy train {train:.3f} validation {validation:.3f}"
        )
