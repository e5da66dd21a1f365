"""At which epochs a run is recorded, recorded widely, and kept, and when it ends."""

import numpy as np
from jaxtyping import Float

from ..config import TrainConfig

SETTLED = 0.999  # validation accuracy of every task from which a run counts as settled


def tick_epochs(config: TrainConfig) -> tuple[int, ...]:
    """Epochs to record: 0, log-spaced ones, every ``eval_every``-th, and all `wide_epochs`."""
    regular = set(range(0, config.epochs, config.eval_every))
    spaced = _log_spaced(config.epochs, config.evals_per_octave)
    return tuple(sorted(regular | spaced | set(wide_epochs(config))))


def wide_epochs(config: TrainConfig) -> tuple[int, ...]:
    """Epochs to record with the wide probes: 0, log-spaced ones, snapshots, and the last."""
    spaced = _log_spaced(config.epochs, config.wide_per_octave)
    return tuple(sorted(spaced | set(snapshot_epochs(config)) | {0, config.epochs}))


def _log_spaced(epochs: int, per_octave: int) -> set[int]:
    octaves = np.log2(epochs) if epochs > 1 else 0
    return {int(e) for e in np.round(2 ** np.arange(0, octaves, 1 / per_octave))}


def snapshot_epochs(config: TrainConfig) -> tuple[int, ...]:
    """Log-spaced epochs, from the first to the last, at which the weights are kept."""
    if config.n_snapshots == 0:
        return ()
    spaced = np.geomspace(1, config.epochs, config.n_snapshots)
    return tuple(sorted({int(e) for e in np.round(spaced)} | {config.epochs}))


def settled_since(accuracies: Float[np.ndarray, " tasks"], before: int, epoch: int) -> int:
    """Epoch since which every record found all tasks settled; -1 for not so.

    Args:
        accuracies: In validation, of each task that is trained on.
        before: The answer at the record before.
        epoch: Of this record.
    """
    if not (accuracies >= SETTLED).all():
        return -1
    return before if before >= 0 else epoch


def is_settled(config: TrainConfig, epoch: int, since: int) -> bool:
    """Whether all tasks have been settled for as long as the configuration asks for."""
    enough = config.settled_share * config.epochs
    return 0 < enough <= epoch - since and since >= 0


def ends_at(config: TrainConfig, epoch: int, since: int) -> bool:
    """Whether a run ends with the record of an epoch: its last one, or settled by then."""
    return epoch == config.epochs or is_settled(config, epoch, since)


def next_chunk(n: int, seconds: float) -> int:
    """As many steps as fill about a second, growing at most fourfold at a time.

    Args:
        n: Steps of the last chunk.
        seconds: What they took.
    """
    return max(1, min(4 * n, int(n / max(seconds, 1e-6))))
