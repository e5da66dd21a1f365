"""At which epochs a run is recorded, recorded widely, and kept."""

import numpy as np

from .config import TrainConfig


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
