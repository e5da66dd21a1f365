"""Which runs testify to what."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from ..presets import nearest_preset
from ..storage.saved import Run
from .ledger import Evidence

BASES = "bases"  # runs of T_miiii in different bases p, all else equal
FREE = ("p", "seed")


def kind_of(run: Run) -> str:
    """The preset that a run is nearest to, of whatever size: ``miiii-small`` is a ``miiii``."""
    return nearest_preset(run.config)[0].removesuffix("-small")


def gather(found: Iterable[Run], bases: Iterable[Run] = ()) -> Evidence:
    """Finished runs by kind, one for each seed; those that differ in the base as one more kind.

    Of a kind those testify that are as a preset says, before others; of these those of the
    largest p, and of these the ones trained longest; of these only those that differ from the
    first in nothing but the seed.

    Args:
        found: Runs of any kind.
        bases: More runs, which only count where bases are compared.
    """
    kinds: dict[str, list[Run]] = defaultdict(list)
    for run in found:
        if run.finished:
            kinds[kind_of(run)].append(run)
    evidence = {
        kind: _alike(sorted(several, key=_weight, reverse=True)) for kind, several in kinds.items()
    }
    others = [run for run in bases if run.finished and kind_of(run) == "miiii"]
    apart = _bases([*kinds["miiii"], *others])
    return evidence | ({BASES: apart} if len(apart) > 1 else {})


def _weight(run: Run) -> tuple[bool, int, int]:
    # Neither is part of what a preset is about: the seed, and how numbers are rounded.
    differs = {field for field, _, _ in nearest_preset(run.config)[1]} - {"seed", "precision"}
    return not differs, run.config.task.p, run.config.train.epochs


def _alike(runs: list[Run]) -> list[Run]:
    """The runs that have the first one's configuration, one for each seed, by seed."""
    first = runs[0].config.replace(seed=0)
    alike = {r.config.train.seed: r for r in reversed(runs) if r.config.replace(seed=0) == first}
    return [alike[seed] for seed in sorted(alike)]


def _bases(runs: list[Run]) -> list[Run]:
    """Of the runs that differ in p and seed only, the largest such set: one for each p, by p."""
    sets: dict[tuple[Any, ...], dict[int, Run]] = defaultdict(dict)
    for run in sorted(runs, key=lambda run: run.config.train.seed, reverse=True):
        rest = {name: value for name, value in run.config.values.items() if name not in FREE}
        sets[tuple(rest.items())][run.config.task.p] = run
    largest = max(sets.values(), key=len, default={})
    return [largest[p] for p in sorted(largest)]
