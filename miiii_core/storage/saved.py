"""A run as a folder: what lies in it, how it is read back, and what is checked.

===================  ==========================================================
``run.json``         configuration, digest, provenance, status and epoch
``metrics.npz``      what was recorded, each array with named axes
``weights.npz``      the weights, by matrix name
``state.npz``        weights and optimiser state, only while the run is unfinished
``snapshots/``       weights at log-spaced epochs, in half precision
===================  ==========================================================

A packed run, as `shipped` makes it, has fewer snapshots and smaller arrays, whose
headers say how to unpack them; whoever reads a run need not know.
"""

import hashlib
import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..config import Config
from ..network.model import WEIGHT_NAMES, Activations, Transformer
from ..tasks import Task
from ..training.schedule import snapshot_epochs
from ..training.train import TrainState, initial_state, numerics, task_of
from .files import FileDamaged, load_arrays, load_json, save_arrays, save_json
from .metrics import Metrics
from .packing import unpack

FORMAT = 2
UNFINISHED = ("running", "interrupted", "diverged")


class RunError(Exception):
    """A run that is missing, damaged, of another format, or not what was asked for."""


@dataclass(frozen=True, eq=False)
class Run:
    """A run read back from its folder; equal to itself only, and so a key to what it led to.

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
        """Epochs trained so far."""
        return int(self.info["epoch"])

    @property
    def stopped_early(self) -> bool:
        """Whether it ended before its last epoch because all tasks had settled."""
        return self.finished and self.epoch < self.config.train.epochs

    @property
    def packed(self) -> dict[str, Any] | None:
        """What was rounded and left out, if it was packed to be shipped."""
        return self.info.get("packed")

    @cached_property
    def task(self) -> Task:
        """The data, split as it was in training."""
        return task_of(self.config)

    @cached_property
    def metrics(self) -> Metrics:
        """What was recorded on the way."""
        arrays, header = _load(self.folder / "metrics.npz", self.config)
        axes = {name: tuple(names) for name, names in header["axes"].items()}
        if set(arrays) != set(axes):  # a zip file can lose entries without a checksum noticing
            raise RunError(
                f"{self.folder}/metrics.npz is damaged: it lost {set(axes) ^ set(arrays)}"
            )
        return Metrics(arrays, axes)

    @cached_property
    def model(self) -> Transformer:
        """The trained weights."""
        return self._weights(self.folder / "weights.npz")

    def activations(self) -> Activations:
        """What the trained model computes for every input; 0.3 GB at the paper's size."""
        return self.model.activations(jnp.asarray(self.task.digits))

    @cached_property
    def snapshot_epochs(self) -> tuple[int, ...]:
        """Epochs whose weights were kept, ascending."""
        if self.packed:
            return tuple(self.packed["snapshots"])
        found = (self.folder / "snapshots").glob("*.npz")
        return tuple(sorted(int(path.stem) for path in found if path.stem.isdigit()))

    def snapshot(self, epoch: int) -> Transformer:
        """The weights as they were at an epoch.

        Raises:
            RunError: if none were kept there; lists the epochs that were.
        """
        if epoch not in self.snapshot_epochs:
            raise RunError(f"no snapshot of epoch {epoch}; there are {self.snapshot_epochs}")
        if self.packed and epoch == self.epoch:  # not kept twice
            return self.model
        return self._weights(snapshot_path(self.folder, epoch))

    def _weights(self, path: Path) -> Transformer:
        arrays, _ = _load(path, self.config)
        return weights_from(arrays, _blank(self.config, self.task).model, path)


def load(folder: Path | str) -> Run:
    """Read a run's folder; arrays are read, and checked, when they are asked for.

    Raises:
        RunError: if there is no run, or it is damaged or of another format.
    """
    folder = Path(folder)
    if not (folder / "run.json").is_file():
        raise RunError(
            f"there is no run in {folder}: it has no run.json; "
            "train one there, or name another folder"
        )
    try:
        info = load_json(folder / "run.json")
        if info["format"] != FORMAT:
            raise RunError(
                f"{folder} is of format {info['format']} and this version reads format {FORMAT}; "
                "train it again, or use the version of miiii_core that wrote it"
            )
        config = Config.from_json(json.dumps(info["config"]))
        if config.digest != info["digest"] or info.pop("checksum") != _checksum(info):
            raise RunError(f"{folder}/run.json was altered: its checksums do not fit its content")
        if info["status"] not in (*UNFINISHED, "finished") or int(info["epoch"]) < 0:
            raise RunError(f"{folder}/run.json has an unknown status or epoch: {info['status']!r}")
    except (FileDamaged, KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunError(f"{folder}/run.json is damaged: {error}") from error
    return Run(folder, info, config)


def recorded(run: Run) -> Metrics | None:
    """What a run recorded, or None if it stopped before its first save.

    Raises:
        RunError: if there should be something and it is damaged.
    """
    early = run.epoch == 0 and not (run.folder / "metrics.npz").exists()
    return None if early else run.metrics


def verify(run: Run) -> None:
    """Read every file that a run should have by now.

    Raises:
        RunError: at the first that is missing or damaged.
    """
    if run.finished or run.epoch > 0:
        _ = run.metrics, run.model
        if not run.finished:
            load_state(run)
    for epoch in expected_snapshots(run):
        _load(snapshot_path(run.folder, epoch), run.config)


def expected_snapshots(run: Run) -> tuple[int, ...]:
    """Epochs whose weights must have been kept by now, the end of a settled run among them.

    Without those that ``run.json`` says were left behind when the run went to another machine.
    """
    if run.packed:
        return tuple(epoch for epoch in run.snapshot_epochs if epoch != run.epoch)
    due = {epoch for epoch in snapshot_epochs(run.config.train) if epoch <= run.epoch}
    due -= set(run.info.get("left_behind", ()))
    return tuple(sorted(due | ({run.epoch} if due and run.stopped_early else set())))


def command(name: str, folder: Path) -> str:
    """What to type to do something with a run."""
    return f"miiii {name} {shlex.quote(str(folder))}"


def snapshot_path(folder: Path, epoch: int) -> Path:
    """Where the weights of an epoch are kept."""
    return folder / "snapshots" / f"{epoch:08d}.npz"


def save_info(folder: Path, info: dict[str, Any]) -> None:
    """Write ``run.json``."""
    save_json(folder / "run.json", info | {"checksum": _checksum(info)})


def save_metrics(folder: Path, config: Config, metrics: Metrics) -> None:
    """Write ``metrics.npz``."""
    header = {"digest": config.digest, "axes": metrics.axes}
    save_arrays(folder / "metrics.npz", metrics, header, compress=True)


def save_weights(path: Path, config: Config, model: Transformer, half: bool = False) -> None:
    """Write the nine matrices by name; in half precision if asked, and if it can hold them."""
    weights = {name: np.asarray(weight) for name, weight in model.weights.items()}
    largest = max(np.abs(weight).max() for weight in weights.values())
    dtype = np.float16 if half and largest <= np.finfo(np.float16).max else np.float32
    arrays = {name: weight.astype(dtype) for name, weight in weights.items()}
    save_arrays(path, arrays, {"digest": config.digest})


def save_state(folder: Path, config: Config, state: TrainState) -> None:
    """Write ``state.npz``: all leaves of the training state, in order."""
    leaves = {f"leaf{i:03d}": np.asarray(x) for i, x in enumerate(jax.tree.leaves(state))}
    save_arrays(folder / "state.npz", leaves, {"digest": config.digest})


def load_state(run: Run) -> TrainState:
    """The training state that an unfinished run goes on from.

    Raises:
        RunError: if it is missing, damaged, or of other shapes.
    """
    path = run.folder / "state.npz"
    arrays, _ = _load(path, run.config)
    blank = _blank(run.config, run.task)
    leaves, structure = jax.tree.flatten(blank)
    names = [f"leaf{i:03d}" for i in range(len(leaves))]
    expected = dict(zip(names, leaves, strict=True))
    _check_shapes(arrays, expected, path, dtypes=True)
    return jax.tree.unflatten(structure, [jnp.array(arrays[name]) for name in names])


def weights_from(arrays: Mapping[str, np.ndarray], blank: Transformer, path: Path) -> Transformer:
    """A model of the blank's shapes with these weights, in float32."""
    expected = {name: getattr(blank, name) for name in WEIGHT_NAMES}
    _check_shapes(arrays, expected, path, dtypes=False)
    weights = [jnp.asarray(arrays[name], jnp.float32) for name in WEIGHT_NAMES]
    return eqx.tree_at(lambda model: [getattr(model, n) for n in WEIGHT_NAMES], blank, weights)


def _checksum(info: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(info, sort_keys=True).encode()).hexdigest()[:12]


def _blank(config: Config, task: Task) -> TrainState:
    """Shapes and dtypes of the training state, nothing computed."""
    with numerics(config):
        return eqx.filter_eval_shape(initial_state, config, task)


def _load(path: Path, config: Config) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    try:
        arrays, header = load_arrays(path)
    except FileDamaged as error:
        raise RunError(f"{error}; restore the file, or train the run again") from error
    if header.get("digest") != config.digest:
        raise RunError(f"{path} belongs to another run: its digest is {header.get('digest')}")
    try:
        return unpack(arrays, header["packed"]) if "packed" in header else arrays, header
    except ValueError as error:
        raise RunError(f"{path} is damaged: {error}") from error


def _check_shapes(
    arrays: Mapping[str, np.ndarray], expected: Mapping[str, Any], path: Path, dtypes: bool
) -> None:
    if set(arrays) != set(expected):
        raise RunError(
            f"{path} holds {sorted(arrays)}, and the config calls for {sorted(expected)}"
        )
    for name, like in expected.items():
        found = arrays[name]
        if found.shape != like.shape or (dtypes and found.dtype != like.dtype):
            raise RunError(
                f"{path}: {name} is {found.dtype}{found.shape}, "
                f"and the config calls for {like.dtype}{like.shape}"
            )
