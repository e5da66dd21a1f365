"""Claims of ours about which part of the network serves which task."""

import numpy as np
from jaxtyping import Bool

from miiii_core.runs import Run
from miiii_core.schedule import GENERALISED

from ..circuits import break_by_neurons, break_by_subspaces, lay_out, sieve_numbers
from ..held_out import BROKEN, KEPT, Selectivity
from ..rules import score_rule
from .claim import Measured, Rules, Values, Verdict, decide, measure


def _rule(run: Run) -> Measured:
    found = score_rule(run.model, run.task)
    solved = np.asarray(found.whole.accuracy) >= GENERALISED
    whole, only, without = (
        np.asarray(scores.accuracy) - found.guess
        for scores in (found.whole, found.only, found.without)
    )
    return {
        "tasks solved": int(solved.sum()),
        "kept by the rule alone": int((solved & (only >= KEPT * whole)).sum()),
        "broken without it": int((solved & (without <= BROKEN * whole)).sum()),
    }


def _broken(found: Selectivity, solved: Bool[np.ndarray, " tasks"]) -> Measured:
    broken = solved & (found.own <= BROKEN)
    return {
        "tasks solved": int(solved.sum()),
        "broken": int(broken.sum()),
        "of these, not by random sets": int((broken & (found.random_own >= 0.5)).sum()),
        "others spared": int((solved & (found.others >= KEPT)).sum()),
        "median size": float(np.median(found.sizes)),
    }


def _by_neurons(run: Run) -> Measured:
    bench = lay_out(run)
    return _broken(break_by_neurons(bench), bench.solved)


def _by_subspaces(run: Run) -> Measured:
    bench = lay_out(run)
    return _broken(break_by_subspaces(bench).projected, bench.solved)


def _judge_broken(v: Values) -> Verdict:
    solved = v["tasks solved"]
    return decide(
        v["broken"] == solved and v["of these, not by random sets"] == solved,
        v["others spared"] == solved,
        given=solved > 0,
    )


def _sieve(run: Run) -> Measured:
    bench = lay_out(run)
    found = sieve_numbers(bench, break_by_subspaces(bench).bases)
    precision, recall = found.precision_recall(run.task.held_out)
    own, slipped = found.slipped & found.guarded, found.slipped.sum(axis=1)
    some = bench.solved.any()
    theirs, through = (
        float(np.median((own.sum(axis=1) / np.maximum(whole, 1))[bench.solved])) if some else 0.0
        for whole in (slipped, found.guarded.sum(axis=1))
    )
    return {
        "tasks solved": int(bench.solved.sum()),
        "precision on numbers held out": precision,
        "recall on numbers held out": recall,
        "of what slips, the task's own": theirs,
        "of the task's own, slipped": through,
    }


RULES: Rules = {
    "rule": (
        measure(_rule, "miiii"),
        lambda v: decide(
            v["kept by the rule alone"] == v["tasks solved"],
            v["broken without it"] == v["tasks solved"],
            given=v["tasks solved"] > 0,
        ),
    ),
    "own-neurons": (measure(_by_neurons, "miiii"), _judge_broken),
    "own-subspace": (measure(_by_subspaces, "miiii"), _judge_broken),
    "prime-sieve": (
        measure(_sieve, "miiii"),
        lambda v: decide(
            min(v["precision on numbers held out"], v["recall on numbers held out"]) >= 0.95,
            v["of what slips, the task's own"] >= 0.9,
            given=v["tasks solved"] > 0,
        ),
    ),
}
