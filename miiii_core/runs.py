"""Runs as folders: train one, resume it, read it back, or get it from the cache.

===================  ===========================================================================
``run.json``         configuration, status, provenance, names of the recorded axes; of a
                     finished run the SHA-256 of every other file
``metrics.npz``      what was recorded on the way, an array by name
``weights.npz``      the nine weight matrices in float32, once the run is finished
``snapshots/``       weights at log-spaced epochs, in float16, or as int8 ``W_E`` whose rows
                     are to be multiplied by ``W_E.scale``: ``snapshots`` in run.json says which
``state.eqx``        weights and state of the optimiser, only while the run is unfinished
===================  ===========================================================================

A save writes metrics, then the state, then ``run.json``. A process that is killed in between
leaves a state that knows its own epoch, and rows of metrics beyond it that are recorded anew.
"""

import dataclasses
import hashlib
import io
import json
import os
import platform
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import cache, cached_property
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import Any, Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float
from tqdm import tqdm

from .batch import batch_fields, fit_many
from .config import Config, Precision, differences
from .files import (
    FileDamaged,
    check_writable,
    held,
    is_leftover,
    load_arrays,
    load_json,
    read_whole,
    remove_leftovers,
    save_arrays,
    save_json,
    write_atomic,
)
from .model import WEIGHT_NAMES, Activations, Transformer, weight_type
from .presets import PRESETS, nearest_preset, preset, train_command
from .probes import metric_axes
from .schedule import GENERALISED, NEVER, first_epoch, snapshot_epochs, tick_epochs
from .tasks import SPLITS, Task, primes_below
from .train import (
    TRAINING_VERSION,
    Progress,
    TrainingDiverged,
    TrainState,
    fit,
    initial_state,
    numerics,
    task_of,
)

FORMAT = 3
SAVE_SECONDS = 20.0
LARGE_P = 100  # from this p on a training can take hours, and is never started unasked
OVERHEAD = 700_000_000  # bytes of Python, JAX and its compiler; measured on a CPU: 610 MB
MARGIN = 1_000_000  # bytes of run.json and of the headers of arrays
CONTAINER_LIMITS = tuple(
    Path("/sys/fs/cgroup", name) for name in ("memory.max", "memory/memory.limit_in_bytes")
)
DeviceName = Literal["auto", "cpu", "gpu"]
News = Iterable[Mapping[int, Progress | TrainingDiverged]]


class RunError(Exception):
    """A run that is missing, damaged, of another format, or not what was asked for."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C in training; says what was saved and how to go on."""


class Metrics(Mapping[str, np.ndarray]):
    """What a run has recorded: arrays by name, the first axis of each the epoch of the record.

    ``epoch`` holds the epochs at which most is recorded, ``wide_epoch`` the fewer ones of maps
    and tables.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], axes: Mapping[str, Sequence[str]]):
        """Wrap arrays.

        Args:
            arrays: Arrays by name.
            axes: Names of the axes of each array; the first names the array of its epochs.
        """
        self._arrays, self.axes = dict(arrays), {name: tuple(own) for name, own in axes.items()}

    def __getitem__(self, name: str) -> np.ndarray:
        """Return one array; an unknown name lists the known ones."""
        if name not in self._arrays:
            raise KeyError(f"{name!r} was not recorded; recorded are {sorted(self._arrays)}")
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self._arrays)

    def __len__(self) -> int:
        """Return the number of arrays."""
        return len(self._arrays)

    def split(self, name: str, split: str) -> np.ndarray:
        """Return one split of an array with axes (epoch, split, task), as (epoch, task)."""
        return self[name][:, SPLITS.index(split)]

    def until(self, epoch: int) -> "Metrics":
        """Return only what was recorded up to an epoch."""
        early = {n: a[self[self.axes[n][0]] <= epoch] for n, a in self.items()}
        return Metrics(early, self.axes)


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """A run read from its folder; arrays are read, and checked, when they are asked for.

    Attributes:
        folder: Where it lies.
        info: The content of ``run.json``.
        config: What was trained.
    """

    folder: Path
    info: dict[str, Any]
    config: Config

    @property
    def finished(self) -> bool:
        """Whether it trained to its end: its last epoch, or all tasks settled before."""
        return self.info["status"] == "finished"

    @property
    def epoch(self) -> int:
        """Number of epochs trained by the last save."""
        return int(self.info["epoch"])

    @property
    def stopped_early(self) -> bool:
        """Whether it ended before its last epoch because all tasks had settled."""
        return self.finished and self.epoch < self.config.train.epochs

    @cached_property
    def task(self) -> Task:
        """The data, split as in training."""
        return task_of(self.config)

    @cached_property
    def metrics(self) -> Metrics:
        """What was recorded; nothing yet if the run was stopped before its first save."""
        path, axes = self.folder / "metrics.npz", self.info["axes"]
        if self.epoch == 0 and not path.exists():
            return Metrics({}, {})
        arrays = self._arrays("metrics.npz")
        if set(arrays) != set(axes):
            raise RunError(f"{path} is damaged: it lacks or adds {sorted(set(arrays) ^ set(axes))}")
        return Metrics(arrays, axes)

    @cached_property
    def model(self) -> Transformer:
        """The trained weights; of an unfinished run, those of its last save."""
        return self._weights("weights.npz") if self.finished else _state(self).model

    def activations(self) -> Activations:
        """Compute what the trained model does with every input; 0.3 GB at the paper's size."""
        return self.model.activations(jnp.asarray(self.task.digits))

    @cached_property
    def snapshot_epochs(self) -> tuple[int, ...]:
        """Epochs whose weights were kept, ascending; the last one's are the trained weights."""
        found = {int(Path(name).stem) for name in _snapshots(self.folder)}
        ends = self.finished and self.config.train.n_snapshots
        return tuple(sorted(found | ({self.epoch} if ends else set())))

    def snapshot(self, epoch: int) -> Transformer:
        """Return the weights as they were at an epoch.

        Raises:
            RunError: if none were kept there; the error lists the epochs that were.
        """
        if epoch not in self.snapshot_epochs:
            raise RunError(f"no snapshot of epoch {epoch}; there are {self.snapshot_epochs}")
        return self.model if epoch == self.epoch else self._weights(_snapshot(epoch))

    def learned_at(self, level: float = GENERALISED) -> Float[np.ndarray, " tasks"]:
        """Return the epoch at which each task first had a validation accuracy, `NEVER` if not.

        Args:
            level: The accuracy, in (0, 1].
        """
        accuracy = self.metrics.split("accuracy", "validation")
        found = [first_epoch(self.metrics["epoch"], task, level) for task in accuracy.T]
        return np.array([NEVER if epoch is None else epoch for epoch in found], float)

    def _arrays(self, name: str) -> dict[str, np.ndarray]:
        known = self.info["files"]
        if self.finished and name not in known:
            raise RunError(f"{self.folder / name} is not one of the files that run.json lists")
        try:
            return load_arrays(self.folder / name, known.get(name))
        except FileDamaged as error:
            raise RunError(f"{error}; restore the file, or train the run again") from error

    def _weights(self, name: str) -> Transformer:
        arrays, blank = self._arrays(name), _blank(self).model
        found = [_unscaled(arrays, own) for own in WEIGHT_NAMES if own in arrays]
        wanted = [getattr(blank, own) for own in WEIGHT_NAMES]
        if [array.shape for array in found] != [array.shape for array in wanted]:
            shapes = {name: array.shape for name, array in arrays.items()}
            raise RunError(f"{self.folder / name} holds other matrices than its model: {shapes}")
        weights = [jnp.asarray(array, jnp.float32) for array in found]
        return eqx.tree_at(lambda model: [getattr(model, n) for n in WEIGHT_NAMES], blank, weights)


def load(folder: Path | str) -> Run:
    """Read a run's ``run.json``.

    Raises:
        RunError: if there is no run, or it is damaged or of another format.
    """
    folder = Path(folder)
    path = folder / "run.json"
    if not path.is_file():
        raise RunError(f"there is no run in {folder}, which has no run.json; name another folder")
    try:
        info = load_json(path)
        if info["format"] != FORMAT:
            raise RunError(
                f"{folder} is of format {info['format']} and this version reads format {FORMAT}; "
                "train it again, or use the version of miiii_core that wrote it"
            )
        config = Config.from_json(json.dumps(info["config"]))
        if info.pop("checksum") != _checksum(info) or config.digest != info["digest"]:
            raise RunError(f"{path} was altered: its checksum does not fit its content")
    except (FileDamaged, KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunError(f"{path} is damaged: {error}") from error
    return Run(folder, info, config)


def verify(run: Run) -> None:
    """Read every file that a run should have by now.

    Raises:
        RunError: at the first that is missing or damaged.
    """
    _ = run.metrics
    snapshots = _snapshots(run.folder)
    if not run.finished:
        _ = run.model
    for name in run.info["files"] if run.finished else snapshots:
        run._arrays(name)
    if run.finished and (extra := set(snapshots) - set(run.info["files"])):
        raise RunError(f"{run.folder} has {sorted(extra)}, which run.json does not list")


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
        folder: The folder, new or empty.
        device: Where to compute.
        progress: Whether to show a bar with accuracies, speed and time left.
        save_seconds: Least time between two saves of the state.

    Raises:
        RunError: if the folder holds a run or anything else; nothing is touched.
        ValueError: if the device is not there or the experiment does not fit.
        OSError: if the folder cannot be written, is held by another process, or lacks room.
        TrainingDiverged: if the loss stops being finite; the last good state is kept.
        Interrupted: on Ctrl-C; everything is saved, and `resume` goes on.
    """
    folder, target = Path(folder), find_devices(device)[0]
    with held(folder):
        return _start(config, folder, target, progress, save_seconds)


def train_many(
    configs: Mapping[Path, Config],
    *,
    device: DeviceName = "auto",
    progress: bool = True,
    save_seconds: float = SAVE_SECONDS,
) -> list[Run]:
    """Train new runs at once as one program, spread over all devices of a kind.

    Each becomes the run that `train` would make of it, to rounding, and can be resumed alone.
    The seconds in its ``run.json`` are those of all together.

    Args:
        configs: What to train, by folder, each new or empty. They may differ in the fields of
            `config.BATCHABLE`.
        device: Where to compute.
        progress: Whether to show a bar with accuracies, speed and time left.
        save_seconds: Least time between two saves of the states.

    Returns:
        The runs, in order. One whose loss stopped being finite has the status ``diverged``
        and its last good state.

    Raises:
        RunError, ValueError, OSError, Interrupted: as `train`.
    """
    every, targets = list(configs.values()), find_devices(device)
    batch_fields(every)
    with ExitStack() as locks:
        for folder in configs:
            locks.enter_context(held(folder))
        recorders = _ready(configs, targets)
        with jax.default_device(targets[0]), numerics(every[0]):
            _record_all(recorders, fit_many(every, devices=targets), progress, save_seconds)
    return [load(folder) for folder in configs]


def resume(
    folder: Path | str,
    *,
    device: DeviceName = "auto",
    progress: bool = True,
    save_seconds: float = SAVE_SECONDS,
) -> Run:
    """Go on with a run that was interrupted or killed; the result is the uninterrupted one's.

    If the run was begun by code of another training version, its end may be another, and a
    line on stderr says so.

    Args:
        folder: The run's folder.
        device: Where to compute.
        progress: Whether to show a bar with accuracies, speed and time left.
        save_seconds: Least time between two saves of the state.

    Raises:
        RunError: if there is no run, it is damaged or finished, or was recorded otherwise.
        ValueError, OSError, TrainingDiverged, Interrupted: as `train`.
    """
    load(folder)  # before a lock is put beside a folder that holds no run
    with held(Path(folder)):
        return _go_on(load(folder), find_devices(device)[0], progress, save_seconds)


def cached(which: str | Path | Config, *, progress: bool = True, **overrides: Any) -> Run:
    """Return a finished run: loaded if it is there, else trained once and kept.

    A run that is shipped with the repository is taken, in whatever precision it was trained
    unless one is asked for. Others are kept in `runs_root` by digest: resumed if interrupted,
    and trained again if damaged or of another training version; the old one is moved to
    ``replaced`` first. At a p of 100 or more nothing is trained unasked, and nothing is moved.

    Args:
        which: A configuration, a preset's name, or the folder of a run. A path is always a
            folder; a text is one if there is such a folder and no such preset.
        progress: Whether to show a bar if the run has to be trained.
        overrides: Fields to change, as in `Config.replace`; None leaves a field alone.

    Raises:
        ValueError: for an unknown preset or field, or a name that is a preset's and a run's.
        RunError: if a folder was given that holds no finished run, if a large run is not
            there, or if a shipped one is damaged; the error says what to do.
    """
    changes = {name: value for name, value in overrides.items() if value is not None}
    if not isinstance(which, Config) and (own := _folder_named(which)) is not None:
        return _finished(load(own), changes)
    folder, config = cache_folder(which if isinstance(which, Config) else str(which), **changes)
    if (shipped := _find_shipped(config, rounded="precision" not in changes)) is not None:
        return shipped
    if config.task.p >= LARGE_P:
        return _trained_before(folder, config)
    with held(folder, wait=True):
        if folder.exists() and (why := _why_anew(folder)):
            print(f"{why}; moved to {_set_aside(folder)}, and trained anew", file=sys.stderr)
        target = find_devices("auto")[0]
        if not folder.exists():
            return _start(config, folder, target, progress, SAVE_SECONDS)
        run = load(folder)
        return run if run.finished else _go_on(run, target, progress, SAVE_SECONDS)


def cache_folder(which: str | Config, **overrides: Any) -> tuple[Path, Config]:
    """Return where `cached` keeps a run, whatever it was called before, and its configuration.

    Raises:
        ValueError: for an unknown preset or field, or a value that a field does not take.
    """
    if isinstance(which, str) and which not in PRESETS:
        names = ", ".join(sorted(PRESETS))
        raise ValueError(f"{which!r} is neither a preset nor a folder; presets are {names}")
    config = (which if isinstance(which, Config) else preset(which)).replace(**overrides)
    root, usual = runs_root(), f"{nearest_preset(config)[0]}-{config.digest}"
    if (root / usual).exists():
        return root / usual, config
    return next(iter(sorted(root.glob(f"[!.]*-{config.digest}"))), root / usual), config


def find_runs(root: Path, *, verified: bool = False) -> Iterator[Run | RunError]:
    """Iterate over the runs directly below a folder; one that cannot be read comes as its error.

    Args:
        root: Folder of runs.
        verified: Whether to read every file of each run, or only what a list shows.
    """
    files = ("run.json", "metrics.npz", "weights.npz", "state.eqx")
    for folder in sorted({path.parent for name in files for path in root.glob(f"[!.]*/{name}")}):
        try:
            run = load(folder)
            verify(run) if verified else run.metrics
            yield run
        except RunError as error:
            yield error


def runs_root() -> Path:
    """Return the folder of cached runs: ``$MIIII_RUNS``, or ``_runs`` in the book's folder.

    Outside the book it is ``_runs`` in the working folder.
    """
    return Path(os.environ.get("MIIII_RUNS") or (_book_folder() or Path.cwd()) / "_runs")


def shipped_root() -> Path | None:
    """Return the folder of shipped runs: ``$MIIII_SHIPPED``, or ``book/runs`` where the book is.

    Returns:
        The folder; None outside the book, as after a bare ``pip install``.
    """
    if "MIIII_SHIPPED" in os.environ:
        return Path(os.environ["MIIII_SHIPPED"])
    return home / "book" / "runs" if (home := _book_folder()) else None


def shipped_runs() -> list[Run]:
    """Return all shipped runs, by name of their folders.

    Raises:
        RunError: if the ``run.json`` of one is damaged.
    """
    root = shipped_root()
    return [load(path.parent) for path in sorted(root.glob("[!.]*/run.json"))] if root else []


def relatives(config: Config, *fields: str) -> list[Run]:
    """Return shipped runs that differ from a configuration, by p and seed.

    Args:
        config: The configuration; its own run is left out.
        fields: The fields, such as ``seed``, of which a run may differ in any but no other.
    """
    found = []
    for run in shipped_runs():
        differing = {field for field, _, _ in differences(run.config, config)}
        if differing and differing <= set(fields):
            found.append(run)
    return sorted(found, key=lambda run: (run.config.task.p, run.config.train.seed))


def find_devices(name: DeviceName) -> list[jax.Device]:
    """Return all devices of a kind; ``auto`` takes the best kind that JAX has.

    Raises:
        ValueError: if a GPU is asked for and JAX sees none.
    """
    try:
        return jax.devices(None if name == "auto" else name)
    except RuntimeError as error:
        seen = sorted({device.platform for device in jax.devices()})
        raise ValueError(
            f"device={name!r} was asked for, but JAX sees only {', '.join(seen)}; "
            "install the extra with pip install 'miiii-core[gpu]', or choose auto or cpu"
        ) from error


def find_device(name: DeviceName) -> jax.Device:
    """Return the first of `find_devices`."""
    return find_devices(name)[0]


def estimate_memory(config: Config, runs: int = 1) -> int:
    """Return the bytes that a process needs at its peak to train, a little generously.

    Counted are the activations of a step on the training inputs, or of an evaluation on all
    inputs, whichever is more, and the weights with gradient and state of the optimiser.

    Args:
        config: The experiment.
        runs: Number of runs that are trained at once on one device.
    """
    p, d_mlp, d = config.task.p, config.model.d_mlp, config.model.d_model
    width = 4 * _n_classes(config) + 4 * d_mlp + 16 * d + 6 * p
    rows = max(2 * config.task.n_train, p**2)
    numbers = rows * width + (8 + _filter_size(config)) * _n_parameters(config)
    return OVERHEAD + weight_type(config.model).itemsize * numbers * runs


def check_memory(config: Config, device: jax.Device, *, runs: int = 1) -> None:
    """Refuse an experiment that will not fit.

    Args:
        config: The experiment.
        device: The device to train on.
        runs: Number of runs that are trained at once on that device.

    Raises:
        ValueError: if it does not; the error gives the bytes needed and there.
    """
    need, there = estimate_memory(config, runs), _available_memory(device)
    if need > there:
        many = f"{runs} runs at once with " if runs > 1 else ""
        raise ValueError(
            f"{many}p={config.task.p} and d_model={config.model.d_model} needs about "
            f"{need / 1e9:.1f} GB and {device.platform} has {there / 1e9:.1f} GB; choose a "
            f"smaller p, d_model, mlp_ratio or train_fraction{', or fewer runs' if many else ''}"
        )


def time_in_words(config: Config) -> str:
    """Say how long a training takes: six operations a weight, input and epoch on two cores."""
    operations = 6 * _n_parameters(config) * config.task.n_train * config.train.epochs
    minutes = operations / 1e11 / 60
    spent = f"{minutes:.0f} minutes" if minutes < 100 else f"{minutes / 60:.0f} hours"
    return f"{spent} on two cores and far less on a GPU"


def command(name: str, folder: Path) -> str:
    """Return what to type to do something with a run."""
    return f"miiii {name} {shlex.quote(str(folder))}"


# Starting and going on


def _start(
    config: Config, folder: Path, device: jax.Device, progress: bool, save_seconds: float
) -> Run:
    """Train a new run into a folder that is locked."""
    recorders = _ready({folder: config}, [device])
    with jax.default_device(device), numerics(config):
        task = task_of(config)
        news = _alone(config, task, initial_state(config, task))
        _record_all(recorders, news, progress, save_seconds)
    return load(folder)


def _go_on(run: Run, device: jax.Device, progress: bool, save_seconds: float) -> Run:
    """Train a run to its end in a folder that is locked."""
    if run.finished:
        raise RunError(f"{run.folder} is finished at epoch {run.epoch}: there is nothing to resume")
    config, begun_by = run.config, run.info["training_version"]
    if begun_by != TRAINING_VERSION:
        print(
            f"{run.folder} was begun by code of training version {begun_by} and goes on with "
            f"{TRAINING_VERSION}; its end may not be that of an uninterrupted run",
            file=sys.stderr,
        )
    check_memory(config, device)
    check_writable(run.folder, _disk_need(config))
    remove_leftovers(run.folder)
    with jax.default_device(device), numerics(config):
        state = _state(run)
        epoch = int(state.epoch)
        before = run.metrics.until(epoch) if epoch else None
        if before and (other := set(before.axes) ^ set(metric_axes(config))):
            raise RunError(
                f"{run.folder} was begun by code that records otherwise: only one of the two "
                f"records {', '.join(sorted(other))}. Train it anew into another folder"
            )
        sessions = [*run.info["sessions"], _session(device, epoch)]
        recorder = _Recorder(run.folder, config, run.info | {"sessions": sessions}, before)
        recorder.note(status="running")
        _record_all([recorder], _alone(config, run.task, state), progress, save_seconds)
    return load(run.folder)


def _ready(configs: Mapping[Path, Config], devices: Sequence[jax.Device]) -> list["_Recorder"]:
    """Make sure that new runs may be trained, then write the ``run.json`` of each."""
    for folder, config in configs.items():
        _refuse_occupied(folder, config)
    check_memory(next(iter(configs.values())), devices[0], runs=-(-len(configs) // len(devices)))
    for folder in configs:
        check_writable(folder, sum(map(_disk_need, configs.values())))
        remove_leftovers(folder)
    recorders = []
    for folder, config in configs.items():
        recorders.append(_Recorder(folder, config, _first_info(config, devices[0])))
        recorders[-1].note()
    return recorders


def _refuse_occupied(folder: Path, config: Config) -> None:
    """Raise `RunError` if a folder holds a run or anything else; say what to do."""
    if not folder.exists() or (folder.is_dir() and all(map(is_leftover, folder.iterdir()))):
        return
    if not (folder / "run.json").exists():
        raise RunError(f"{folder} is not empty and holds no run; choose a new or empty folder")
    run = load(folder)
    if run.config != config:
        raise RunError(
            f"{folder} holds another run (digest {run.config.digest}, not {config.digest}) "
            "and is never overwritten; choose another folder"
        )
    does, look = ("finished", "show") if run.finished else ("stopped", "resume")
    raise RunError(
        f"{folder} holds this run, {does} at epoch {run.epoch}; use: {command(look, folder)}"
    )


def _alone(config: Config, task: Task, state: TrainState) -> Iterator[dict[int, Any]]:
    """Train one run, with news like those of a batch that ends with its last one."""
    now = Progress(epoch=int(state.epoch), state=state, metrics=None)
    try:
        for now in fit(config, task, state):
            yield {0: now}
    except TrainingDiverged as error:
        yield {0: error}
        return
    if not now.last:  # it had been stopped at its end, and nothing was left to train
        yield {0: dataclasses.replace(now, last=True)}


def _record_all(
    recorders: Sequence["_Recorder"], news: News, progress: bool, save_seconds: float
) -> None:
    """Train runs to their ends, saving on the way.

    Raises:
        TrainingDiverged: if a run that trains alone diverges; its last saved state stays.
        Interrupted: on Ctrl-C, after saving.
        OSError: if a file cannot be written; what was saved before stays.
    """
    first, many = recorders[0], len(recorders) > 1
    where = first.folder.parent if many else first.folder
    go_on = command("resume", first.folder) + (" and so with the others" if many else "")
    bar = tqdm(desc=where.name, total=first.config.train.epochs, unit="epoch", disable=not progress)
    with bar, _deferred_interrupt() as stopped, _clear_failures(where, go_on):
        for each in news:
            going = [(recorders[i], now) for i, now in each.items() if recorders[i].take(now)]
            if not going:
                continue
            _show(bar, [now for _, now in going])
            if stopped.is_set():
                for recorder, now in going:
                    recorder.save(now, "interrupted")
                raise Interrupted(f"stopped at epoch {going[0][1].epoch}; go on with: {go_on}")
            late = time.perf_counter() - going[0][0].saved_at > save_seconds
            for recorder, now in going:
                if now.last or late:
                    recorder.save(now, "finished" if now.last else "running")
    if first.diverged and not many:
        raise TrainingDiverged(
            f"{first.diverged}; the state of epoch {first.info['epoch']} is kept in {where}. "
            "Try a smaller learning_rate or a larger eps"
        )


class _Recorder:
    """Keeps what a run yields, and writes it so that the folder can be loaded at any moment."""

    def __init__(
        self, folder: Path, config: Config, info: dict[str, Any], before: Metrics | None = None
    ) -> None:
        self.folder, self.config, self.info, self.before = folder, config, info, before
        self.rows: list[dict[str, np.ndarray]] = []
        self.diverged: TrainingDiverged | None = None
        self.saved_at = time.perf_counter()
        self.began = self.saved_at - float(info["wall_seconds"])
        (folder / "snapshots").mkdir(exist_ok=True)

    def take(self, now: Progress | TrainingDiverged) -> bool:
        """Keep what is new, and the weights where a snapshot is due; say whether all is well."""
        self.diverged = self.diverged or (now if isinstance(now, TrainingDiverged) else None)
        if not self.diverged and isinstance(now, Progress):
            self.diverged = _not_finite(now)
        if self.diverged or isinstance(now, TrainingDiverged):
            if self.info["status"] != "diverged":
                self.note(status="diverged")
            return False
        if now.metrics is not None:
            self.rows.append(now.metrics)
            if now.epoch in snapshot_epochs(self.config.train) and not now.last:
                _save_weights(self.folder / _snapshot(now.epoch), now.state.model, np.float16)
        return True

    def save(self, now: Progress, status: str) -> None:
        """Write everything, in the order that the module's docstring gives."""
        save_arrays(self.folder / "metrics.npz", self._metrics(), compress=True)
        state, files = self.folder / "state.eqx", {}
        if status == "finished":
            _save_weights(self.folder / "weights.npz", now.state.model, np.float32)
            for name in ("metrics.npz", "weights.npz", *_snapshots(self.folder)):
                files[name] = _sha256((self.folder / name).read_bytes())
        else:
            _save_state(state, self.config, now.state)
        since = int(now.state.settled_since)
        self.note(status=status, epoch=now.epoch, settled_since=since, files=files)
        if status == "finished":
            state.unlink(missing_ok=True)
        self.saved_at = time.perf_counter()

    def note(self, **news: Any) -> None:
        """Write ``run.json``."""
        self.info |= news
        self.info["updated"] = _now()
        self.info["wall_seconds"] = round(time.perf_counter() - self.began, 3)
        save_info(self.folder, self.info)

    def _metrics(self) -> dict[str, np.ndarray]:
        arrays = {}
        for name in metric_axes(self.config):
            pieces = [self.before[name]] if self.before else []
            rows = [row[name] for row in self.rows if name in row]
            arrays[name] = np.concatenate([*pieces, *([np.stack(rows)] if rows else [])])
        return arrays


@contextmanager
def _deferred_interrupt() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into a flag to be looked at between chunks; the second one kills.

    An exception raised inside a step would lose the state whose memory it reuses.
    """
    flag = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return
    before = signal.getsignal(signal.SIGINT)

    def note(number: int, frame: Any) -> None:
        flag.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, note)
    try:
        yield flag
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _clear_failures(where: Path, go_on: str) -> Iterator[None]:
    """Say what is lost, and how to go on, where training or saving stops in the middle."""
    try:
        yield
    except Interrupted:
        raise
    except KeyboardInterrupt as error:
        raise Interrupted(f"stopped at once; go on from the last save with: {go_on}") from error
    except OSError as error:
        raise OSError(
            f"{where} could not be written: {error.strerror}; what was saved before is whole. "
            f"Make room, then go on with: {go_on}"
        ) from error


def _show(bar: tqdm, news: Sequence[Progress]) -> None:
    """Move the bar; where something was recorded, say how training and the worst task stand."""
    bar.update(news[0].epoch - bar.n)
    recorded = [now.metrics["accuracy"] for now in news if now.metrics is not None]
    if recorded:
        accuracy = np.mean(recorded, axis=0)
        bar.set_postfix_str(
            f"accuracy train {accuracy[0].mean():.3f} validation {accuracy[1].mean():.3f}, "
            f"worst task {accuracy[1].min():.2f}"
        )


def _not_finite(now: Progress) -> TrainingDiverged | None:
    """What a last step from a finite loss can still lead to, and must not be saved."""
    if now.metrics is not None and not np.isfinite(now.metrics["loss"][0]).all():
        return TrainingDiverged(f"the loss stopped being finite at epoch {now.epoch}")
    if not _all_finite(now.state.model):
        return TrainingDiverged(f"the weights stopped being finite at epoch {now.epoch}")
    return None


@jax.jit
def _all_finite(model: Transformer) -> Bool[Array, ""]:
    return jnp.stack([jnp.isfinite(weight).all() for weight in model.weights.values()]).all()


# The cache


def _book_folder() -> Path | None:
    """The nearest folder with the book's table of contents, from the working folder upwards."""
    here = Path.cwd()
    return next((home for home in (here, *here.parents) if (home / "_toc.yml").is_file()), None)


def _folder_named(which: str | Path) -> Path | None:
    """The folder that a run is named by; None where the name may be a preset's."""
    folder = Path(which)
    if isinstance(which, Path) or which not in PRESETS:
        return folder if isinstance(which, Path) or folder.is_dir() else None
    if (folder / "run.json").is_file():
        raise ValueError(
            f"{which!r} is a preset, and the folder {folder.absolute()} holds a run: write "
            f"'./{which}' for the folder, or rename it and ask for the preset again"
        )
    return None


def _find_shipped(config: Config, *, rounded: bool) -> Run | None:
    """The shipped run of a configuration, checked; in another precision too if that will do."""
    precisions = [config.model.precision, *(get_args(Precision) if rounded else ())]
    shelf = {run.config.digest: run for run in shipped_runs()}
    for wanted in (config.replace(precision=precision).digest for precision in precisions):
        if wanted in shelf:
            verify(shelf[wanted])
            return shelf[wanted]
    return None


def _finished(run: Run, changes: Mapping[str, Any]) -> Run:
    if changes and run.config.replace(**changes) != run.config:
        raise RunError(f"{run.folder} is a run of its own and cannot be changed by {changes}")
    if not run.finished:
        stopped = f"{run.folder} stopped at epoch {run.epoch}"
        raise RunError(f"{stopped}; go on with: {command('resume', run.folder)}")
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
    if why := _why_anew(folder):
        raise RunError(
            f"{why}. To use it all the same, move it elsewhere and name that folder; "
            f"to train it again, move it and type: {train_command(config)}"
        )
    return run


def _why_anew(folder: Path) -> str:
    """Why a cached run will not do; nothing if it is whole and of this training version."""
    try:
        run = load(folder)
        verify(run)
    except RunError as error:
        return str(error)
    found = run.info["training_version"]
    if found == TRAINING_VERSION:
        return ""
    return f"{folder} is of training version {found} and this code of {TRAINING_VERSION}"


def _set_aside(folder: Path) -> Path:
    """Move a run into ``replaced`` beside it, where no list of runs looks; return its place."""
    beside = folder.parent / "replaced"
    beside.mkdir(exist_ok=True)
    numbered = (beside / f"{folder.name}-{n}" for n in count(1))
    return folder.rename(next(path for path in numbered if not path.exists()))


# What lies in a folder


def save_info(folder: Path, info: Mapping[str, Any]) -> None:
    """Write ``run.json``, with a checksum of its own content."""
    save_json(folder / "run.json", {**info, "checksum": _checksum(info)})


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _checksum(info: Mapping[str, Any]) -> str:
    return _sha256(json.dumps(info, sort_keys=True).encode())


def _snapshot(epoch: int) -> str:
    return f"snapshots/{epoch:08d}.npz"


def _snapshots(folder: Path) -> list[str]:
    """Names of the snapshots in a folder, by epoch; other files are passed over."""
    names = (f"snapshots/{path.name}" for path in (folder / "snapshots").glob("[0-9]*.npz"))
    return sorted(names)


def _unscaled(arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """A matrix as numbers; one that lies there as int8 is multiplied by the scale of its rows."""
    scale = arrays.get(f"{name}.scale")
    return arrays[name] if scale is None else arrays[name].astype(np.float32) * scale[..., None]


def _save_weights(path: Path, model: Transformer, dtype: type[np.floating]) -> None:
    """Write the nine matrices by name, in single precision where half cannot hold them."""
    weights = {name: np.asarray(weight) for name, weight in model.weights.items()}
    if max(np.abs(weight).max() for weight in weights.values()) > np.finfo(dtype).max:
        dtype = np.float32
    save_arrays(path, {name: weight.astype(dtype) for name, weight in weights.items()})


def _save_state(path: Path, config: Config, state: TrainState) -> None:
    """Write a line of JSON that tells whose state it is, then the leaves of the state."""
    leaves = io.BytesIO()
    eqx.tree_serialise_leaves(leaves, state)
    header = {"digest": config.digest, "sha256": _sha256(leaves.getvalue())}
    write_atomic(path, json.dumps(header).encode() + b"\n" + leaves.getvalue())


def _state(run: Run) -> TrainState:
    """The state that an unfinished run goes on from: the last one saved, or the first."""
    path = run.folder / "state.eqx"
    with numerics(run.config):
        if run.epoch == 0 and not path.exists():
            return initial_state(run.config, run.task)
        try:
            header, _, leaves = read_whole(path).partition(b"\n")
            if json.loads(header) != {"digest": run.config.digest, "sha256": _sha256(leaves)}:
                raise FileDamaged(f"{path} was altered, or belongs to another run")
            state = eqx.tree_deserialise_leaves(io.BytesIO(leaves), _blank(run))
            return jax.tree.map(jnp.array, state)  # training reuses its memory: no view of a file
        except (FileDamaged, ValueError, RuntimeError) as error:
            raise RunError(f"{path} is damaged: {error}; train the run again") from error


def _blank(run: Run) -> TrainState:
    """Shapes and types of a run's state, nothing computed."""
    with numerics(run.config):
        return eqx.filter_eval_shape(initial_state, run.config, run.task)


def _first_info(config: Config, device: jax.Device) -> dict[str, Any]:
    session = _session(device, 0)
    return {
        "format": FORMAT,
        "status": "running",
        "epoch": 0,
        "settled_since": -1,
        "digest": config.digest,
        "training_version": TRAINING_VERSION,
        "device": session["device"],
        "started": session["started"],
        "updated": session["started"],
        "wall_seconds": 0.0,
        "sessions": [session],
        "config": json.loads(config.to_json()),
        "axes": metric_axes(config),
        "snapshots": "float16",
        "files": {},
    }


def _session(device: jax.Device, epoch: int) -> dict[str, Any]:
    """Where, with what and from which epoch on a run is trained, until it is stopped."""
    kind = platform.machine() if device.platform == "cpu" else device.device_kind
    libraries = ("jax", "jaxlib", "equinox", "optax", "numpy")
    return {
        "from_epoch": epoch,
        "started": _now(),
        "device": f"{device.platform} {kind}",
        "training_version": TRAINING_VERSION,
        "code_revision": _revision(),
        "versions": {"python": platform.python_version()} | {n: version(n) for n in libraries},
    }


@cache
def _revision() -> str:
    """The git commit of this package, with ``+`` if files differ from it; else ``unknown``."""
    package = Path(__file__).parent

    def git(*words: str) -> str:
        typed = ["git", "-C", str(package), *words]
        return subprocess.run(typed, capture_output=True, text=True, check=True).stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")) != package.parent.resolve():
            return "unknown"  # installed somewhere inside a repository of something else
        return git("describe", "--always", "--exclude=*", "--abbrev=12", "--dirty=+")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


# How much a run takes


def _n_classes(config: Config) -> int:
    """Classes of all tasks together, known before the task is built."""
    if config.task.name == "nanda":
        return config.task.p
    moduli = primes_below(config.task.p)
    return 2 * len(moduli) if config.task.name == "divisible" else sum(moduli)


def _n_parameters(config: Config) -> int:
    d = config.model.d_model
    return d * (config.task.p + 1 + 3 + 4 * d + 2 * config.model.d_mlp + _n_classes(config))


def _filter_size(config: Config) -> int:
    """Numbers that the gradient filter remembers for each weight."""
    return {"ema": 1, "ma": config.optim.grokfast_window, "none": 0}[config.optim.grokfast]


def _disk_need(config: Config) -> int:
    """Bytes that a run writes at most; a file counts twice, as the old one stays until the end."""
    weights, itemsize = _n_parameters(config), weight_type(config.model).itemsize
    state = itemsize * weights * (3 + _filter_size(config))  # with Adam's two moments
    snapshots = 2 * weights * (config.train.n_snapshots + 1)
    ticks, p = len(tick_epochs(config.train)), config.task.p
    metrics = itemsize * ticks * (p**2 + 16 * p + 1000)
    return 2 * (4 * weights + state + metrics) + snapshots + MARGIN


def _available_memory(device: jax.Device) -> int:
    """Bytes that a device can hold: its own limit, or that of the machine or container."""
    stats = device.memory_stats() if device.platform != "cpu" else None
    if stats and "bytes_limit" in stats:
        return int(stats["bytes_limit"])
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    texts = [path.read_text().strip() for path in CONTAINER_LIMITS if path.is_file()]
    return min([physical, *(int(text) for text in texts if text.isdigit())])
