"""A claim of ours about a larger base than the paper's."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from ..analysis.symmetry import FIRST
from ..storage.saved import Run
from .bases import by_base, trainings_of
from .ledger import OURS, CannotTell, Claim, Measure, Measured, Values, Verdict, decide

ENOUGH = 5  # tasks learned in time from which two bases can be compared


class Beside(NamedTuple):
    """Two bases of one recipe, until the epoch at which the shorter of their trainings ended.

    Attributes:
        p: The smaller base and the larger.
        moduli: Tasks of both from 5 on that were learned in the smaller base by then.
        learned: Epoch at which each was learned in each base; infinite for never.
        last: That epoch.
    """

    p: tuple[int, int]
    moduli: Int[np.ndarray, " tasks"]
    learned: Float[np.ndarray, "2 tasks"]
    last: int

    @property
    def in_time(self) -> Bool[np.ndarray, " tasks"]:
        """Whether the larger base had learned each by then."""
        return self.learned[1] <= self.last

    @property
    def times(self) -> Float[np.ndarray, " tasks"]:
        """Epoch in the larger base over that in the smaller; the last where it was later."""
        return np.minimum(self.learned[1], self.last) / self.learned[0]


def larger_base(run: Run) -> Beside:
    """The base of a run beside the largest in which its recipe was trained too.

    Raises:
        CannotTell: if it was trained in no larger one.
    """
    bases = by_base(trainings_of([run]))
    p, other = run.task.p, max(bases)
    if other <= p:
        raise CannotTell(
            f"{run.folder.name} is of a recipe of which no larger base than {p} is known; train "
            "one with a larger --p, all else equal"
        )
    moduli = np.array(run.task.moduli)
    last = min(bases[p].last, bases[other].last)
    both = np.array([bases[p].learned, bases[other].learned[: len(moduli)]])
    told = (moduli >= FIRST) & (both[0] <= last)
    return Beside((p, other), moduli[told], both[:, told], last)


def _larger(run: Run) -> Measured:
    found = larger_base(run)
    return {
        "tasks": len(found.moduli),
        "of them in the larger base too": int(found.in_time.sum()),
        "times the epoch, median": float(np.median(found.times)) if len(found.times) else 0.0,
    }


def _judge_larger(values: Values) -> Verdict:
    return decide(
        values["of them in the larger base too"] >= 0.75 * values["tasks"],
        0.5 <= values["times the epoch, median"] <= 2,
        given=values["tasks"] >= ENOUGH,
    )


def _two_bases(run: Run) -> Iterable[int]:
    return {run.task.p, max(by_base(trainings_of([run])))}


CLAIMS = (
    Claim(
        key="larger-base",
        statement="a larger base than the paper's is learned about as soon",
        source=OURS,
        criterion="of the tasks from 5 on that a training learned in the smaller base by the epoch "
        "at which the shorter of the two ended, three quarters or more are learned in the larger "
        "one by then; and the median of them at half to twice the epoch; partly: one of the two; "
        "five such tasks are needed",
        judge=_judge_larger,
        measures=(Measure(needs=("sample-dropout",), of=_larger, bases=_two_bases),),
        published={},
        page="variations",
        figure="fig-larger",
    ),
)
