"""A claim: what is said, how it is measured, and what decides.

A claim is measured on the runs it names and judged by a criterion that was fixed before any
run was looked at. The judge sees numbers only, so that a test can show it numbers of either
kind. With several runs of a kind, one for each seed, each number is the median over them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from itertools import chain

import numpy as np

from ..circuits.history import known_epochs
from ..storage.saved import Run

OURS = "Ours"  # the source of a claim that goes beyond the paper
Number = float | int | np.number | np.bool_
Measured = Mapping[str, Number]
Values = Mapping[str, float | int]
Evidence = Mapping[str, Sequence[Run]]


class CannotTell(ValueError):
    """A run lacks what a measure needs: the claim stays open, and this is the reason it gives."""


class Verdict(StrEnum):
    """What runs say about a claim."""

    REPRODUCED = "reproduced"
    PARTLY = "partly reproduced"
    NOT = "not reproduced"
    OPEN = "not testable with these runs"


@dataclass(frozen=True, kw_only=True)
class Measure:
    """Numbers taken from runs.

    Attributes:
        needs: Kinds of run, by the names of their presets without size.
        of: From one run of each kind, in that order, to numbers by name. One by the name ``p``
            says for which base they are, if not for that of the runs.
            `CannotTell` where a run has nothing to measure.
        together: Whether all runs of its kinds are measured at once, and not seed by seed.
        probes: Names of probes, without whose records it cannot be taken.
        snapshots: Whether it looks at the weights of epochs on the way.
    """

    needs: tuple[str, ...]
    of: Callable[..., Measured]
    together: bool = False
    probes: tuple[str, ...] = ()
    snapshots: bool = False

    def take(self, runs: Sequence[Run]) -> Measured:
        """The numbers of one set of runs.

        Raises:
            CannotTell: if one of them lacks a probe or snapshots, or has nothing to measure.
        """
        for run in runs:
            lacking = [name for name in self.probes if name not in run.config.train.probes]
            if lacking:
                raise CannotTell(
                    f"{run.folder.name} was trained without the probe {', '.join(lacking)}; "
                    "train it with all probes, as the presets do"
                )
            # One moment has no course: its only count would be the largest and the last.
            if self.snapshots and len(known_epochs(run)) < 2:
                raise CannotTell(
                    f"{run.folder.name} has no snapshots of its weights on the way; "
                    "train it with n_snapshots of 2 or more, as the presets do"
                )
        return self.of(*runs)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One thing that a paper says, and how we find out.

    Attributes:
        key: A short name.
        statement: What is claimed, in our words.
        source: Where it is claimed.
        criterion: What decides, in words; `judge` is the same in code.
        judge: From the measured numbers to the verdict.
        measures: What is measured. Without any, no run can test the claim.
        published: The paper's number for some of the measured ones, by the same name.
        page: The chapter that shows it.
        figure: The label of the figure or section there.
    """

    key: str
    statement: str
    source: str
    criterion: str
    judge: Callable[[Values], Verdict]
    measures: tuple[Measure, ...]
    published: Values
    page: str
    figure: str

    @property
    def ours(self) -> bool:
        """Whether it goes beyond the paper: stated, and its criterion fixed, by us."""
        return self.source == OURS

    @property
    def needs(self) -> tuple[str, ...]:
        """Kinds of run that all measures together need."""
        return tuple(dict.fromkeys(kind for measure in self.measures for kind in measure.needs))


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A claim after it was put to runs.

    Attributes:
        claim: What was asked.
        verdict: What the medians say.
        values: Each number, the median over the seeds.
        spread: Each number, seed by seed.
        missing: Kinds of run that would be needed and were not there.
        bases: The p of the runs that testified.
        reason: Why the runs that are there cannot tell; empty if they can.
    """

    claim: Claim
    verdict: Verdict
    values: Values
    spread: Mapping[str, tuple[float, ...]]
    missing: tuple[str, ...] = ()
    bases: tuple[int, ...] = ()
    reason: str = ""

    @property
    def alone(self) -> tuple[Verdict, ...]:
        """What each seed says by itself; empty if not all numbers are known of each."""
        if len({len(many) for many in self.spread.values()}) != 1:
            return ()
        each = zip(*self.spread.values(), strict=True)
        return tuple(self.claim.judge(dict(zip(self.spread, one, strict=True))) for one in each)

    @property
    def disagreement(self) -> str:
        """How many seeds give the verdict by themselves; empty if all do, or there is one."""
        if set(self.alone) <= {self.verdict}:
            return ""
        return f"{self.alone.count(self.verdict)} of {len(self.alone)} seeds alone"

    @property
    def where(self) -> str:
        """The p of the runs that testified; empty if none did."""
        return f"p = {', '.join(map(str, self.bases))}" if self.bases else ""


def decide(*parts: bool, given: bool = True) -> Verdict:
    """All parts hold: reproduced; some: partly; none: not.

    Args:
        parts: The statements that a claim is made of.
        given: Whether the runs can tell at all.

    Raises:
        ValueError: if there is nothing to decide by.
    """
    if not parts:
        raise ValueError("a verdict needs at least one statement that can hold or fail")
    if not given:
        return Verdict.OPEN
    return Verdict.REPRODUCED if all(parts) else Verdict.PARTLY if any(parts) else Verdict.NOT


def mostly(share: float | int) -> bool:
    """Whether something holds in more than half of the seeds, by the median of its 0s and 1s.

    A tie has a median of 1/2, and is no majority.
    """
    return share > 0.5


def examine(claim: Claim, evidence: Evidence, beside: Sequence[Measured] = ()) -> Finding:
    """Measure a claim on runs and judge it; where a run lacks what it takes, the claim is open.

    Args:
        claim: What to ask.
        evidence: Runs by kind. Of several bases the largest testifies in which every kind has a
            run; T_nanda, which is another task, may have another base. Runs of one base differ
            in the seed: a measure of several kinds takes the first of each together, then the
            second, as far as all go.
        beside: The same numbers from runs of other seeds that are not here, each as one more.

    Raises:
        RunError: if what a run recorded is damaged.
    """
    called = [_witnesses(measure, evidence) for measure in claim.measures]
    missing = tuple(dict.fromkeys(kind for lacking, _ in called for kind in lacking))
    if missing or not claim.measures:
        return Finding(claim=claim, verdict=Verdict.OPEN, values={}, spread={}, missing=missing)
    bases = {run.config.task.p for _, sets in called for runs in sets for run in runs}
    finding = partial(Finding, claim=claim, bases=tuple(sorted(bases)))
    spread: dict[str, tuple[float, ...]] = {}
    try:
        for measure, (_, sets) in zip(claim.measures, called, strict=True):
            taken = [measure.take(runs) for runs in sets]
            spread |= _by_name(taken, beside)
    except CannotTell as why:
        return finding(verdict=Verdict.OPEN, values={}, spread={}, reason=str(why))
    values = {name: float(np.median(many)) for name, many in spread.items()}
    found = finding(verdict=claim.judge(values), values=values, spread=spread)
    return replace(found, bases=(int(values["p"]),)) if "p" in values else found


def _by_name(taken: Sequence[Measured], beside: Sequence[Measured]) -> dict[str, tuple[float, ...]]:
    """Each number taken, seed by seed; one that some seeds do not have is that of the others."""
    found, names = (*taken, *beside), dict.fromkeys(chain(*taken))
    return {name: tuple(float(each[name]) for each in found if name in each) for name in names}


def _witnesses(
    measure: Measure, evidence: Evidence
) -> tuple[Sequence[str], Sequence[Sequence[Run]]]:
    """What a measure lacks, and if nothing, the runs that it is taken from, set by set."""
    kinds = [evidence.get(kind, ()) for kind in measure.needs]
    if lacking := [kind for kind, runs in zip(measure.needs, kinds, strict=True) if not runs]:
        return lacking, []
    if measure.together:
        return [], [list(chain(*kinds))]
    bases = [{run.config.task.p for run in runs} for runs in kinds]
    binding = [ps for runs, ps in zip(kinds, bases, strict=True) if not _is_addition(runs)]
    shared = set.intersection(*binding) if binding else set.intersection(*bases)
    if not shared:
        largest = max(set.union(*binding))
        there = zip(measure.needs, bases, kinds, strict=True)
        return [
            f"{kind} at p = {largest}"
            for kind, ps, runs in there
            if largest not in ps and not _is_addition(runs)
        ], []
    chosen = [max(shared) if max(shared) in ps else max(ps) for ps in bases]
    parts = [
        [run for run in runs if run.config.task.p == p]
        for runs, p in zip(kinds, chosen, strict=True)
    ]
    return [], list(zip(*parts, strict=False))


def _is_addition(runs: Sequence[Run]) -> bool:
    return all(run.config.task.name == "nanda" for run in runs)
