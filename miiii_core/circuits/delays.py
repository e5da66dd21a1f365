"""What branches and controls say: how much later tasks were learned, and by what odds."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import binomtest

from ..analysis.transients import FALLEN, PRESENT, chance_share
from ..milestones import GENERALISED
from .branching import Branch, Experiment
from .gradients import odds
from .laboratory import Reference, midway_of
from .outcomes import Controls


class Delays(NamedTuple):
    """How much later tasks were learned with waves clamped, in octaves, one number a seed.

    NaN where a seed has no such branch.

    Attributes:
        transient: With the transient ones.
        persistent: With as many persistent ones.
        random: With as many random ones, mean over draws.
        early: With the transient ones from before they came.
        early_random: With random ones from then on.
    """

    transient: Float[np.ndarray, " seeds"]
    persistent: Float[np.ndarray, " seeds"]
    random: Float[np.ndarray, " seeds"]
    early: Float[np.ndarray, " seeds"]
    early_random: Float[np.ndarray, " seeds"]


def late_in(found: Experiment, branch: Branch) -> Bool[np.ndarray, " tasks"]:
    """Tasks that were not learned when a branch set out."""
    at = found.reference.moments.tolist().index(branch.start)
    return found.reference.accuracy[at] < GENERALISED


def delay_of(found: Experiment, branch: Branch) -> float:
    """Octaves by which the median late task came later than in the reference.

    What was not learned by the end of a branch counts as learned then, so that a delay is at
    least what is said here.
    """
    late = late_in(found, branch)
    end = found.reference.moments[-1]
    usual = np.median(np.minimum(found.reference.learned[late], end))
    return float(np.log2(np.median(np.minimum(branch.learned[late], branch.end)) / usual))


def strongest_gone(reference: Reference, moduli: Sequence[int], p: int) -> float:
    """How strong the strongest wave ever was that is not there at the end and has lost most of it.

    Returns:
        A multiple of the level from which a wave is present; above 1 that wave is transient. 0 if
        no wave has lost so much.
    """
    usual = chance_share(moduli, p) * reference.total[:, None]
    strength = reference.energy / (np.maximum(PRESENT, reference.chance)[:, None] * usual)
    fallen = reference.energy[-1] < FALLEN * reference.energy.max(axis=0)
    return float(strength[:, fallen & (strength[-1] <= 1)].max(initial=0.0))


def testable(found: Sequence[Experiment]) -> list[Experiment]:
    """Experiments with a spike, in which the reference learned most of what was left to learn."""
    return [
        one
        for one in found
        if one.branches
        and np.isfinite(one.reference.learned[late_in(one, one.branches[0])]).mean() > 0.5
    ]


def delays(found: Sequence[Experiment]) -> Delays:
    """Delays of all testable experiments."""
    return Delays(
        *(
            np.array([_mean_delay(one, kind, place) for one in testable(found)])
            for kind, place in (
                ("transient", "spike"),
                ("persistent", "spike"),
                ("random", "spike"),
                ("transient", "onset"),
                ("random", "onset"),
            )
        )
    )


def _mean_delay(found: Experiment, kind: str, place: str) -> float:
    chosen = [one for one in found.branches if one.waves and (one.kind, one.place) == (kind, place)]
    return float(np.mean([delay_of(found, one) for one in chosen])) if chosen else float("nan")


def by_accident(larger: Sequence[bool] | Bool[np.ndarray, " seeds"]) -> float:
    """Chance that a fair coin falls one way so often: the sign test, to one side."""
    count = len(larger)
    return float(binomtest(int(sum(larger)), count, alternative="greater").pvalue) if count else 1.0


def amplified(found: Sequence[Experiment], place: str = "midway") -> Float[np.ndarray, " seeds"]:
    """Odds, seed by seed, that Grokfast amplifies a wave that stays more than another.

    Waves are those of tasks that are not learned at the time; seeds without one of either kind,
    or without that place, are left out.

    Args:
        found: Experiments.
        place: ``"onset"``, ``"spike"`` or ``"midway"``.
    """
    each = []
    for one in found:
        if place in one.watched:
            accuracy = one.reference.accuracy
            at = {"onset": one.onset, "spike": one.spike, "midway": midway_of(accuracy)}[place]
            moduli = np.unique(one.split.waves.modulus)
            late = np.isin(one.split.waves.modulus, moduli[accuracy[at] < GENERALISED])
            stays, gain = one.split.persistent, one.watched[place].gain
            each.append(odds(gain[late & stays], gain[late & ~stays]))
    return np.array([value for value in each if np.isfinite(value)])


def never_learned(found: Sequence[Controls], name: str) -> int:
    """Of how many seeds the median task was not learned by the end, under a setting."""
    return sum(not np.isfinite(np.median(one.learned[name])) for one in found)


def control_epochs(found: Sequence[Controls]) -> Mapping[str, Float[np.ndarray, " seeds"]]:
    """Epoch at which the median task was learned, by setting; the end where it was not."""
    names = [name for name in found[0].learned if all(name in one.learned for one in found)]
    return {
        name: np.array([np.median(np.minimum(one.learned[name], one.last[name])) for one in found])
        for name in names
    }
