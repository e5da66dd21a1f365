"""Claims of ours about other bases."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Float
from scipy.stats import spearmanr

from ..analysis.symmetry import FIRST, Lead, lead
from ..circuits.delays import by_accident
from ..storage.saved import Run
from ..tasks import primes_below
from .bases import Base, Training, by_base, renamed_of, trainings_of
from .learning_circuits import MARKED
from .ledger import OURS, CannotTell, Claim, Measure, Measured, Values, Verdict, decide
from .sources import BASES

SEEN = 0  # the seed in which it was seen what renaming does, which does not testify to it
PAIRS = 5  # of trainings, from which on all of them falling one way is no accident


def lead_of(bases: Mapping[int, Base]) -> Lead | None:
    """How much sooner tasks with symmetric digits were learned; None if these bases cannot tell."""
    try:
        learned = {p: base.learned for p, base in bases.items()}
        return lead(learned, {p: base.last for p, base in bases.items()})
    except ValueError:
        return None


def order_of(learned: Float[np.ndarray, " tasks"], moduli: Sequence[int]) -> tuple[float, float]:
    """Rank correlation of q with the epoch at which it was learned, from 5 on, and its p-value.

    A task never learned counts as learned after all others.
    """
    later = np.array(moduli) >= FIRST
    epochs = np.asarray(learned)[later]
    if len(set(epochs)) < 2:
        return 0.0, 1.0
    found = spearmanr(np.array(moduli)[later], epochs)
    return float(found.statistic), float(found.pvalue)


def several_bases(runs: Sequence[Run]) -> dict[int, Base]:
    """The bases of a recipe that runs and what is stored have.

    Raises:
        CannotTell: if there is one only.
    """
    bases = by_base(trainings_of(runs))
    if len(bases) < 2:
        raise CannotTell(
            f"{runs[0].folder.name} is of a recipe of which no other base is known; train one "
            "with another --p, all else equal"
        )
    return bases


def _bases(*runs: Run) -> Mapping[int, Base]:
    return by_base(trainings_of(runs))


def _trainings(bases: Mapping[int, Base]) -> Measured:
    return {"bases": len(bases), "trainings": sum(base.seeds for base in bases.values())}


def _symmetric(*runs: Run) -> Measured:
    bases = several_bases(runs)
    found = lead_of(bases)
    return {
        **_trainings(bases),
        "symmetric tasks": found.symmetric if found else 0,
        "other tasks": found.others if found else 0,
        "lead in octaves": found.octaves if found else 0.0,
        "p-value": found.p_value if found else 1.0,
    }


def _judge_symmetric(values: Values) -> Verdict:
    ahead = values["lead in octaves"] > 0 and values["p-value"] < 0.05
    return decide(ahead, given=values["symmetric tasks"] > 0)


def _classes(*runs: Run) -> Measured:
    bases = several_bases(runs)
    order = [order_of(base.learned, primes_below(p)) for p, base in bases.items()]
    return {
        **_trainings(bases),
        "median rank correlation": float(np.median([rho for rho, _ in order])),
        "least rank correlation": min(rho for rho, _ in order),
        "bases with p below 0.05": sum(p_value < 0.05 for _, p_value in order),
    }


def _judge_classes(values: Values) -> Verdict:
    return decide(
        values["median rank correlation"] >= 0.5,
        2 * values["bases with p below 0.05"] > values["bases"],
    )


def _shared(*runs: Run) -> Measured:
    renamed = renamed_of(runs)
    places = {(one.p, one.seed) for one in renamed}
    same = [one for one in trainings_of(runs) if (one.p, one.seed) in places]
    there = {(one.p, one.seed) for one in same}
    moved = [one for one in renamed if (one.p, one.seed) in there]
    usual, changed = lead_of(by_base(same)), lead_of(by_base(moved))
    if usual is None or changed is None:
        raise CannotTell(
            "no trainings with renamed digits are stored for these runs; "
            "python -m benchmarks.bases --renamed computes those of miiii-small"
        )
    return {
        "trainings": len(there),
        "symmetric tasks": usual.symmetric,
        "lead in octaves": usual.octaves,
        "p-value": usual.p_value,
        "lead with digits renamed": changed.octaves,
        "p-value with digits renamed": changed.p_value,
    }


def _judge_shared(values: Values) -> Verdict:
    return decide(
        values["lead with digits renamed"] < values["lead in octaves"] / 2,
        values["p-value with digits renamed"] >= 0.05,
        given=values["lead in octaves"] > 0 and values["p-value"] < 0.05,
    )


def gains_of(
    usual: Iterable[Training], renamed: Iterable[Training]
) -> dict[tuple[int, int], float]:
    """Octaves by which the median task from 5 on came sooner with digits renamed, by p and seed.

    Only of those that were trained both ways; a task never learned counts as learned at the end.
    """
    both = [{(one.p, one.seed): one for one in some if one.p > FIRST} for some in (usual, renamed)]
    first, second = both
    shared = sorted(set(first) & set(second))
    return {one: float(np.log2(_middle(first[one]) / _middle(second[one]))) for one in shared}


def _middle(one: Training) -> float:
    later = np.array(primes_below(one.p)) >= FIRST
    return float(np.median(np.minimum(one.learned[later], one.last)))


def _sooner(*runs: Run) -> Measured:
    gains = gains_of(trainings_of(runs), renamed_of(runs))
    told = np.array([gain for (_, seed), gain in gains.items() if seed != SEEN])
    if not len(told):
        raise CannotTell(
            "no pair of trainings with and without renamed digits is stored of other seeds than "
            f"{SEEN}; python -m benchmarks.bases --renamed --seeds 2 computes those of miiii-small"
        )
    return {
        "pairs": len(told),
        "sooner in": int((told > 0).sum()),
        "octaves, median": float(np.median(told)),
        "octaves, least": float(told.min()),
        "p-value": by_accident(told > 0),
    }


def _judge_sooner(values: Values) -> Verdict:
    return decide(
        values["octaves, median"] >= MARKED,
        values["p-value"] < 0.05,
        given=values["pairs"] >= PAIRS,
    )


def _renamed_bases(*runs: Run) -> Mapping[int, Base]:
    return by_base(renamed_of(runs))


CLAIMS = (
    Claim(
        key="symmetric",
        statement="tasks of T_miiii with p = ±1 mod q, where the digits may change places, are "
        "learned sooner than others of as many classes",
        source=OURS,
        criterion="over runs in several bases, least squares with a term for each base and each q "
        "puts them ahead, with p < 0.05 among choices of other bases, for each q as many",
        judge=_judge_symmetric,
        measures=(Measure(needs=(BASES,), of=_symmetric, together=True, bases=_bases),),
        published={},
        page="variations",
        figure="fig-bases",
    ),
    Claim(
        key="shared-table",
        statement="tasks with symmetric digits are ahead as one table embeds both digits",
        source=OURS,
        criterion="with the tokens of x1 in random order, and the same numbers, answers and first "
        "weights, their lead is less than half of what it is without, in the same bases and seeds; "
        "and has p ≥ 0.05; partly: one of the two; without, it must have p < 0.05",
        judge=_judge_shared,
        measures=(Measure(needs=(BASES,), of=_shared, together=True, bases=_renamed_bases),),
        published={},
        page="variations",
        figure="fig-renamed",
    ),
    Claim(
        key="own-tables",
        statement="with the tokens of one digit renamed T_miiii is learned sooner",
        source=OURS,
        criterion="in pairs of trainings of one base and seed the median task from 5 on comes 0.25 "
        "octaves sooner or more in the median pair; and sooner in more pairs than a fair coin "
        "would give (sign test, p < 0.05); partly: one of the two; five pairs are needed, of other "
        "seeds than the one in which it was first seen",
        judge=_judge_sooner,
        measures=(Measure(needs=(BASES,), of=_sooner, together=True, bases=_renamed_bases),),
        published={},
        page="variations",
        figure="fig-own-tables",
    ),
    Claim(
        key="classes",
        statement="from 5 on T_miiii learns tasks in the order of their number of classes",
        source=OURS,
        criterion="the rank correlation of q with the epoch at which it generalised is 0.5 or more "
        "in the median base; and has p < 0.05 in most bases; partly: one of the two",
        judge=_judge_classes,
        measures=(Measure(needs=(BASES,), of=_classes, together=True, bases=_bases),),
        published={},
        page="variations",
        figure="fig-bases",
    ),
)
