"""Training onto disk: records what a run yields, saves as it goes, stops cleanly."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool
from tqdm import tqdm

from ..config import Config
from ..network.model import Transformer
from ..tasks import Task
from ..training.probes import metric_axes
from ..training.schedule import snapshot_epochs
from ..training.train import Progress, TrainingDiverged, TrainState, fit
from .metrics import Metrics
from .provenance import now_utc
from .saved import command, save_info, save_metrics, save_state, save_weights, snapshot_path


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, after everything was saved."""


def record_training(
    recorder: "Recorder", task: Task, state: TrainState, *, progress: bool, save_seconds: float
) -> None:
    """Train from a state to the end, saving on the way.

    Raises:
        TrainingDiverged: if the loss stops being finite; the last saved state stays.
        Interrupted: on Ctrl-C, after saving.
        OSError: if a file cannot be written; what was saved before stays.
    """
    config, folder = recorder.config, recorder.folder
    bar = tqdm(
        desc=folder.name,
        total=config.train.epochs,
        initial=int(state.epoch),
        unit="epoch",
        disable=not progress,
    )
    now = Progress(epoch=int(state.epoch), state=state, metrics=None)
    go_on = command("resume", folder)
    with bar, deferred_interrupt() as interrupted, clear_failures(str(folder), go_on):
        try:
            for now in fit(config, task, state):
                check_finite(now)
                recorder.record(now)
                _show(bar, now, task)
                if interrupted.is_set():
                    recorder.save(now, "interrupted")
                    raise Interrupted(f"stopped at epoch {now.epoch}; go on with: {go_on}")
                if recorder.seconds_since_save > save_seconds:
                    recorder.save(now, "running")
            recorder.finish(now)
        except TrainingDiverged as error:
            kept = recorder.mark_diverged()
            raise TrainingDiverged(
                f"{error}; the state of epoch {kept} is kept in {folder}. "
                "Try a smaller learning_rate or a larger eps"
            ) from error


@contextmanager
def clear_failures(where: str, go_on: str) -> Iterator[None]:
    """Say what is lost, and how to go on, where training or saving stops in the middle.

    Args:
        where: The folder.
        go_on: What to type.

    Raises:
        Interrupted: for a Ctrl-C that could not wait.
        OSError: for a file that could not be written.
    """
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


def check_finite(now: Progress) -> None:
    """Refuse what a last step from a finite loss can still lead to, before it is saved."""
    if now.metrics is not None and not np.isfinite(now.metrics["loss"][0]).all():
        raise TrainingDiverged(f"the loss stopped being finite at epoch {now.epoch}")
    if not _all_finite(now.state.model):
        raise TrainingDiverged(f"the weights stopped being finite at epoch {now.epoch}")


@jax.jit
def _all_finite(model: Transformer) -> Bool[Array, ""]:
    return jnp.stack([jnp.isfinite(weight).all() for weight in model.weights.values()]).all()


class Recorder:
    """Keeps what a run yields, and writes it so that the folder can be loaded at any moment."""

    def __init__(self, folder: Path, config: Config, info: dict[str, Any], metrics: Metrics | None):
        """Start from nothing, or from what was recorded before.

        Args:
            folder: The run's.
            config: The experiment.
            info: Content of ``run.json``, updated with every save.
            metrics: Recorded before an interruption.
        """
        self.folder, self.config, self.info = folder, config, info
        self.rows: list[dict[str, np.ndarray]] = []
        self.before = metrics
        self.snapshots = set(snapshot_epochs(config.train))
        self.saved_at = self.resumed_at = time.perf_counter()
        self.wall_before = float(info["wall_seconds"])
        (folder / "snapshots").mkdir(exist_ok=True)

    @property
    def seconds_since_save(self) -> float:
        """Seconds since the state was last on disk."""
        return time.perf_counter() - self.saved_at

    def record(self, now: Progress) -> None:
        """Keep the metrics, and the weights where a snapshot is due."""
        if now.metrics is None:
            return
        self.rows.append(now.metrics)
        if now.epoch in self.snapshots or (now.last and self.snapshots):
            path = snapshot_path(self.folder, now.epoch)
            save_weights(path, self.config, now.state.model, half=True)

    def save(self, now: Progress, status: str) -> None:
        """Write everything; metrics before state, so that a crash between leaves too many rows."""
        save_metrics(self.folder, self.config, self.metrics(now.epoch))
        save_weights(self.folder / "weights.npz", self.config, now.state.model)
        save_state(self.folder, self.config, now.state)
        self._save_info(status, now.epoch, int(now.state.settled_since))
        self.saved_at = time.perf_counter()

    def finish(self, now: Progress) -> None:
        """Write the result; the optimiser's state is of no more use."""
        save_metrics(self.folder, self.config, self.metrics(now.epoch))
        save_weights(self.folder / "weights.npz", self.config, now.state.model)
        self._save_info("finished", now.epoch, int(now.state.settled_since))
        (self.folder / "state.npz").unlink(missing_ok=True)

    def mark_diverged(self) -> int:
        """Keep the last saved state, and all that was recorded; returns the state's epoch."""
        if self.rows:
            recorded = self.metrics(int(self.rows[-1]["epoch"]))
            save_metrics(self.folder, self.config, recorded)
        self._save_info("diverged", self.info["epoch"], self.info["settled_since"])
        return int(self.info["epoch"])

    def metrics(self, epoch: int) -> Metrics:
        """Everything recorded up to an epoch, before and after an interruption."""
        names = metric_axes(self.config)
        arrays = {}
        for name in names:
            rows = [row[name] for row in self.rows if name in row]
            pieces = [] if self.before is None else [self.before[name]]
            arrays[name] = np.concatenate([*pieces, *([np.stack(rows)] if rows else [])])
        return Metrics(arrays, names).until(epoch)

    def _save_info(self, status: str, epoch: int, since: int) -> None:
        elapsed = time.perf_counter() - self.resumed_at
        self.info |= {
            "status": status,
            "epoch": epoch,
            "settled_since": since,
            "wall_seconds": round(self.wall_before + elapsed, 3),
            "updated": now_utc(),
        }
        save_info(self.folder, self.info)


@contextmanager
def deferred_interrupt() -> Iterator[threading.Event]:
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


def _show(bar: tqdm, now: Progress, task: Task) -> None:
    """Move the bar; where something was recorded, say how training and the worst task stand."""
    bar.update(now.epoch - bar.n)
    if now.metrics is None:
        return
    accuracy = now.metrics["accuracy"]
    worst = int(np.argmin(accuracy[1]))
    bar.set_postfix_str(
        f"loss {now.metrics['loss'][0] @ task.loss_weights:.3f}, "
        f"accuracy train {accuracy[0].mean():.3f} validation {accuracy[1].mean():.3f}, "
        f"worst mod {task.moduli[worst]} {accuracy[1, worst]:.2f}"
    )
