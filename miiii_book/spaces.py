"""What the paper chose its settings from, in its Table 1, and settings one step away."""

from collections.abc import Mapping
from typing import Any

from miiii_core.config import Config

Space = Mapping[str, tuple[Any, ...]]  # values by field
TABLE_1: Space = {
    "dropout": (0.0, 0.5, 0.2, 0.1),
    "grokfast_lambda": (0.0, 0.5, 2.0),
    "weight_decay": (0.0, 0.1, 0.5, 1.0),
    "d_model": (128, 256),
    "learning_rate": (3e-4, 1e-4),
    "n_heads": (4, 8),
}
# The same questions for a small p, of which two cores answer in seconds.
SMALL: Space = {**TABLE_1, "d_model": (32, 64), "learning_rate": (3e-3, 1e-3)}
# What a training records changes nothing of its loss, so trials record as little as will do.
RECORDING: dict[str, Any] = {
    "probes": (), "n_snapshots": 0, "evals_per_octave": 2, "wide_per_octave": 1,
}  # fmt: skip


def neighbours(config: Config) -> dict[tuple[str, Any], Config]:
    """Return the configurations with another value of Table 1 in one field, by field and value.

    No dropout and no filter are claims of their own, with runs of their own, and not among them.
    """
    return {
        (field, value): config.replace(**{field: value})
        for field, values in TABLE_1.items()
        for value in values
        if value != config.values[field]
        if (field, value) not in (("dropout", 0.0), ("grokfast_lambda", 0.0))
    }
