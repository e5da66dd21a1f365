"""Claims of ours about which circuit serves which task."""

import numpy as np
from jaxtyping import Bool

from ..circuits import discovery, families, primality
from ..circuits.dissection import (
    Bench,
    Sieve,
    break_by_neurons,
    break_by_subspaces,
    lay_out,
    search_circuits,
    sieve_numbers,
)
from ..circuits.exam import BROKEN, KEPT, Selectivity
from ..circuits.paths import TooManyParts
from ..circuits.rules import RuleScores, score_rule
from ..milestones import GENERALISED
from ..storage.saved import Run
from .ledger import OURS, CannotTell, Claim, Measure, Measured, Values, Verdict, decide


def rule_counts(scores: RuleScores) -> Measured:
    """Tasks that the rule alone keeps, and that are kept without it."""
    whole, only, without = (
        np.asarray(s.accuracy) - scores.guess for s in (scores.whole, scores.only, scores.without)
    )
    solved = np.asarray(scores.whole.accuracy) >= GENERALISED
    return {
        "tasks solved": int(solved.sum()),
        "kept by the rule alone": int((solved & (only >= KEPT * whole)).sum()),
        "broken without it": int((solved & (without <= BROKEN * whole)).sum()),
    }


def broken_counts(found: Selectivity, solved: Bool[np.ndarray, " tasks"]) -> Measured:
    """How many of the solved tasks are broken, by what is theirs, and sparing the others."""
    broken = solved & (found.own <= BROKEN)
    return {
        "tasks solved": int(solved.sum()),
        "broken": int(broken.sum()),
        "of these, not by random sets": int((broken & (found.random_own >= 0.5)).sum()),
        "others spared": int((solved & (found.others >= KEPT)).sum()),
        "median size": float(np.median(found.sizes)),
    }


def circuit_counts(found: discovery.Found, solved: Bool[np.ndarray, " tasks"]) -> Measured:
    """How many automated circuits are larger than the smallest one."""
    smallest, pruned, attributed = map(discovery.sizes_of, found)
    some = solved & (smallest >= 0)
    return {
        "tasks with a circuit": int(some.sum()),
        "smaller than pruning finds": int((some & (pruned > smallest)).sum()),
        "smaller than attribution finds": int((some & (attributed > smallest)).sum()),
        "median size": float(np.median(smallest[some])) if some.any() else 0.0,
    }


def sieve_counts(found: Sieve, bench: Bench) -> Measured:
    """How good the sieve is on numbers held out, and whose numbers slip through where."""
    rows = np.setdiff1d(found.numbers, bench.run.task.train)
    solved = bench.solved
    whole = primality.confusion(found.called[rows], found.prime[rows])
    slipped = found.slipped
    own = (slipped & found.guarded).sum(axis=1) / np.maximum(slipped.sum(axis=1), 1)
    through = (slipped & found.guarded).sum(axis=1) / np.maximum(found.guarded.sum(axis=1), 1)
    return {
        "tasks solved": int(solved.sum()),
        "precision on numbers held out": whole.precision,
        "recall on numbers held out": whole.recall,
        "of what slips, the task's own": float(np.median(own[solved])) if solved.any() else 0.0,
        "of the task's own, slipped": float(np.median(through[solved])) if solved.any() else 0.0,
    }


def _rule(run: Run) -> Measured:
    return rule_counts(score_rule(run.model, run.task))


def _judge_rule(values: Values) -> Verdict:
    solved = values["tasks solved"]
    return decide(
        values["kept by the rule alone"] == solved,
        values["broken without it"] == solved,
        given=solved > 0,
    )


def _neurons(run: Run) -> Measured:
    bench = lay_out(run)
    return broken_counts(break_by_neurons(bench), bench.solved)


def _subspaces(run: Run) -> Measured:
    bench = lay_out(run)
    return broken_counts(break_by_subspaces(bench).projected, bench.solved)


def _judge_broken(values: Values) -> Verdict:
    solved = values["tasks solved"]
    return decide(
        values["broken"] == solved and values["of these, not by random sets"] == solved,
        values["others spared"] == solved,
        given=solved > 0,
    )


def _families(run: Run) -> Measured:
    bench = lay_out(run)
    return family_values(bench)


def family_values(bench: Bench) -> Measured:
    """How much the neurons of tasks have in common, within a slope and across."""
    task = bench.run.task
    slope, closeness = families.slopes(task.moduli, task.p), families.overlap(bench.share)
    try:
        unit = families.family_excess(closeness, slope, only=1)
        every = families.family_excess(closeness, slope)
    except ValueError as error:
        raise CannotTell(f"at p = {task.p} there is nothing to compare: {error}") from error
    return {
        "tasks solved": int(bench.solved.sum()),
        "overlap, p = ±1": unit.inside,
        "overlap, all other pairs": unit.outside,
        "p-value of that": unit.p_value,
        "overlap, equal slope": every.inside,
        "p-value of equal slopes": every.p_value,
    }


def _judge_families(values: Values) -> Verdict:
    return decide(
        values["p-value of that"] < 0.05,
        values["overlap, p = ±1"] > 0,
        given=values["tasks solved"] > 0,
    )


def _circuits(run: Run) -> Measured:
    bench = lay_out(run)
    try:
        found = search_circuits(bench).found
    except TooManyParts as error:
        raise CannotTell(f"{run.folder.name} has too many heads: {error}") from error
    return circuit_counts(found, bench.solved)


def _judge_circuits(values: Values) -> Verdict:
    some = values["tasks with a circuit"]
    return decide(
        2 * values["smaller than pruning finds"] > some,
        2 * values["smaller than attribution finds"] > some,
        given=some > 0,
    )


def _primes(run: Run) -> Measured:
    bench = lay_out(run)
    return sieve_counts(sieve_numbers(bench, break_by_subspaces(bench).erasures), bench)


def _judge_primes(values: Values) -> Verdict:
    return decide(
        min(values[f"{what} on numbers held out"] for what in ("precision", "recall")) >= 0.95,
        values["of what slips, the task's own"] >= 0.9,
        given=values["tasks solved"] > 0,
    )


CLAIMS = (
    Claim(
        key="rule",
        statement="what T_miiii says of inputs held out is a rule of the answer alone",
        source=OURS,
        criterion="of each task that is solved (0.9 on inputs held out), a function of (y - c) mod "
        "q, fitted on other inputs held out, keeps 0.9 of the accuracy above guessing; without it "
        "0.1 or less is left; partly: one of the two",
        judge=_judge_rule,
        measures=(Measure(needs=("miiii",), of=_rule),),
        published={},
        page="serving",
        figure="fig-rule",
    ),
    Claim(
        key="own-neurons",
        statement="each task of T_miiii can be broken by neurons of its own, and alone",
        source=OURS,
        criterion="for each task that is solved, half of the neurons or fewer leave it 0.1 or less "
        "of its accuracy above guessing, where the median of 20 sets of that size from the others "
        "leaves half; and the other tasks keep 0.9 on average; partly: one of the two",
        judge=_judge_broken,
        measures=(Measure(needs=("miiii",), of=_neurons),),
        published={},
        page="serving",
        figure="fig-neuron-selectivity",
    ),
    Claim(
        key="own-subspace",
        statement="each task of T_miiii has a subspace of the residual stream of its own",
        source=OURS,
        criterion="as for neurons, with half of the dimensions or fewer projected out, and 20 "
        "random projections of that rank from what is orthogonal to them",
        judge=_judge_broken,
        measures=(Measure(needs=("miiii",), of=_subspaces),),
        published={},
        page="serving",
        figure="fig-subspace-selectivity",
    ),
    Claim(
        key="families",
        statement="tasks of T_miiii with p = ±1 mod q, which see the sum or the difference of the "
        "digits, share neurons",
        source=OURS,
        criterion="their shares of evidence correlate more over the neurons than those of other "
        "pairs, with p < 0.05 among relabellings of tasks of like size; and they correlate at "
        "all, above 0; partly: one of the two",
        judge=_judge_families,
        measures=(Measure(needs=("miiii",), of=_families),),
        published={},
        page="serving",
        figure="fig-overlap",
    ),
    Claim(
        key="smallest-circuits",
        statement="automated circuit discovery misses the smallest circuits of T_miiii",
        source=OURS,
        criterion="of all circuits of heads, tokens and groups of neurons, the smallest that keeps "
        "0.9 of a task, on inputs held out too, is smaller than what pruning in order finds for "
        "more than half of the tasks; and smaller than what attribution finds; partly: one of the "
        "two",
        judge=_judge_circuits,
        measures=(Measure(needs=("miiii",), of=_circuits),),
        published={},
        page="serving",
        figure="fig-circuits",
    ),
    Claim(
        key="prime-sieve",
        statement="T_miiii finds primes, and breaking a task lets its own composites through",
        source=OURS,
        criterion="precision and recall of 0.95 on numbers held out; and, in the median over "
        "tasks, 0.9 of the composites that slip through once a task is broken have no other "
        "prime factor among the moduli; partly: one of the two",
        judge=_judge_primes,
        measures=(Measure(needs=("miiii",), of=_primes),),
        published={},
        page="serving",
        figure="fig-slipped",
    ),
)
