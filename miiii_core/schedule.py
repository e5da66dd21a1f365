"""When a run is recorded and kept, when it ends, and when a task counts as learned."""

import math

import numpy as np
from jaxtyping import Float, Int

from .config import TrainConfig

GENERALISED = 0.9  # accuracy on held-out inputs from which a task counts as generalised
MASTERED = 0.99  # accuracy from which next to nothing is left to learn
SETTLED = 0.999  # validation accuracy of every task from which a run counts as settled
NEVER = math.inf  # stands for the epoch of what did not happen


def first_epoch(
    epochs: Int[np.ndarray, " ticks"],
    accuracy: Float[np.ndarray, " ticks"],
    level: float = MASTERED,
) -> int | None:
    """Return the first recorded epoch at which an accuracy reached a level, None for never."""
    reached = np.flatnonzero(accuracy >= level)
    return int(epochs[reached[0]]) if len(reached) else None


def tick_epochs(config: TrainConfig) -> tuple[int, ...]:
    """List the epochs to record: 0, log-spaced ones, each ``eval_every``-th, `wide_epochs`."""
    regular = set(range(0, config.epochs, config.eval_every))
    spaced = _log_spaced(config.epochs, config.evals_per_octave)
    return tuple(sorted(regular | spaced | set(wide_epochs(config))))


def wide_epochs(config: TrainConfig) -> tuple[int, ...]:
    """List the epochs to record with wide probes: 0, log-spaced ones, snapshots, the last."""
    spaced = _log_spaced(config.epochs, config.wide_per_octave)
    return tuple(sorted(spaced | set(snapshot_epochs(config)) | {0, config.epochs}))


def snapshot_epochs(config: TrainConfig) -> tuple[int, ...]:
    """List the log-spaced epochs, from 1 to the last, at which the weights are kept."""
    if config.n_snapshots == 0:
        return ()
    spaced = np.geomspace(1, config.epochs, config.n_snapshots)
    return tuple(sorted({int(e) for e in np.round(spaced)} | {config.epochs}))


def settled_since(accuracies: Float[np.ndarray, " tasks"], before: int, epoch: int) -> int:
    """Return the epoch since which every record found all tasks settled; -1 if this one did not.

    Args:
        accuracies: Validation accuracies of the tasks that are trained on, at this record.
        before: The answer at the record before.
        epoch: The epoch of this record.
    """
    since = before if before >= 0 else epoch
    return since if (accuracies >= SETTLED).all() else -1


def is_settled(config: TrainConfig, epoch: int, since: int) -> bool:
    """Return whether all tasks have been settled for as long as the configuration asks for."""
    enough = config.settled_share * config.epochs
    return 0 < enough <= epoch - since and since >= 0


def ends_at(config: TrainConfig, epoch: int, since: int) -> bool:
    """Return whether a run ends with the record of an epoch: it is the last, or settled."""
    return epoch == config.epochs or is_settled(config, epoch, since)


def next_chunk(n: int, seconds: float) -> int:
    """Return how many steps fill about a second, at most 4n, from the seconds that n steps took."""
    return max(1, min(4 * n, int(n / max(seconds, 1e-6))))


def _log_spaced(epochs: int, per_octave: int) -> set[int]:
    octaves = np.log2(epochs) if epochs > 1 else 0
    return {int(e) for e in np.round(2 ** np.arange(0, octaves, 1 / per_octave))}
