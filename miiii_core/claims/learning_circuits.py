"""Claims about circuits for learning, and about what Grokfast amplifies.

Criteria and thresholds were fixed before any seed but the embedded run's was trained, and before
any wave was clamped; what was changed when seeds had been seen, the chapter says, and why.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ..analysis.transients import PRESENT, Split, Strengths, chance_share, split_waves
from ..circuits import history, outcomes
from ..circuits.branching import Experiment
from ..circuits.delays import Delays, amplified, by_accident, control_epochs, delays
from ..config import Config
from ..milestones import GENERALISED
from ..storage.saved import Run
from .ledger import OURS, CannotTell, Claim, Measure, Measured, Values, Verdict, decide

FEWEST = 5  # seeds, from which on all of them falling one way is no accident
MARKED = 0.25  # octaves of the epoch, from which a delay counts
WARMED_UP = 64  # epochs, before which neurons are as they were drawn
SURE = 0.75  # odds that a wave which stays is amplified more than another
CONTROLS = ("no filter, rate × (1 + λ)", "no filter, decay × 2", "no filter, decay / 2")
MOMENTUM = "no filter, β1 = α"


class History(NamedTuple):
    """The waves of a run at its snapshots.

    Attributes:
        epochs: Of the snapshots, from when neurons are no longer as they were drawn.
        strength: Of each wave, as a multiple of chance.
        level: Of strength, above which a wave is present.
        split: What becomes of them.
    """

    epochs: Int[np.ndarray, " moments"]
    strength: Float[np.ndarray, "moments waves"]
    level: Float[np.ndarray, " moments"]
    split: Split


def history_of(run: Run) -> History:
    """Split the waves of a run into transient and persistent ones, by its snapshots."""
    known = history.known_epochs(run, "strengths")
    warm = known[known >= WARMED_UP]
    epochs = warm if len(warm) else known
    moduli, p = run.task.moduli, run.task.p
    found = history.recall(run, "strengths", epochs)
    energy, total, chance = (found[name] for name in Strengths._fields)
    usual = chance_share(moduli, p) * np.maximum(total, np.finfo(float).tiny)[:, None]
    split = split_waves(energy, total, chance, moduli, p)
    return History(epochs, energy / usual, np.maximum(PRESENT, chance), split)


def split_counts(split: Split) -> Measured:
    """How many waves of which kind."""
    count = split.present.sum(axis=1)
    return {
        "waves ever present": int(split.present.any(axis=0).sum()),
        "transient": int(split.transient.sum()),
        "persistent": int(split.persistent.sum()),
        "most at once": int(count.max()),
        "at the end": int(count[-1]),
    }


def wave_values(run: Run, split: Split) -> Measured:
    """How many waves of which kind, and how much a run has learned."""
    last = run.metrics.split("accuracy", "validation")[-1]
    learned = int((last >= GENERALISED).sum())
    return {**split_counts(split), "tasks": len(last), "tasks learned": learned}


def _transient(run: Run) -> Measured:
    found = history_of(run)
    if len(found.epochs) < 2:
        raise CannotTell(f"what {run.folder.name} has of each wave is known of one moment only")
    return wave_values(run, found.split)


def _judge_transient(values: Values) -> Verdict:
    return decide(
        values["transient"] >= 0.25 * values["waves ever present"],
        values["most at once"] >= 1.25 * values["at the end"],
        given=2 * values["tasks learned"] > values["tasks"],
    )


def delay_values(found: Sequence[Experiment]) -> Measured:
    """The numbers that decide whether transient waves help to learn."""
    each = delays(found)

    def known(values: Float[np.ndarray, " seeds"]) -> bool:
        return bool(np.isfinite(values).any())

    return {
        "seeds": len(found),
        "seeds that can tell": len(each.transient),
        **{
            f"delay, {name} (octaves)": float(np.nanmedian(values)) if known(values) else 0.0
            for name, values in zip(Delays._fields, each, strict=True)
        },
        "p-value, later than nothing clamped": by_accident(each.transient > 0),
        "p-value, later than random": by_accident(each.transient > each.random),
    }


def _recipe(kind: str, runs: Sequence[Run]) -> Config:
    """The recipe of the run for which most is stored."""
    return max((run.config for run in runs), key=lambda config: len(outcomes.stored(kind, config)))


def _bases(kind: str, *runs: Run) -> set[int]:
    """The p of what is stored of that recipe."""
    stored = outcomes.stored(kind, _recipe(kind, runs))
    return {outcomes.header_of(path)["config"]["task"]["p"] for path in stored}


def _helping(*runs: Run) -> Measured:
    return delay_values(outcomes.experiments(_recipe("branches", runs)))


def _judge_helping(values: Values) -> Verdict:
    delay = values["delay, transient (octaves)"]
    return decide(
        delay >= MARKED and values["p-value, later than nothing clamped"] < 0.05,
        delay > values["delay, random (octaves)"] and values["p-value, later than random"] < 0.05,
        given=values["seeds that can tell"] >= FEWEST,
    )


def gain_values(found: Sequence[Experiment]) -> Measured:
    """The numbers that decide whether Grokfast amplifies what stays."""
    each, before = amplified(found), amplified(found, "spike")
    return {
        "seeds that can tell": len(each),
        "odds midway": float(np.median(each)) if len(each) else 0.5,
        "odds at the spike": float(np.median(before)) if len(before) else 0.5,
        "p-value": by_accident(each > 0.5),
    }


def _gains(*runs: Run) -> Measured:
    return gain_values(outcomes.experiments(_recipe("branches", runs)))


def _judge_gains(values: Values) -> Verdict:
    return decide(
        values["p-value"] < 0.05,
        values["odds midway"] >= SURE,
        given=values["seeds that can tell"] >= FEWEST,
    )


def control_values(found: Sequence[outcomes.Controls]) -> Measured:
    """Octaves by which the filter is ahead of what might explain it, the median over seeds."""
    epochs = control_epochs(found) if found else {}
    usual = epochs.get("filter", np.array([]))
    ahead = {
        name: float(np.median(np.log2(epochs[name] / usual))) if name in epochs else 0.0
        for name in ("no filter", *CONTROLS, MOMENTUM)
    }
    whole = all(name in epochs for name in ahead)
    return {
        "seeds that can tell": len(found) if whole else 0,
        **{f"ahead of: {name} (octaves)": value for name, value in ahead.items()},
    }


def _controls(*runs: Run) -> Measured:
    return control_values(outcomes.control_trainings(_recipe("controls", runs)))


def _judge_controls(values: Values) -> Verdict:
    ahead = {name: values[f"ahead of: {name} (octaves)"] for name in (*CONTROLS, MOMENTUM)}
    return decide(
        all(ahead[name] >= MARKED for name in CONTROLS),
        ahead[MOMENTUM] >= MARKED,
        given=values["seeds that can tell"] >= 3,
    )


def _stored(of: Callable[..., Measured], kind: str) -> Measure:
    return Measure(needs=("miiii",), of=of, together=True, bases=partial(_bases, kind))


CLAIMS = (
    Claim(
        key="transient-waves",
        statement="the ω-spike of T_miiii is waves of n mod q that come and go",
        source=OURS,
        criterion="of the waves that are ever present (1.5 times chance, and more than any wave "
        "has in a hundred random orders of the digits) a quarter or more is gone at the end, with "
        "less than a quarter of its peak; and at some moment a quarter more are present than at "
        "the end; partly: one of the two; most tasks must have been learned",
        judge=_judge_transient,
        measures=(Measure(needs=("miiii",), of=_transient, snapshots=True),),
        published={},
        page="learning_circuits",
        figure="fig-transients",
    ),
    Claim(
        key="learning-circuits",
        statement="waves of T_miiii that come and go help it to learn",
        source=OURS,
        criterion="clamped to zero from the spike on, they delay the median late task by 0.25 "
        "octaves or more in the median seed, and in more seeds than a fair coin would (sign test, "
        "p < 0.05); and by more than as many random waves do, by the same test; partly: one of "
        "the two; five seeds are needed",
        judge=_judge_helping,
        measures=(_stored(_helping, "branches"),),
        published={},
        page="learning_circuits",
        figure="fig-delays",
    ),
    Claim(
        key="grokfast-waves",
        statement="Grokfast amplifies the waves that will stay more than the others",
        source=OURS,
        criterion="among waves of tasks not learned midway (last moment with half of all tasks "
        "left), one that stays has a larger gain than another more often than not, in more seeds "
        "than a fair coin would give (sign test, p < 0.05); and with odds of 0.75 or more in the "
        "median seed; partly: one of the two; five seeds are needed",
        judge=_judge_gains,
        measures=(_stored(_gains, "branches"),),
        published={},
        page="learning_circuits",
        figure="fig-gains",
    ),
    Claim(
        key="grokfast-controls",
        statement="Grokfast does more than a larger step, other decay or more momentum",
        source=OURS,
        criterion="without the filter the median task is learned 0.25 octaves later or more in the "
        "median seed, with a rate 1 + λ times as large, twice the decay and half of it; and with "
        "β1 = α; partly: one of the two; three seeds are needed",
        judge=_judge_controls,
        measures=(_stored(_controls, "controls"),),
        published={},
        page="learning_circuits",
        figure="fig-learning-controls",
    ),
)
