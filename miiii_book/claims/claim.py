"""A claim: what is said, how it is measured, and what decides; and what came of it.

A claim is measured on the runs it names, and judged by a criterion that was fixed before any run
was looked at, unless its chapter says otherwise. The judge sees numbers only, so that a test can
show it numbers of either kind. Of several seeds each number is the median.
"""

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property, lru_cache, partial
from itertools import pairwise
from typing import NamedTuple, Optional

import numpy as np

from miiii_core.model import Activations
from miiii_core.runs import Run

Measured = Mapping[str, float | int | np.number | np.bool_]
Values = Mapping[str, float]
COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le, ">=": operator.ge, "==": operator.eq, "<": operator.lt, ">": operator.gt,
}  # fmt: skip


class CannotTell(ValueError):
    """A run lacks what a measure needs: the claim stays open, for this reason."""


class Verdict(StrEnum):
    """What runs say about a claim."""

    REPRODUCED = "reproduced"
    PARTLY = "partly reproduced"
    NOT = "not reproduced"
    OPEN = "not testable with these runs"


class Measure(NamedTuple):
    """Numbers taken from runs."""

    kinds: tuple[str, ...]  #: Kinds of run, by the names of their presets without size
    #: Function from one run of each kind, of one seed and in that order, to numbers by
    #: name. It raises `CannotTell` where a run has nothing to measure
    take: Callable[..., Measured]
    together: bool = False  #: Whether `take` is given all runs of its kind at once instead


Judge = Callable[[Values], Verdict]


def measures_of(
    take: Callable[..., Measured], kinds: Sequence[str], taken: str
) -> tuple[Measure, ...]:
    """Return the measures of a claim, whose function is given runs of some kinds in one way.

    They are taken ``beside`` each other, one of each kind; ``together``, all runs of one kind; or
    ``each`` by itself, a measure for each kind, with the ``name`` by which its numbers call it:
    ``miiii`` is called ``T_miiii``.
    """
    if taken == "each":
        return tuple(Measure((kind,), partial(take, name=f"T_{kind}")) for kind in kinds)
    return (Measure(tuple(kinds), take, taken == "together"),)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One thing that is said, and how we find out; ``claims.toml`` says what its texts mean."""

    key: str
    statement: str
    source: str
    criterion: str
    where: str
    headline: str
    published: Mapping[str, float | str] = field(default_factory=dict)
    shown: tuple[str, ...] = ()
    measures: tuple[Measure, ...]
    judge: Judge

    @property
    def ours(self) -> bool:
        """Whether it goes beyond the paper: stated, and its criterion fixed, by us."""
        return self.source == "Ours"

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of run that all measures together need."""
        return tuple(dict.fromkeys(kind for one in self.measures for kind in one.kinds))


class Row(NamedTuple):
    """What one measure of a claim found on the runs of one seed."""

    kinds: tuple[str, ...]
    seed: int
    numbers: Values


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A claim after it was put to runs."""

    claim: Claim  #: What was asked
    rows: tuple[Row, ...] = ()  #: What was measured, measure by measure and seed by seed
    bases: tuple[int, ...] = ()  #: The p of the runs
    reason: str = ""  #: Why the runs that are there cannot tell; empty if they can
    #: The same claim put to a run with shuffled labels; None if it was not
    control: Optional["Finding"] = None

    @cached_property
    def spread(self) -> dict[str, tuple[float, ...]]:
        """Each number, once for each seed that has it."""
        names = dict.fromkeys(name for row in self.rows for name in row.numbers)
        return {n: tuple(r.numbers[n] for r in self.rows if n in r.numbers) for n in names}

    @cached_property
    def values(self) -> dict[str, float]:
        """Each number, the median over the seeds."""
        return {name: float(np.median(many)) for name, many in self.spread.items()}

    @cached_property
    def verdict(self) -> Verdict:
        """What the medians say."""
        return self.claim.judge(self.values) if self.rows else Verdict.OPEN

    @property
    def by_seed(self) -> dict[int, dict[str, float]]:
        """All numbers of each seed; of a kind that has no run of it, those of its first."""
        first = {row.kinds: row.numbers for row in reversed(self.rows)}
        own = {(row.kinds, row.seed): row.numbers for row in self.rows}
        return {
            seed: {n: x for k in reversed(first) for n, x in own.get((k, seed), first[k]).items()}
            for seed in dict.fromkeys(row.seed for row in self.rows)
        }

    @property
    def alone(self) -> tuple[Verdict, ...]:
        """What each seed says by itself; empty if one lacks a number that decides."""
        try:
            return tuple(self.claim.judge(values) for values in self.by_seed.values())
        except KeyError:
            return ()


def decide(*parts: bool, given: bool = True) -> Verdict:
    """Judge a claim by its parts, one or more: all hold, some do, or none; or none can be told."""
    if not given:
        return Verdict.OPEN
    return Verdict.REPRODUCED if all(parts) else Verdict.PARTLY if any(parts) else Verdict.NOT


def judge_by(holds: Sequence[str], given: str = "") -> Judge:
    """Return the judge of a criterion that is written down, as `says` reads it."""
    return lambda v: decide(*(says(part, v) for part in holds), given=says(given, v))


def says(text: str, v: Values) -> bool:
    """Return whether all comparisons of a text hold, such as ``0.5 × tasks <= solved < 1; x > 2``.

    Comparisons are separated by semicolons. What is compared are numbers, measured ones by name,
    or a number times a measured one.
    """

    def value(term: str) -> float:
        factor, _, name = term.rpartition(" × ")
        if name in v:
            return float(factor or 1) * v[name]
        try:
            return float(term)
        except ValueError:
            raise KeyError(term) from None

    for part in filter(None, text.split("; ")):
        first, *rest = re.split(r" (<=|>=|==|<|>) ", part)
        ends = list(pairwise([value(first), *map(value, rest[1::2])]))
        if not all(COMPARISONS[sign](*pair) for sign, pair in zip(rest[::2], ends, strict=True)):
            return False
    return True


def median(values: Sequence[float] | np.ndarray, none: float = 0.0) -> float:
    """Return the median, or what is said instead of that of no values."""
    return float(np.median(values)) if len(values) else none


@lru_cache(maxsize=3)
def activations(run: Run) -> Activations:
    """Compute what a run does with every input, once for claims in a row; 0.3 GB at p = 113."""
    return run.activations()


def require_probe(name: str, *runs: Run) -> None:
    """Raise `CannotTell` if a run was recorded without a probe."""
    for run in runs:
        if name not in run.config.train.probes:
            raise CannotTell(
                f"{run.folder.name} was trained without the probe {name}; train it with all "
                "probes, as the presets do"
            )


def require_course(run: Run, moments: int) -> None:
    """Raise `CannotTell` if fewer than two moments of a run are known: one has no course."""
    if moments < 2:
        raise CannotTell(
            f"{run.folder.name} has no snapshots of its weights on the way; train it with "
            "n_snapshots of 2 or more, as the presets do"
        )
