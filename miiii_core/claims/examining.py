"""Claims put to runs: which runs testify, and what follows from all that they say."""

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import NamedTuple

import numpy as np

from ..storage.saved import Run
from .ledger import CannotTell, Claim, Evidence, Finding, Measure, Measured, Values, Verdict

BySeed = dict[int, Measured]


class Told(NamedTuple):
    """What runs say of a claim that are not here.

    Attributes:
        seed: Of these runs.
        kinds: Of these runs; other kinds that the claim needs are the runs that are here.
        numbers: By name.
    """

    seed: int
    kinds: Collection[str]
    numbers: Measured


def examine(claim: Claim, evidence: Evidence, beside: Sequence[Told] = ()) -> Finding:
    """Measure a claim on runs and judge it; where a run lacks what it takes, the claim is open.

    Args:
        claim: What to ask.
        evidence: Runs by kind. Of several bases the largest testifies in which every kind has a
            run; T_nanda, which is another task, may have another base. Runs of one base differ
            in the seed: a measure of several kinds takes those of a seed together, for each seed
            that all kinds have, or the first of each if there is none.
        beside: The same numbers from runs of other seeds that are not here.

    Raises:
        RunError: if what a run recorded is damaged.
    """
    open_ = partial(Finding, claim=claim, verdict=Verdict.OPEN, values={}, spread={}, by_seed={})
    sets, missing = _witnesses(claim, evidence)
    if missing or not claim.measures:
        return open_(missing=tuple(missing))
    asked = [
        (measure, runs)
        for measure, each in zip(claim.measures, sets, strict=True)
        for runs in each.values()
    ]
    bases = tuple(sorted({p for measure, runs in asked for p in measure.bases_of(runs)}))
    try:
        taken = [
            _joined(measure, {seed: measure.take(runs) for seed, runs in each.items()}, beside)
            for measure, each in zip(claim.measures, sets, strict=True)
        ]
    except CannotTell as why:
        return open_(bases=bases, reason=str(why))
    spread = {name: many for each in taken for name, many in _by_name(each).items()}
    values = {name: float(np.median(many)) for name, many in spread.items()}
    return Finding(
        claim=claim, verdict=claim.judge(values), values=values, spread=spread,
        by_seed=_by_seed(taken), bases=bases,
    )  # fmt: skip


def _joined(measure: Measure, taken: BySeed, beside: Sequence[Told]) -> BySeed:
    """Numbers taken here, and those of other seeds that are not of the same runs again."""
    names = set(chain(*taken.values()))
    told = {
        other.seed: {name: value for name, value in other.numbers.items() if name in names}
        for other in beside
        if set(measure.needs) & set(other.kinds)
    }
    return taken | {seed: numbers for seed, numbers in told.items() if seed not in taken}


def _by_name(taken: BySeed) -> dict[str, tuple[float, ...]]:
    """Each number, seed by seed; one that some seeds do not have is that of the others."""
    found, names = taken.values(), dict.fromkeys(chain(*taken.values()))
    return {name: tuple(float(each[name]) for each in found if name in each) for name in names}


def _by_seed(taken: Sequence[BySeed]) -> dict[int, Values]:
    """All numbers of each seed, those of the first where a measure was not taken of it."""
    return {
        seed: {
            name: float(value)
            for each in taken
            for name, value in each.get(seed, next(iter(each.values()))).items()
        }
        for seed in dict.fromkeys(chain(*taken))
    }


def _witnesses(
    claim: Claim, evidence: Evidence
) -> tuple[list[dict[int, list[Run]]], Sequence[str]]:
    """The runs that each measure is taken from, set by set, by their seed; and what is missing."""
    kinds = {kind: evidence.get(kind, ()) for kind in claim.needs}
    if lacking := [kind for kind, runs in kinds.items() if not runs]:
        return [], lacking
    seeds, lacking = _of_one_base(
        {kind: kinds[kind] for one in claim.measures if not one.together for kind in one.needs}
    )
    if lacking:
        return [], lacking
    return [
        _at_once([run for kind in measure.needs for run in kinds[kind]])
        if measure.together
        else _paired([seeds[kind] for kind in measure.needs])
        for measure in claim.measures
    ], []


def _of_one_base(
    kinds: Mapping[str, Sequence[Run]],
) -> tuple[dict[str, dict[int, Run]], list[str]]:
    """Of each kind the runs of the largest p that all have, by seed; and which kinds lack it."""
    bases = {kind: {run.config.task.p for run in runs} for kind, runs in kinds.items()}
    free = {kind for kind, runs in kinds.items() if _is_addition(runs)}
    binding = [ps for kind, ps in bases.items() if kind not in free] or list(bases.values())
    shared = set[int].intersection(*binding) if binding else set[int]()
    if binding and not shared:
        largest = max(set[int].union(*binding))
        lacking = [kind for kind, ps in bases.items() if kind not in free and largest not in ps]
        return {}, [f"{kind} at p = {largest}" for kind in lacking]
    chosen: dict[str, dict[int, Run]] = {}
    for kind, runs in kinds.items():
        p = max(shared) if max(shared) in bases[kind] else max(bases[kind])
        # The first of a seed counts, and so does the order.
        own = [run for run in runs if run.config.task.p == p]
        last = {run.config.train.seed: run for run in reversed(own)}
        chosen[kind] = {seed: last[seed] for seed in reversed(last)}
    return chosen, []


def _paired(kinds: Sequence[Mapping[int, Run]]) -> dict[int, list[Run]]:
    """A run of each kind for each seed that all of them have, or the first of each."""
    shared = [seed for seed in kinds[0] if all(seed in runs for runs in kinds)]
    if not shared:
        return _at_once([next(iter(runs.values())) for runs in kinds])
    return {seed: [runs[seed] for runs in kinds] for seed in shared}


def _at_once(runs: list[Run]) -> dict[int, list[Run]]:
    """One set, known by the seed of its first run."""
    return {runs[0].config.train.seed: runs}


def _is_addition(runs: Sequence[Run]) -> bool:
    return all(run.config.task.name == "nanda" for run in runs)
