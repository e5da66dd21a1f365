"""A claim: what is said, how it is measured, and what decides.

A claim is measured on the runs it names and judged by a criterion that was fixed before any
run was looked at, unless its chapter says otherwise. The judge sees numbers only, so that a test
can show it numbers of either kind. With several runs of a kind, one for each seed, each number is
the median over them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Optional

import numpy as np

from ..circuits.history import known_epochs
from ..storage.saved import Run

OURS = "Ours"  # the source of a claim that goes beyond the paper
FEW_BASES = 6  # that are named one by one
Number = float | int | np.number | np.bool_
Measured = Mapping[str, Number]
Values = Mapping[str, float | int]
Evidence = Mapping[str, Sequence[Run]]
Published = Mapping[str, float | int | str]


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
        of: From one run of each kind, in that order, to numbers by name.
            `CannotTell` where a run has nothing to measure.
        together: Whether all runs of its kinds are measured at once, and not seed by seed.
        bases: From the same runs to the p that the numbers are of; the runs' own if there are none.
        probes: Names of probes, without whose records it cannot be taken.
        snapshots: Whether it looks at the weights of epochs on the way.
    """

    needs: tuple[str, ...]
    of: Callable[..., Measured]
    together: bool = False
    bases: Callable[..., Iterable[int]] | None = None
    probes: tuple[str, ...] = ()
    snapshots: bool = False

    def bases_of(self, runs: Sequence[Run]) -> set[int]:
        """The p that the numbers of these runs are of."""
        stored = set(self.bases(*runs)) if self.bases else set()
        return stored or {run.config.task.p for run in runs}

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


def apart(of: Callable[..., Measured], *kinds: str) -> tuple[Measure, ...]:
    """The same numbers of runs that need not be pairs: a measure for each kind.

    Args:
        of: From a run and a `name`, by which its numbers call it, such as ``T_miiii``.
        kinds: Of run.
    """
    return tuple(Measure(needs=(kind,), of=partial(of, name=f"T_{kind}")) for kind in kinds)


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
        published: The paper's number for some of the measured ones, by the same name; in words
            where it is a range.
        page: The chapter that shows it.
        figure: The label of the figure or section there.
        shown: Measured numbers that decide and of which the paper has none.
    """

    key: str
    statement: str
    source: str
    criterion: str
    judge: Callable[[Values], Verdict]
    measures: tuple[Measure, ...]
    published: Published
    page: str
    figure: str
    shown: tuple[str, ...] = ()

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
        spread: Each number, once for each seed with a run that it is about.
        by_seed: All numbers of each seed; of a kind that has no run of it, those of its first.
        missing: Kinds of run that would be needed and were not there.
        bases: The p of the runs that testified.
        reason: Why the runs that are there cannot tell; empty if they can.
        impostor: The same claim put to a run that must not fulfil it; None if it was not.
    """

    claim: Claim
    verdict: Verdict
    values: Values
    spread: Mapping[str, tuple[float, ...]]
    by_seed: Mapping[int, Values]
    missing: tuple[str, ...] = ()
    bases: tuple[int, ...] = ()
    reason: str = ""
    impostor: Optional["Finding"] = None

    @property
    def alone(self) -> tuple[Verdict, ...]:
        """What each seed says by itself; empty if one lacks a number that decides."""
        try:
            return tuple(self.claim.judge(values) for values in self.by_seed.values())
        except KeyError:
            return ()

    @property
    def disagreement(self) -> str:
        """How many seeds give the verdict by themselves; empty if all do, or there is one."""
        if set(self.alone) <= {self.verdict}:
            return ""
        return f"{self.alone.count(self.verdict)} of {len(self.alone)} seeds say so by themselves"

    @property
    def where(self) -> str:
        """The p of the runs that testified; empty if none did."""
        if len(self.bases) > FEW_BASES:
            return f"{len(self.bases)} bases from p = {min(self.bases)} to {max(self.bases)}"
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
