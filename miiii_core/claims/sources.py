"""Which runs testify to what."""

from collections import defaultdict
from collections.abc import Iterable

from ..presets import nearest_preset
from ..storage.saved import Run
from .ledger import Evidence

BASES = "bases"  # all runs of T_miiii, of which those of one recipe in several bases are compared


def kind_of(run: Run) -> str:
    """The preset that a run is nearest to, of whatever size: ``miiii-small`` is a ``miiii``."""
    return nearest_preset(run.config)[0].removesuffix("-small")


def gather(found: Iterable[Run]) -> Evidence:
    """Finished runs by kind; all of T_miiii once more, where bases are compared.

    Of a kind those testify that are as a preset says, before others. Of each p it is those
    trained longest, one for each seed, that differ in nothing but that; the largest p first.

    Args:
        found: Runs of any kind.
    """
    kinds: dict[str, list[Run]] = defaultdict(list)
    for run in found:
        if run.finished:
            kinds[kind_of(run)].append(run)
    evidence = {kind: _testifying(runs) for kind, runs in kinds.items()}
    return evidence | ({BASES: kinds["miiii"]} if "miiii" in kinds else {})


def _testifying(runs: list[Run]) -> list[Run]:
    chosen = [run for run in runs if _is_preset(run)] or runs
    sizes = sorted({run.config.task.p for run in chosen}, reverse=True)
    return [run for p in sizes for run in _alike([run for run in chosen if run.config.task.p == p])]


def _is_preset(run: Run) -> bool:
    # Neither is part of what a preset is about: the seed, and how numbers are rounded.
    return {field for field, _, _ in nearest_preset(run.config)[1]} <= {"seed", "precision"}


def _alike(runs: list[Run]) -> list[Run]:
    """Runs with the configuration of the one trained longest, one for each seed, by seed."""
    first = max(runs, key=lambda run: run.config.train.epochs).config.replace(seed=0)
    alike = {r.config.train.seed: r for r in reversed(runs) if r.config.replace(seed=0) == first}
    return [alike[seed] for seed in sorted(alike)]
