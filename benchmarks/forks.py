"""What do the choices cost that text and public code leave open? Trains each the other way.

    python -m benchmarks.forks             # trains what is not stored yet
    python -m benchmarks.forks --seeds 3   # with three seeds each

A fork differs from a small T_miiii in what it names and in nothing else. Every line of
``book/results/forks.jsonl`` is one training, kept when it is done; the chapter "Where text and
code part ways" shows them.
"""

import argparse
from pathlib import Path
from typing import Any

from miiii_core.config import Config
from miiii_core.presets import preset

from .trainings import collect

RESULTS = Path(__file__).parent.parent / "book" / "results" / "forks.jsonl"
# A base in which all tasks are learned within minutes, though not by every seed.
BASE: dict[str, Any] = {"p": 41, "epochs": 4096, "eval_every": 64}
FORKS: tuple[dict[str, Any], ...] = (
    {},
    {"dropout_mask": "shared"},
    {"dropout": 0.0},
    {"grokfast_start": "first"},
    {"grokfast": "ma"},
    {"grokfast": "none"},
    {"init": "nanda"},
    {"weight_decay": 1 / 3},
    {"train_fraction": 0.7},
    {"precision": "bfloat16"},
)
FIELDS = ("p", "epochs", *dict.fromkeys(name for fork in FORKS for name in fork))


def main() -> None:
    """Train the forks that are not stored yet, all of one seed before those of the next."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each fork")
    parser.add_argument("--out", type=Path, default=RESULTS, help="file of lines to add to")
    given = parser.parse_args()
    configs = [config_of(fork, seed) for seed in range(given.seeds) for fork in FORKS]
    collect(given.out, configs, FIELDS)


def config_of(fork: dict[str, Any], seed: int) -> Config:
    """The configuration of one fork."""
    recording = {"n_snapshots": 0, "probes": (), "settled_share": 0.0, "evals_per_octave": 1}
    return preset("miiii-small").replace(**BASE | recording | fork, seed=seed)


if __name__ == "__main__":
    main()
