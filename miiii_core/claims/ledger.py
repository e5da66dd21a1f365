"""A claim: what is said, how it is measured, and what decides.

A claim is measured on the runs it names and judged by a criterion that was fixed before any
run was looked at. The judge sees numbers only, so that a test can show it numbers of either
kind. With several runs of a kind, one for each seed, each number is the median over them.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain

import numpy as np

from ..storage.saved import Run

NEVER = math.inf  # the epoch at which something happened that did not
Number = float | int | np.number | np.bool_
Measured = Mapping[str, Number]
Values = Mapping[str, float | int]
Evidence = Mapping[str, Sequence[Run]]


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
        together: Whether all runs of its kinds are measured at once, and not seed by seed.
    """

    needs: tuple[str, ...]
    of: Callable[..., Measured]
    together: bool = False


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
    """

    claim: Claim
    verdict: Verdict
    values: Values
    spread: Mapping[str, tuple[float, ...]]
    missing: tuple[str, ...] = ()


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


def examine(claim: Claim, evidence: Evidence) -> Finding:
    """Measure a claim on runs and judge it.

    Args:
        claim: What to ask.
        evidence: Runs by kind; several of a kind differ in the seed. A measure of several
            kinds takes the first runs of each together, then the second, as far as all go.

    Raises:
        RunError: if what a run recorded is damaged.
    """
    missing = tuple(kind for kind in claim.needs if not evidence.get(kind))
    if missing or not claim.measures:
        return Finding(claim=claim, verdict=Verdict.OPEN, values={}, spread={}, missing=missing)
    spread = {name: many for part in claim.measures for name, many in _measured(part, evidence)}
    values = {name: float(np.median(many)) for name, many in spread.items()}
    return Finding(claim=claim, verdict=claim.judge(values), values=values, spread=spread)


def _measured(measure: Measure, evidence: Evidence) -> Iterator[tuple[str, tuple[float, ...]]]:
    """Each number of a measure, with its values over the seeds."""
    several = [evidence[kind] for kind in measure.needs]
    if measure.together:
        found = [measure.of(*chain(*several))]
    else:
        found = [measure.of(*runs) for runs in zip(*several, strict=False)]
    for name in found[0]:
        yield name, tuple(float(values[name]) for values in found)
