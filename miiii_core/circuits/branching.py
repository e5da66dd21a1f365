"""A training, and what would have become of it with some waves held at zero from a moment on.

The reference is trained to its end, so that it is known which waves go again. From a state on
the way branches set out, all with the batches and dropout masks that the reference had: one with
the transient waves clamped, others with as many persistent ones, and as many at random.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ..analysis.transients import Split, fractions, matched, spike_of
from ..milestones import GENERALISED
from ..training.clamp import directions
from ..training.train import TrainState
from .gradients import GradientWaves, watch
from .laboratory import (
    EVERY,
    SETTLING,
    Laboratory,
    Reference,
    Tell,
    midway_of,
    split_of,
    train_reference,
)

ENOUGH = 0.75  # share of its tasks that a branch must have learned to be called off
WINDOW = 256  # epochs over which the gradient is watched
RANDOM_DRAWS = 2  # of random sets to clamp, each of which costs a training
ONCE_DRAWS = 20  # of sets to take out of a network once, which costs next to nothing
CONTROL_KINDS = ("persistent", "random")


class Branch(NamedTuple):
    """What became of a training with waves clamped.

    Attributes:
        kind: ``transient``, ``persistent`` or ``random``.
        place: Where it set out: at the ``spike``, or at the ``onset``.
        start: Epoch from which on they were.
        waves: Fractions (k, q).
        once: Accuracy of each task on validation inputs right after taking them out.
        learned: Epoch from the start on at which each task generalised; infinite for none.
        end: Epoch at which the branch was called off.
    """

    kind: str
    place: str
    start: int
    waves: list[tuple[int, int]]
    once: Float[np.ndarray, " tasks"]
    learned: Float[np.ndarray, " tasks"]
    end: int


def grow_branch(
    lab: Laboratory,
    state: TrainState,
    waves: Sequence[tuple[int, int]],
    last: int,
    *,
    kind: str,
    place: str,
) -> Branch:
    """Train on from a state with waves clamped, until most late tasks are learned.

    Tasks are late that are not learned when the branch sets out. What it takes to call a
    branch off is `ENOUGH` of them, so that the median of their epochs is known.

    Args:
        lab: What is trained.
        state: Where to start; it stays as it is.
        waves: To clamp.
        last: Epoch at which to stop anyway.
        kind: Of the waves, as in `Branch`.
        place: Of the state, as in `Branch`.
    """
    clamp, start = lab.clamp(waves), int(state.epoch)
    late = lab.validation(lab.clamp([]), state) < GENERALISED
    once = accuracy = lab.validation(clamp, state)
    learned = np.where(accuracy >= GENERALISED, start, np.inf)
    epoch = start
    while epoch < last and np.isfinite(learned[late]).sum() < ENOUGH * late.sum():
        n = min(EVERY, last - epoch)
        state = lab.advance(clamp, state, n)
        epoch += n
        accuracy = lab.validation(clamp, state)
        learned[(accuracy >= GENERALISED) & np.isinf(learned)] = epoch
    return Branch(kind, place, start, list(waves), once, learned, epoch)


@dataclass(frozen=True)
class Experiment:
    """One seed: the reference, what its waves became, and its branches.

    Attributes:
        reference: The training with nothing clamped.
        split: Of its waves.
        spike: Moment at which branches set out; -1 if there was none.
        onset: Last moment before the first transient wave, or the first moment if one is there
            from the beginning; -1 if there was none.
        alone: Accuracy on validation inputs with each wave by itself taken out once, at the spike
            if there is one and at the end.
        removed: The same at the end with sets of waves taken out, by kind: the transient ones, and
            draws of as many persistent and of as many random ones.
        branches: From the spike, and from the onset.
        watched: The gradient from the onset, the spike and midway on, as far as there are such.
    """

    reference: Reference
    split: Split
    spike: int
    onset: int
    alone: Mapping[str, Float[np.ndarray, "waves tasks"]]
    removed: Mapping[str, Float[np.ndarray, "draws tasks"]]
    branches: list[Branch]
    watched: Mapping[str, GradientWaves]


def places_of(split: Split, accuracy: Float[np.ndarray, "moments tasks"]) -> tuple[int, int]:
    """The moments of the onset and of the spike; -1 for both if there is no spike."""
    try:
        spike = spike_of(split, accuracy)
    except ValueError:
        return -1, -1
    first = int(split.present[:, split.transient].any(axis=1).argmax())
    return max(first - 1, 0), spike


def sets_of(
    split: Split, generator: np.random.Generator, draws: Mapping[str, int]
) -> list[tuple[str, Int[np.ndarray, " some"]]]:
    """The transient waves, and as many others of the same moduli, by kind.

    Args:
        split: Of the waves.
        generator: Of the draws.
        draws: How many of ``persistent`` ones, and of ``random`` ones from all the others.
    """
    pools = {"persistent": split.persistent, "random": ~split.transient}
    drawn = [
        (kind, matched(split.transient, pools[kind], split.waves, generator))
        for kind, count in draws.items()
        for _ in range(count)
    ]
    return [("transient", np.flatnonzero(split.transient)), *drawn]


def take_out_alone(
    lab: Laboratory, state: TrainState, split: Split
) -> Float[np.ndarray, "waves tasks"]:
    """Accuracy of each task on validation inputs with each wave by itself taken out once."""
    each = (lab.clamp(fractions(split.waves, [i])) for i in range(len(split.transient)))
    return np.array([lab.validation(clamp, state) for clamp in each])


def take_out_sets(
    lab: Laboratory, state: TrainState, split: Split, generator: np.random.Generator
) -> dict[str, Float[np.ndarray, "draws tasks"]]:
    """The same with sets of waves taken out together, by kind."""
    found: dict[str, list[np.ndarray]] = {}
    for kind, some in sets_of(split, generator, dict.fromkeys(CONTROL_KINDS, ONCE_DRAWS)):
        accuracy = lab.validation(lab.clamp(fractions(split.waves, some)), state)
        found.setdefault(kind, []).append(accuracy)
    return {kind: np.array(several) for kind, several in found.items()}


def run_experiment(lab: Laboratory, tell: Tell = lambda _: None) -> Experiment:
    """Train the reference of a seed, split its waves, and grow its branches.

    From the spike all sets branch off, from the onset the transient ones and one random set. The
    gradient is watched from both, and from midway on if most tasks are learned in the end. A
    branch gets twice the epochs that the reference took for its last task, within those of
    the configuration.

    Args:
        lab: What to train; the seed is the configuration's.
        tell: Told now and then how far it got.
    """
    reference = train_reference(lab, tell)
    split = split_of(reference, lab.task.moduli, lab.task.p)
    onset, spike = places_of(split, reference.accuracy)
    generator = np.random.default_rng(lab.config.train.seed)
    sets = sets_of(split, generator, {"persistent": 1, "random": RANDOM_DRAWS})
    needed = max(directions(fractions(split.waves, some)) for _, some in sets)
    lab = replace(lab, rank=max(lab.rank, needed))
    tell(f"{split.transient.sum()} transient, {split.persistent.sum()} persistent waves")
    watched, branches = {}, []
    alone = {"end": take_out_alone(lab, reference.states[-1], split)}
    removed = take_out_sets(lab, reference.states[-1], split, generator)
    places = {"onset": onset, "spike": spike} if spike >= 0 else {}
    if np.isfinite(reference.learned).mean() > 0.5:
        places["midway"] = midway_of(reference.accuracy)
    for place, at in places.items():
        watched[place] = watch(lab.problem, lab.clamp([]), reference.states[at], WINDOW)
    last = min(lab.config.train.epochs, 2 * int(reference.moments[-1] / SETTLING))
    if spike >= 0:
        alone["spike"] = take_out_alone(lab, reference.states[spike], split)
        jobs = [("spike", spike, *one) for one in sets]
        jobs += [("onset", onset, *one) for one in (sets[0], sets[2])]
        for place, at, kind, some in jobs:
            waves = fractions(split.waves, some)
            grown = grow_branch(lab, reference.states[at], waves, last, kind=kind, place=place)
            branches.append(grown)
            tell(f"{kind} from the {place} on: epoch {branches[-1].end}")
    return Experiment(reference, split, spike, onset, alone, removed, branches, watched)
