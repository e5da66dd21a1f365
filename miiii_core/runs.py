"""Runs from the outside: train one, resume it, or get it from the cache."""

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax

from .config import Config
from .presets import nearest_preset, preset, train_command
from .storage.files import check_writable, remove_leftovers
from .storage.folders import (
    folder_named,
    held,
    place_among,
    refuse_occupied,
    runs_root,
    set_aside,
)
from .storage.metrics import Metrics
from .storage.provenance import now_utc, session, training_code_digest
from .storage.recorder import Recorder, record_training
from .storage.saved import (
    FORMAT,
    Run,
    RunError,
    command,
    load,
    load_state,
    recorded,
    save_info,
    save_state,
    save_weights,
    verify,
)
from .storage.shipped import find_shipped
from .training.devices import DeviceName, check_memory, disk_need, find_device, time_in_words
from .training.probes import metric_axes
from .training.train import TrainState, initial_state, numerics, task_of

SAVE_SECONDS = 20.0
LARGE_P = 100
RUN_FILES = ("run.json", "metrics.npz", "weights.npz", "state.npz")


def train(
    config: Config,
    folder: Path | str,
    *,
    device: DeviceName = "auto",
    progress: bool = True,
    save_seconds: float = SAVE_SECONDS,
) -> Run:
    """Train a new run into a folder.

    Args:
        config: The experiment.
        folder: New or empty.
        device: Where to compute.
        progress: Show a bar with loss, worst task, speed and time left.
        save_seconds: Least time between two saves of the state.

    Raises:
        RunError: if the folder holds a run or anything else; nothing is touched.
        ValueError: if the device is not there or the experiment does not fit.
        OSError: if the folder cannot be written or the disk has no room.
        TrainingDiverged: if the loss stops being finite; the last good state is kept.
        Interrupted: on Ctrl-C; everything is saved, `resume` goes on.
    """
    with held(Path(folder)):
        return _start(config, Path(folder), device, progress, save_seconds)


def resume(
    folder: Path | str,
    *,
    device: DeviceName = "auto",
    progress: bool = True,
    save_seconds: float = SAVE_SECONDS,
) -> Run:
    """Go on with a run that was interrupted or killed; the result is the uninterrupted one's.

    Code that has changed in between may lead elsewhere; then a line on stderr says so.

    Raises:
        RunError: if there is no run, it is damaged or finished, or what it recorded goes by
            other names now.
        ValueError, OSError, TrainingDiverged, Interrupted: as `train`.
    """
    load(folder)  # before a lock is put beside a folder that holds no run
    with held(Path(folder)):
        return _go_on(load(folder), device, progress, save_seconds)


def cached(which: str | Path | Config, *, progress: bool = True, **overrides: Any) -> Run:
    """A finished run: loaded if it is there, else trained once and kept.

    One that is shipped with the repository is taken as it is, in whatever precision it was
    trained unless one is asked for. Others are kept under
    `runs_root` by digest: trained again if they are damaged or the code that trains has
    changed since, and resumed if interrupted. What is trained again is moved to ``replaced``
    before, and a line on stderr says so. At a p of 100 or more, where training can take
    hours, nothing is trained unasked and nothing moved.

    Args:
        which: A configuration, a preset's name, or the folder of a run: `folder_named`.
        progress: Show a bar if it has to be trained.
        overrides: Fields to change, as in `Config.replace`; None leaves a field alone.

    Raises:
        ValueError: for an unknown preset or field, or a name that is a preset's and a folder's.
        RunError: if a folder was given and it holds no finished run, a large run is
            not there, or a shipped one is damaged; says what to do.
    """
    changes = {name: value for name, value in overrides.items() if value is not None}
    if not isinstance(which, Config):
        if (own := folder_named(which)) is not None:
            return _finished(load(own), changes)
        which = str(which)
    folder, config = cache_folder(which, **changes)
    if (shipped := find_shipped(config, rounded="precision" not in changes)) is not None:
        return shipped
    if config.task.p >= LARGE_P:
        return _trained_before(folder, config)
    with held(folder, wait=True):
        if folder.exists() and (why := _why_anew(folder)):
            print(f"{why}; moved to {set_aside(folder)}, and trained anew", file=sys.stderr)
        if not folder.exists():
            return _start(config, folder, "auto", progress, SAVE_SECONDS)
        run = load(folder)
        return run if run.finished else _go_on(run, "auto", progress, SAVE_SECONDS)


def cache_folder(which: str | Config, **overrides: Any) -> tuple[Path, Config]:
    """Where `cached` keeps a run, and the configuration it has; raises what it raises."""
    try:
        usual = which if isinstance(which, Config) else preset(which)
    except ValueError as error:
        raise ValueError(f"{error}; and there is no folder of that name") from error
    config = usual.replace(**overrides)
    return place_among(runs_root(), nearest_preset(config)[0], config.digest), config


def find_runs(root: Path, *, verified: bool = False) -> Iterator[Run | RunError]:
    """Every run directly below a folder, by name; one that cannot be read comes as its error.

    A folder with the files of a run but without its ``run.json`` is a damaged run.

    Args:
        root: Folder of runs.
        verified: Read every file of each run, not only what a list needs.
    """
    for folder in sorted(
        {path.parent for name in RUN_FILES for path in root.glob(f"[!.]*/{name}")}
    ):
        try:
            run = load(folder)
            verify(run) if verified else recorded(run)
            yield run
        except RunError as error:
            yield error


def _start(
    config: Config, folder: Path, device: DeviceName, progress: bool, save_seconds: float
) -> Run:
    """Train a new run into a folder that is locked."""
    refuse_occupied(folder, config)
    target = find_device(device)
    check_memory(config, target)
    check_writable(folder, disk_need(config))
    remove_leftovers(folder)
    with jax.default_device(target), numerics(config):
        task = task_of(config)
        state = initial_state(config, task)
        recorder = begin(config, folder, target, state)
        record_training(recorder, task, state, progress=progress, save_seconds=save_seconds)
    return load(folder)


def begin(config: Config, folder: Path, device: jax.Device, state: TrainState) -> Recorder:
    """A recorder for a new run, whose first state is on disk from here on."""
    info = _first_info(config, device)
    save_info(folder, info)
    save_state(folder, config, state)
    save_weights(folder / "weights.npz", config, state.model)
    return Recorder(folder, config, info, None)


def _go_on(run: Run, device: DeviceName, progress: bool, save_seconds: float) -> Run:
    """Train a run to its end in a folder that is locked."""
    if run.finished:
        raise RunError(f"{run.folder} is finished at epoch {run.epoch}: there is nothing to resume")
    target = find_device(device)
    check_memory(run.config, target)
    check_writable(run.folder, disk_need(run.config))
    remove_leftovers(run.folder)
    with jax.default_device(target), numerics(run.config):
        state, metrics = _where_it_stopped(run)
        _warn_of_other_code(run)
        info = run.info | {"status": "running", "updated": now_utc()}
        info["sessions"] = [*run.info["sessions"], session(target, int(state.epoch))]
        save_info(run.folder, info)
        recorder = Recorder(run.folder, run.config, info, metrics)
        record_training(recorder, run.task, state, progress=progress, save_seconds=save_seconds)
    return load(run.folder)


def _where_it_stopped(run: Run) -> tuple[TrainState, Metrics | None]:
    """The last saved state and what was recorded up to it.

    A crash between two saves can leave rows beyond the state; they are recorded anew.
    One before the first save leaves nothing to go on from; the run starts again.
    """
    if run.epoch == 0 and not (run.folder / "state.npz").exists():
        return initial_state(run.config, run.task), None
    state = load_state(run)
    epoch = int(state.epoch)
    if not epoch:
        return state, None
    if renamed := set(run.metrics) ^ set(metric_axes(run.config)):
        raise RunError(
            f"{run.folder} was begun by code that records otherwise: only one of the two records "
            f"{', '.join(sorted(renamed))}. Go on with the code that began it, revision "
            f"{run.info['code_revision']}, or train it anew into another folder"
        )
    return state, run.metrics.until(epoch)


def _warn_of_other_code(run: Run) -> None:
    """Say so where the code has changed since a run was last trained."""
    last = run.info["sessions"][-1]
    if last["code_digest"] != training_code_digest():
        print(
            f"{run.folder} was trained so far by other code (revision {last['code_revision']}); "
            "its end may not be that of an uninterrupted run",
            file=sys.stderr,
        )


def _finished(run: Run, changes: dict[str, Any]) -> Run:
    if changes and run.config.replace(**changes) != run.config:
        raise RunError(f"{run.folder} is a run of its own and cannot be changed by {changes}")
    if not run.finished:
        raise RunError(
            f"{run.folder} stopped at epoch {run.epoch}; "
            f"go on with: {command('resume', run.folder)}"
        )
    return run


def _trained_before(folder: Path, config: Config) -> Run:
    """A large run from the cache, as it is."""
    if not folder.exists():
        raise RunError(
            f"the run {folder.name} (p={config.task.p}, {config.train.epochs} epochs) is not here: "
            "it is neither trained nor among the runs shipped in book/runs of a clone of the "
            f"repository. To train it, about {time_in_words(config)}, type: {train_command(config)}"
        )
    run = _finished(load(folder), {})
    verify(run)
    if run.info["code_digest"] != training_code_digest():
        raise RunError(
            f"{folder} was trained by other code than this. To use it all the same, move it "
            f"elsewhere and name that folder; to train it again, move it and type: "
            f"{train_command(config)}"
        )
    return run


def _why_anew(folder: Path) -> str:
    """Why a cached run will not do; nothing if it is whole and of the code as it is now."""
    try:
        run = load(folder)
        verify(run)
    except RunError as error:
        return str(error)
    same = run.info["code_digest"] == training_code_digest()
    return "" if same else f"{folder} was trained by other code than this"


def _first_info(config: Config, device: jax.Device) -> dict[str, Any]:
    first = session(device, 0)
    return {
        "format": FORMAT,
        "status": "running",
        "epoch": 0,
        "settled_since": -1,
        "digest": config.digest,
        "seed": config.train.seed,
        **{key: value for key, value in first.items() if key != "from_epoch"},
        "updated": first["started"],
        "wall_seconds": 0.0,
        "sessions": [first],
        "config": dataclasses.asdict(config),
    }
