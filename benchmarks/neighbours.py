"""Are the settings that the paper chose the best it tried? Trains the neighbours at p = 113.

    python -m benchmarks.neighbours    # trains what is not stored yet; for a GPU

A neighbour of the paper's Table 2 has another value of its Table 1 in one field, and is else the
same. Every line of ``book/results/neighbours.jsonl`` is one training; the appendix on searching
shows them. Runs of Table 2 itself are shipped, and so are those without dropout and without
filter, which are not trained again here.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from miiii_core.claims.hyperparameters import APART, FILE
from miiii_core.config import Config
from miiii_core.presets import preset
from miiii_core.spaces import RECORDING, TABLE_1, neighbours

from .trainings import collect

RESULTS = Path(__file__).parent.parent / "book" / "results" / FILE


def main() -> None:
    """Train the neighbours that are not stored yet, side by side where one program can."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=RESULTS, help="file of lines to add to")
    parser.add_argument("--field", action="append", choices=TABLE_1, help="only neighbours in it")
    given = parser.parse_args()
    configs = chosen(given.field or TABLE_1)
    collect(given.out, configs, ("p", "epochs", "precision", *TABLE_1), together=True)


def chosen(fields: Iterable[str] = TABLE_1, **changes: Any) -> list[Config]:
    """The neighbours to train.

    Args:
        fields: In which they may differ from the paper's choice.
        changes: Fields that all of them have otherwise, for a smaller experiment.
    """
    center = preset("miiii").replace(precision="bfloat16", **RECORDING | changes)
    found = neighbours(center, {field: TABLE_1[field] for field in fields})
    return [config for step, config in found.items() if step not in APART]


if __name__ == "__main__":
    main()
