"""What do the choices cost that text and public code leave open? Trains each the other way.

    python -m benchmarks.forks             # train what is not in the table yet
    python -m benchmarks.forks --seeds 3   # with three seeds each

A fork differs from the small T_miiii in what it names and in nothing else. Every line of
``forks.jsonl`` is one training; the table in ``forks.md`` is made from it, and the chapter
"Where text and code part ways" shows it.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from miiii_core.config import Config
from miiii_core.presets import preset

from .trainings import MEAN, collect, markdown, passed_at, read

RESULTS = Path(__file__).with_suffix(".jsonl")
TABLE = Path(__file__).with_suffix(".md")
# A base in which all tasks are learned within minutes, whatever the seed.
BASE: dict[str, Any] = {"p": 41, "epochs": 4096, "eval_every": 64}
FORKS: dict[str, dict[str, Any]] = {
    "as here": {},
    "one dropout mask a step for all inputs": {"dropout_mask": "shared"},
    "no dropout": {"dropout": 0.0},
    "filter starts at the first gradient": {"grokfast_start": "first"},
    "filter by a moving average": {"grokfast": "ma"},
    "no filter": {"grokfast": "none"},
    "no filter, step longer by 1 + lambda": {"grokfast": "none", "learning_rate": 6e-3},
    "first weights of Nanda et al.": {"init": "nanda"},
    "weight decay of a third": {"weight_decay": 1 / 3},
    "seven tenths trained on": {"train_fraction": 0.7},
    "bfloat16 products": {"precision": "bfloat16"},
}
FIELDS = ("p", "epochs", *dict.fromkeys(name for fork in FORKS.values() for name in fork))


def main() -> None:
    """Train the forks that are not yet in the results, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each fork")
    seeds = parser.parse_args().seeds
    collect(RESULTS, [config_of(f, seed) for seed in range(seeds) for f in FORKS], FIELDS)
    TABLE.write_text(f"{INTRODUCTION}\n" + markdown(HEAD, table(read(RESULTS))))


def config_of(fork: str, seed: int) -> Config:
    """The configuration of one fork."""
    recording = {"n_snapshots": 0, "probes": (), "settled_share": 0.0, "evals_per_octave": 1}
    return preset("miiii-small").replace(**BASE | recording | FORKS[fork], seed=seed)


def table(rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    """A row for each fork that was trained: its name, its trainings, when they came to what."""
    digests = {row["digest"]: row for row in rows}
    shown = []
    for fork in FORKS:
        configs = [config_of(fork, seed).digest for seed in range(len(rows))]
        if found := [digests[digest] for digest in configs if digest in digests]:
            passed = sorted(passed_at(row) or np.inf for row in found)
            ends = [row["curve"][-1][2] for row in found]
            shown.append([fork, str(len(found)), _span(passed), f"{np.median(ends):.3f}"])
    return shown


def _span(passed: Sequence[float]) -> str:
    """Median, least and most of epochs, ascending; infinite for never."""
    middle = passed[len(passed) // 2]
    names = ["never" if np.isinf(epoch) else f"{epoch:.0f}" for epoch in (middle, *passed)]
    return names[0] if len(passed) == 1 else f"{names[0]} ({names[1]} to {names[-1]})"


HEAD = ("fork", "trainings", f"mean validation accuracy reaches {MEAN} at epoch", "at the end")
INTRODUCTION = f"""# What the forks cost

Written by `python -m benchmarks.forks`: T_miiii at p = {BASE["p"]}, {BASE["epochs"]} epochs,
evaluated every {BASE["eval_every"]}; the median over seeds, and the least and the most.
"""

if __name__ == "__main__":
    main()
