"""A claim: what is said, what is measured, and a criterion, which sees measured numbers only."""

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache, partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from miiii_core.model import Activations
from miiii_core.runs import Run

Measured = Mapping[str, float | int | np.number | np.bool_]
Values = Mapping[str, float]
COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le, ">=": operator.ge, "==": operator.eq, "<": operator.lt, ">": operator.gt,
}  # fmt: skip
MOST = 0.75  # share of the seeds from which what holds in them holds, and less the other way


class CannotTell(ValueError):
    """A run lacks what a measure needs: the claim stays undecided, for this reason."""


class Verdict(StrEnum):
    """What runs say about a claim."""

    HOLDS = "holds"
    FAILS = "fails"
    UNDECIDED = "undecided"


class Measure(NamedTuple):
    """Numbers taken from runs."""

    kinds: tuple[str, ...]  #: Kinds of run, by the names of their presets without size
    #: Numbers by name, of one run of each kind and of one seed; `CannotTell` if it has none
    take: Callable[..., Measured]
    together: bool = False  #: Whether `take` is given all runs of its kind at once instead


def each(take: Callable[[Run], Measured], *kinds: str) -> tuple[Measure, ...]:
    """Return a measure for each kind by itself; its numbers are named with it: ``p, T_miiii``."""

    def named(run: Run, kind: str) -> Measured:
        return {f"{name}, T_{kind}": value for name, value in take(run).items()}

    return tuple(Measure((kind,), partial(named, kind=kind)) for kind in kinds)


def beside(take: Callable[..., Measured], *kinds: str) -> tuple[Measure, ...]:
    """Return one measure of runs of several kinds."""
    return (Measure(kinds, take),)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One thing that is said, and how we find out; ``claims.toml`` says what its texts mean."""

    key: str
    statement: str
    source: str
    criterion: str
    fixed: str
    holds: str
    sentence: str
    verdict: str
    number: str
    where: str
    measure: str = ""
    given: str = ""
    changed: str = ""
    part: str = ""
    paper: str = ""
    least_seeds: int = 1
    published: Mapping[str, float | str] = field(default_factory=dict)

    def told(self, by_seed: Mapping[int, Values]) -> dict[int, bool]:
        """Return whether it holds in each seed that can tell, with the numbers and far enough."""
        found = {}
        for seed, values in by_seed.items():
            with suppress(ValueError):  # a number is not there
                if says(self.given, values):
                    found[seed] = says(self.holds, values)
        return found

    def judge(self, by_seed: Mapping[int, Values]) -> Verdict:
        """Judge by the numbers of each seed: what holds in three of four or more, holds."""
        told = self.told(by_seed)
        if not told or len(told) < self.least_seeds:
            return Verdict.UNDECIDED
        share = float(np.mean(list(told.values())))
        if share >= MOST:
            return Verdict.HOLDS
        return Verdict.FAILS if share <= 1 - MOST else Verdict.UNDECIDED


def says(text: str, v: Values) -> bool:
    """Return whether all comparisons of a text hold, such as ``0.5 × tasks <= solved < 1; x > 2``.

    Comparisons are separated by semicolons. What is compared are numbers, measured ones by name,
    or a number times a measured one; ValueError for a name that is not among these.
    """
    return all(holds for _, holds, _ in _comparisons(text, v))


def nearest(text: str, v: Values) -> tuple[str, float]:
    """Return the comparison of a criterion that is nearest to its bound, and how far it is.

    The distance is a share of the larger of the two sides, above 0 where the comparison holds, and
    infinite for an equality; below 0 where it does not.
    """
    return min(((part, far) for part, _, far in _comparisons(text, v)), key=lambda c: abs(c[1]))


def _comparisons(text: str, v: Values) -> list[tuple[str, bool, float]]:
    """Return each comparison of a text, whether it holds, and how far it is from its bound."""

    def value(term: str) -> float:
        factor, _, name = term.rpartition(" × ")
        return float(factor or 1) * (v[name] if name in v else float(name))

    found = []
    for part in filter(None, text.split("; ")):
        terms = re.split(r" (<=|>=|==|<|>) ", part)
        for ends, sign in zip(pairwise(terms[::2]), terms[1::2], strict=True):
            left, right = map(value, ends)
            gap = 0.0 if left == right else (left - right) / max(abs(left), abs(right), 1e-300)
            far = {">": gap, ">=": gap, "==": -abs(gap) or np.inf}.get(sign, -gap)
            found.append((f" {sign} ".join(ends), COMPARISONS[sign](left, right), far))
    return found


def median(values: Sequence[float] | np.ndarray) -> float:
    """Return the median, or 0 if there are no values."""
    return float(np.median(values)) if len(values) else 0.0


@lru_cache(maxsize=3)
def activations(run: Run) -> Activations:
    """Compute what a run does with every input, once for claims in a row; 0.3 GB at p = 113."""
    return run.activations()


def require_probe(name: str, run: Run) -> None:
    """Raise `CannotTell` if a run was recorded without a probe."""
    if name not in run.config.train.probes:
        raise CannotTell(
            f"{run.folder.name} was trained without the probe {name}; train it with all probes"
        )


def require_course(run: Run, moments: int) -> None:
    """Raise `CannotTell` if fewer than two moments of a run are known: one has no course."""
    if moments < 2:
        raise CannotTell(
            f"{run.folder.name} has no records or snapshots on the way; train it with n_snapshots "
            "of 2 or more"
        )
