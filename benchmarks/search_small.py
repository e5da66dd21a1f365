"""Which small settings of T_miiii grok? Trains a list of them and keeps a table.

    python -m benchmarks.search_small             # train what is not in the table yet
    python -m benchmarks.search_small --seeds 3   # with three seeds each

Settings are ranked by the epoch at which their mean validation accuracy first
reaches 0.9, then by its value at the end: a short look at who is on the way. The
one that is kept is trained on until every task has generalised. Every line of
``search_small.jsonl`` is one training, in full; the table in ``search_small.md``
is made from it.
"""

import argparse
from pathlib import Path
from typing import Any

from miiii_core.config import Config
from miiii_core.milestones import GENERALISED, NEVER
from miiii_core.presets import preset
from miiii_core.storage.results import curve_of, read_lines

from .trainings import collect, markdown

RESULTS = Path(__file__).with_suffix(".jsonl")
TABLE = Path(__file__).with_suffix(".md")
EPOCHS, EVERY = 4096, 128
FIELDS = (
    "p",
    "train_fraction",
    "d_model",
    "mlp_ratio",
    "n_heads",
    "dropout",
    "dropout_mask",
    "learning_rate",
    "weight_decay",
    "beta2",
    "grokfast_lambda",
)
# Each differs from the preset miiii-small in what it names.
VARIANTS: list[dict[str, Any]] = [
    {},
    {"dropout_mask": "shared"},
    {"dropout": 0.0},
    {"grokfast_lambda": 0.5},
    {"train_fraction": 0.7},
    {"weight_decay": 2.0},
    {"learning_rate": 1e-3},
    {"p": 37},
    {"d_model": 64},
    {"dropout": 0.2},
    {"grokfast_lambda": 5.0},
    {"learning_rate": 3e-3},
    {"weight_decay": 0.5},
    {"p": 29},
]


def main() -> None:
    """Train the settings that are not yet in the results, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each setting")
    seeds = parser.parse_args().seeds
    configs = [config_of(variant, seed) for seed in range(seeds) for variant in VARIANTS]
    collect(RESULTS, configs, FIELDS)
    TABLE.write_text(table(read_lines(RESULTS)))


def config_of(variant: dict[str, Any], seed: int) -> Config:
    """The configuration of one variant."""
    recording = {"epochs": EPOCHS, "eval_every": EVERY, "n_snapshots": 0, "probes": ()}
    return preset("miiii-small").replace(**variant, **recording, evals_per_octave=1, seed=seed)


def table(rows: list[dict[str, Any]]) -> str:
    """The results as Markdown, best first."""
    rows = sorted(rows, key=_rank)
    head = [
        *FIELDS,
        "seed",
        f"mean reaches {GENERALISED} at epoch",
        "mean at the end",
        "worst at the end",
        "seconds",
    ]
    return f"{INTRODUCTION}\n" + markdown(head, map(_cells, rows))


def _rank(row: dict[str, Any]) -> tuple[float, float]:
    curve = curve_of(row)
    return curve.reached(GENERALISED), -curve.accuracy[-1]


def _cells(row: dict[str, Any]) -> list[str]:
    _, _, mean, worst, modulus = row["curve"][-1]
    values = [_short(row[name]) for name in FIELDS]
    came = curve_of(row).reached(GENERALISED)
    values += [str(row["seed"]), "no" if came == NEVER else f"{came:.0f}", f"{mean:.3f}"]
    return [*values, f"{worst:.3f} (mod {modulus})", f"{row['seconds']:.0f}"]


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


INTRODUCTION = f"""# How the small T_miiii was found

Written by `python -m benchmarks.search_small`: one training of {EPOCHS} epochs a row,
evaluated every {EVERY}. Accuracies are on the validation inputs. Seconds are wall time on
two shared cores, and say more about the neighbours than about the setting. One training
is one training: the order of near neighbours is luck.
"""

if __name__ == "__main__":
    main()
