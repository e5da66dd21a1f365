"""A run as it lies in its folder: what each file holds, read and checked, and written.

===============  ===============================================================================
``run.json``     configuration, status, provenance, axes of what is recorded; at the end, the
                 SHA-256 of every other file
``metrics.npz``  what was recorded on the way, an array by name
``weights.npz``  the nine weight matrices in float32, at the end
``snapshots/``   weights at log-spaced epochs: in float16, or in int8 with rows that are to be
                 multiplied by ``W_E.scale`` and so on; ``snapshots`` in run.json says which
``state.eqx``    weights and state of the optimiser, before the end
===============  ===============================================================================

A save writes metrics, then the state, then ``run.json``. A process that is killed in between
leaves a state that knows its own epoch, and perhaps rows beyond it, which are recorded anew.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from . import OnFirstUse, files
from .config import SPLITS, Config
from .files import RESTORE, RunError

if TYPE_CHECKING:
    import equinox as eqx
    import jax
    import jax.numpy as jnp

    from . import losses, optim, probes, tasks
    from . import model as network
    from . import train as training
else:
    eqx, jax, jnp = map(OnFirstUse, ("equinox", "jax", "jax.numpy"))
    losses, optim, probes, tasks = map(OnFirstUse, (".losses", ".optim", ".probes", ".tasks"))
    network, training = OnFirstUse(".model"), OnFirstUse(".train")

FORMAT = 3
SNAPSHOT = "snapshots/{:08d}.npz"


class Metrics(dict[str, np.ndarray]):
    """What a run has recorded, arrays by name, with the names of each array's ``axes``.

    The first axis is ``epoch``, or ``wide_epoch`` for maps and tables, which are recorded less
    often; the arrays of these names hold the epochs.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], axes: Mapping[str, Sequence[str]]):
        """Take arrays, and the names of the axes of each, by the same names."""
        super().__init__(arrays)
        self.axes = {name: tuple(own) for name, own in axes.items()}

    def __missing__(self, name: str) -> np.ndarray:
        """Raise the error for an unknown name; it lists the known ones."""
        raise KeyError(f"{name!r} was not recorded; recorded are {sorted(self)}")

    def split(self, name: str, split: str) -> np.ndarray:
        """Return one split of an array of (epoch, split, task); ValueError if it is none."""
        if split not in SPLITS:
            raise ValueError(f"split={split!r} is none of {', '.join(SPLITS)}")
        return self[name][:, SPLITS.index(split)]

    def until(self, epoch: int) -> Metrics:
        """Return only what was recorded up to an epoch."""
        early = {n: a[self[self.axes[n][0]] <= epoch] for n, a in self.items()}
        return Metrics(early, self.axes)


@dataclass(frozen=True, eq=False)
class Run:
    """A run read from its folder; arrays are read, and checked, when they are asked for."""

    folder: Path  #: Where it lies
    info: dict[str, Any]  #: The content of ``run.json``
    config: Config  #: What was trained

    @property
    def finished(self) -> bool:
        """Whether it trained to its end: its last epoch, or all tasks settled before."""
        return self.info["status"] == "finished"

    @property
    def epoch(self) -> int:
        """Number of epochs trained by the last save."""
        return int(self.info["epoch"])

    @cached_property
    def task(self) -> tasks.Task:
        """The data, split as in training; `RunError` if this version of JAX draws another split."""
        task = training.task_of(self.config)
        if self.info.get("data", found := _data_digest(task)) != found:
            raise RunError(
                f"{self.folder} was trained on another split than JAX {version('jax')} draws from "
                f"its seed; read it with the versions in its run.json, or train it again"
            )
        return task

    @cached_property
    def metrics(self) -> Metrics:
        """What was recorded; nothing yet if the run was stopped before its first save."""
        if self.epoch == 0 and not (self.folder / "metrics.npz").exists():
            return Metrics({}, {})
        arrays = self._arrays("metrics.npz")
        if other := set(arrays) ^ set(self.info["axes"]):
            raise RunError(f"{self.folder}/metrics.npz is damaged: it lacks or adds {other}")
        return Metrics(arrays, self.info["axes"])

    @cached_property
    def model(self) -> network.Transformer:
        """The trained weights; of an unfinished run, those of its last save."""
        return self._weights("weights.npz") if self.finished else load_state(self).model

    def activations(self) -> network.Activations:
        """Compute what the trained model does with every input; 0.3 GB at the paper's size."""
        return self.model.activations(jnp.asarray(self.task.digits))

    @cached_property
    def snapshot_epochs(self) -> tuple[int, ...]:
        """Epochs whose weights were kept, ascending; at the end those are the trained weights."""
        end = {self.epoch} if self.finished and self.config.train.n_snapshots else set()
        names = self.info["files"] if self.finished else _snapshots(self.folder)
        return tuple(sorted(end | {int(Path(n).stem) for n in names if n.startswith("snapshots")}))

    def snapshot(self, epoch: int) -> network.Transformer:
        """Return the weights as they were at one of `snapshot_epochs`; `RunError` at others."""
        if epoch not in self.snapshot_epochs:
            raise RunError(f"no snapshot of epoch {epoch}; there are {self.snapshot_epochs}")
        last = self.finished and epoch == self.epoch
        return self.model if last else self._weights(SNAPSHOT.format(epoch))

    def learned_at(self) -> Float[np.ndarray, " tasks"]:
        """Return when each task's validation accuracy was `losses.GENERALISED`, or `NEVER`."""
        epochs, accuracy = self.metrics["epoch"], self.metrics.split("accuracy", "validation")
        level = losses.GENERALISED
        return np.array([losses.first_epoch(epochs, task, level) for task in accuracy.T])

    def _arrays(self, name: str) -> dict[str, np.ndarray]:
        return files.load_arrays(self.folder / name, self.info["files"].get(name))

    def _weights(self, name: str) -> network.Transformer:
        arrays, blank = self._arrays(name), _blank(self).model
        for own in [own for own in network.WEIGHT_NAMES if f"{own}.scale" in arrays]:
            scale = arrays.pop(f"{own}.scale")[..., None]
            arrays[own] = arrays[own].astype(np.float32) * scale
        shapes = {own: getattr(blank, own).shape for own in network.WEIGHT_NAMES}
        if (found := {own: array.shape for own, array in arrays.items()}) != shapes:
            raise RunError(f"{self.folder / name} has {found}, and its model is of {shapes}")
        weights = [jnp.asarray(arrays[own], jnp.float32) for own in network.WEIGHT_NAMES]
        return eqx.tree_at(lambda model: [getattr(model, own) for own in shapes], blank, weights)


def load(folder: Path | str) -> Run:
    """Read a ``run.json``; raise `RunError` if there is none, or it is damaged, or too old."""
    path = Path(folder) / "run.json"
    if not path.is_file():
        raise RunError(f"there is no run in {folder}, which has no run.json; name another folder")
    try:
        info = json.loads(files.read_whole(path))
        if (found := info["format"]) != FORMAT:
            raise RunError(
                f"{folder} is of format {found} and this version reads format {FORMAT}; train it "
                "again, or use the version of miiii_core that wrote it"
            )
        config = Config.from_json(json.dumps(info["config"]))
        if info.pop("checksum") != _checksum(info) or config.digest != info["digest"]:
            raise RunError(f"{path} was altered: its checksum does not fit its content")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunError(f"{path} is damaged: {error}") from error
    return Run(path.parent, info, config)


def find_runs(root: Path, *, verified: bool = False) -> Iterator[Run | RunError]:
    """Iterate over the runs directly below a folder; one that cannot be read comes as its error.

    Every file of each run is read if they are to be verified, else only what a list shows.
    """
    parts = ("run.json", "metrics.npz", "weights.npz", "state.eqx")
    for folder in sorted({path.parent for path in root.glob("[!.]*/*") if path.name in parts}):
        try:
            run = load(folder)
            verify(run) if verified else run.metrics
            yield run
        except RunError as error:
            yield error


def verify(run: Run) -> None:
    """Read every file that a run should have by now; raise `RunError` at the first damaged one."""
    if not run.finished:
        due = {epoch for epoch in run.config.train.snapshots if epoch <= run.epoch}
        if lacking := due - set(run.snapshot_epochs):
            raise RunError(f"{run.folder} lacks the snapshots of {sorted(lacking)}; {RESTORE}")
        _ = run.metrics, run.model, [run.snapshot(epoch) for epoch in run.snapshot_epochs]
    for name, sha256 in run.info["files"].items():
        files.read_whole(run.folder / name, sha256)


def load_state(run: Run) -> training.TrainState:
    """Return the state that an unfinished run goes on from; `RunError` if that is not whole."""
    path = run.folder / "state.eqx"
    with network.numerics(run.config.model):
        if run.epoch == 0 and not path.exists():
            return training.initial_state(run.config, run.task)
        try:
            header, _, leaves = files.read_whole(path).partition(b"\n")
            if json.loads(header) != {"digest": run.config.digest, "sha256": _checksum(leaves)}:
                raise RunError(f"{path} was altered, or is another run's; train the run again")
            state = eqx.tree_deserialise_leaves(io.BytesIO(leaves), _blank(run))
            return jax.tree.map(jnp.array, state)  # training reuses its memory: no view of a file
        except (ValueError, RuntimeError) as error:
            raise RunError(f"{path} is damaged: {error}; train the run again") from error


class Recorder:
    """Keeps what a run yields, and writes it so that the folder can be loaded at any moment."""

    def __init__(
        self, folder: Path, config: Config, info: dict[str, Any], before: Metrics | None = None
    ) -> None:
        """Begin a ``run.json`` in a folder, after what was recorded before if a run goes on."""
        self.folder, self.config, self.info = folder, config, info
        self.rows = {name: [before[name]] if before else [] for name in probes.metric_axes(config)}
        self.diverged: training.TrainingDiverged | None = None
        self.began = time.perf_counter() - info["wall_seconds"]
        (folder / "snapshots").mkdir(exist_ok=True)
        self.note(status="running")

    def take(self, now: training.Progress | training.TrainingDiverged) -> training.Progress | None:
        """Keep what is new, and the weights if a snapshot is due; None if the run diverged."""
        if self.diverged:
            return None
        if isinstance(now, training.Progress) and not _finite(now):
            text = f"loss or weights stopped being finite at epoch {now.epoch}"
            now = training.TrainingDiverged(text)
        if isinstance(now, training.TrainingDiverged):
            self.diverged = now
            self.note(status="diverged")
            return None
        if now.metrics is not None:
            for name, value in now.metrics.items():
                self.rows[name].append(value[None])
            if now.epoch in self.config.train.snapshots and not now.last:
                _save_weights(self.folder / SNAPSHOT.format(now.epoch), now.state.model, np.float16)
        return now

    def save(self, now: training.Progress, status: str) -> None:
        """Write everything, in the order that the module's docstring gives."""
        arrays = {name: np.concatenate(rows) for name, rows in self.rows.items()}
        files.save_arrays(self.folder / "metrics.npz", arrays, compress=True)
        state, sums = self.folder / "state.eqx", {}
        if status == "finished":
            _save_weights(self.folder / "weights.npz", now.state.model, np.float32)
            for name in ("metrics.npz", "weights.npz", *_snapshots(self.folder)):
                sums[name] = _checksum((self.folder / name).read_bytes())
        else:
            _save_state(state, self.config, now.state)
        since = int(now.state.settled_since)
        self.note(status=status, epoch=now.epoch, settled_since=since, files=sums)
        if status == "finished":
            state.unlink(missing_ok=True)

    def note(self, **news: Any) -> None:
        """Write ``run.json``."""
        self.info |= news | {"wall_seconds": round(time.perf_counter() - self.began, 3)}
        signed = self.info | {"checksum": _checksum(self.info)}
        text = json.dumps(signed, indent=2) + "\n"
        files.write_atomic(self.folder / "run.json", text.encode())


def first_info(config: Config, device: jax.Device) -> dict[str, Any]:
    """Return the content of ``run.json`` before a run's first save."""
    session = provenance(device, 0)
    return {
        "format": FORMAT, "status": "running", "epoch": 0, "settled_since": -1,
        "wall_seconds": 0.0, "digest": config.digest, "config": json.loads(config.to_json()),
        "data": _data_digest(training.task_of(config)), "rule": optim.rule_digest(config.optim),
        **{name: session[name] for name in ("training_version", "device", "started")},
        "sessions": [session], "axes": probes.metric_axes(config), "snapshots": "float16",
        "files": {},
    }  # fmt: skip


def provenance(device: jax.Device, epoch: int) -> dict[str, Any]:
    """Return where, with what and from which epoch on a run is trained, until it is stopped."""
    kind = platform.machine() if device.platform == "cpu" else device.device_kind
    libraries = ("jax", "jaxlib", "equinox", "optax", "numpy")
    return {
        "from_epoch": epoch,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "device": f"{device.platform} {kind}",
        "training_version": training.TRAINING_VERSION,
        "code_revision": _revision(),
        "versions": {"python": platform.python_version()} | {n: version(n) for n in libraries},
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
    }


def _finite(now: training.Progress) -> bool:
    """Whether a last step from a finite loss led to numbers that may be saved."""
    loss = [] if now.metrics is None else [now.metrics["loss"][0]]
    weights = now.state.model.weights.values()
    # By NumPy, here and in `_save_weights`: JAX compiles a program for each shape.
    return all(np.isfinite(np.asarray(numbers)).all() for numbers in (*weights, *loss))


def _checksum(content: Mapping[str, Any] | bytes) -> str:
    """SHA-256 of bytes, or of a mapping as JSON."""
    text = content if isinstance(content, bytes) else json.dumps(content, sort_keys=True).encode()
    return hashlib.sha256(text).hexdigest()


def _data_digest(task: tasks.Task) -> str:
    """Return a digest of the answers and of the split, which are drawn anew for each reading."""
    drawn = (task.targets, task.train, task.validation, task.test)
    return _checksum(b"".join(np.ascontiguousarray(each, np.int32).tobytes() for each in drawn))


def _snapshots(folder: Path) -> list[str]:
    """Names of the snapshots in a folder, by epoch; other files are passed over."""
    epochs = [path.stem for path in folder.glob("snapshots/*.npz") if path.stem.isdecimal()]
    return [SNAPSHOT.format(epoch) for epoch in sorted(map(int, epochs))]


def _save_weights(path: Path, model: network.Transformer, dtype: type[np.floating]) -> None:
    """Write the nine matrices by name, in single precision where half cannot hold them."""
    weights = {name: np.asarray(weight) for name, weight in model.weights.items()}
    largest = max(float(np.abs(weight).max()) for weight in weights.values())
    kind = dtype if largest <= float(np.finfo(dtype).max) else np.float32
    files.save_arrays(path, {name: weight.astype(kind) for name, weight in weights.items()})


def _save_state(path: Path, config: Config, state: training.TrainState) -> None:
    """Write a line of JSON that tells whose state it is, then the leaves of the state."""
    leaves = io.BytesIO()
    eqx.tree_serialise_leaves(leaves, state)
    header = {"digest": config.digest, "sha256": _checksum(leaves.getvalue())}
    files.write_atomic(path, json.dumps(header).encode() + b"\n" + leaves.getvalue())


def _blank(run: Run) -> training.TrainState:
    """Shapes and types of a run's state, nothing computed."""
    return eqx.filter_eval_shape(training.initial_state, run.config, run.task)


@cache
def _revision() -> str:
    """The git commit of this clone, with ``+`` if files differ from it; else ``unknown``."""
    home = Path(__file__).parent.parent
    # Installed, the package may lie inside a repository of something else.
    if not (home / ".git").exists() or not shutil.which("git"):
        return "unknown"
    words = ["git", "describe", "--always", "--exclude=*", "--abbrev=12", "--dirty=+"]
    found = subprocess.run(words, cwd=home, capture_output=True, text=True)
    return found.stdout.strip() or "unknown"
