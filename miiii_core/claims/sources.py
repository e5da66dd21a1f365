"""Which runs testify to what."""

from collections import defaultdict
from collections.abc import Iterable

from ..presets import nearest_preset
from ..storage.saved import Run
from .ledger import Evidence


def kind_of(run: Run) -> str:
    """The preset that a run is nearest to, of whatever size: ``miiii-small`` is a ``miiii``."""
    return nearest_preset(run.config)[0].removesuffix("-small")


def gather(found: Iterable[Run]) -> Evidence:
    """Finished runs by kind, one for each seed.

    Of a kind those of the largest p testify, and of these the ones trained longest; of these
    only those that differ from the first in nothing but the seed.
    """
    kinds: dict[str, list[Run]] = defaultdict(list)
    for run in found:
        if run.finished:
            kinds[kind_of(run)].append(run)
    return {kind: _alike(sorted(runs, key=_weight, reverse=True)) for kind, runs in kinds.items()}


def _weight(run: Run) -> tuple[int, int]:
    return run.config.task.p, run.config.train.epochs


def _alike(runs: list[Run]) -> list[Run]:
    """The runs that have the first one's configuration, one for each seed, by seed."""
    first = runs[0].config.replace(seed=0)
    alike = {r.config.train.seed: r for r in reversed(runs) if r.config.replace(seed=0) == first}
    return [alike[seed] for seed in sorted(alike)]
