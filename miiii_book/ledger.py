"""The ledger: what the paper claims, and what runs of ours say about it.

>>> from miiii_book import ledger
>>> from miiii_core import runs
>>> ledger.examine_all(ledger.gather(runs.shipped_runs()), ["filter", "rule"])
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache

from miiii_core.presets import nearest_preset
from miiii_core.runs import Run, shipped_runs

from .claims import LEDGER, find_claim
from .claims.claim import CannotTell, Claim, Finding, Measure, Row, activations
from .ledger_page import Ledger
from .seeds import Evidence, Seed, kind_of, stored_seeds

SHUFFLED, PLACE = "basis", "miiii"  # the kind that has shuffled labels, and whose place it takes


def gather(found: Iterable[Run]) -> dict[str, list[Run]]:
    """Sort finished runs by kind; all of T_miiii once more, as ``bases``, to be compared.

    Of a kind those count that are as a preset says, before others. Of each p they are those
    trained longest, one for each seed, that differ in nothing but that; the largest p first.
    """
    kinds: dict[str, list[Run]] = defaultdict(list)
    for run in found:
        if run.finished:
            kinds[kind_of(run)].append(run)
    evidence = {kind: _selected(runs) for kind, runs in kinds.items()}
    return evidence | ({"bases": kinds["miiii"]} if "miiii" in kinds else {})


def examine(claim: Claim, evidence: Evidence, seeds: Sequence[Seed] = ()) -> Finding:
    """Measure a claim on runs; where a run lacks what it takes, the claim is open.

    Args:
        claim: What to ask.
        evidence: Runs by kind. Of several bases the largest counts in which every kind has a run;
            T_nanda, which is another task, may have another base. Runs of one base differ in the
            seed: a measure of several kinds takes those of a seed together, for each seed that
            all kinds have, or the first of each if there is none.
        seeds: Numbers of other seeds, whose runs are not here.

    Raises:
        RunError: if what a run recorded is damaged.
    """
    told = [one for one in seeds if one.speaks_of(claim, evidence)]
    rows: list[Row] = []
    bases: tuple[int, ...] = ()
    try:
        sets = [(one, _sets(one, claim, evidence)) for one in claim.measures]
        used = (run for one, each in sets if not one.together for runs in each for run in runs)
        bases = tuple(sorted({run.config.task.p for run in used}))
        for one, each in sets:
            own = [_row(one, runs) for runs in each]
            rows += [*own, *_stored(claim, own, told)]
    except CannotTell as why:
        return Finding(claim=claim, bases=bases, reason=str(why))
    return Finding(claim=claim, rows=tuple(rows), bases=bases)


def examine_all(
    evidence: Evidence, keys: Sequence[str] | None = None, seeds: Sequence[Seed] = ()
) -> Ledger:
    """Put claims to runs.

    Args:
        evidence: Runs by kind, from `gather`.
        keys: Keys of the claims; all by default.
        seeds: Such as `stored_seeds`.
    """
    chosen = LEDGER if keys is None else [find_claim(key) for key in keys]
    try:
        return Ledger([examine(claim, evidence, seeds) for claim in chosen], evidence)
    finally:
        activations.cache_clear()


@cache  # chapters ask for several claims, and measures of one run build on each other
def _shipped() -> dict[str, list[Run]]:
    return gather(shipped_runs())


@cache
def examine_shipped(key: str) -> Finding:
    """Put one claim to the runs and the seeds that come with the book; measured once."""
    return examine_all(_shipped(), [key], stored_seeds())[key]


def shuffled_label_control(ledger: Ledger, also: Sequence[str] = ()) -> Ledger:
    """Put the claims on T_miiii to a run of the same base that learned shuffled labels as well.

    Who learns labels without a rule by heart has no rule to show: where such a run gets the
    verdict that T_miiii gets, the verdict is not evidence of one.

    Args:
        ledger: Findings, and the runs that they are about.
        also: Keys of claims of ours to ask; those of the paper are asked all.
    """
    evidence = {**ledger.evidence, PLACE: ledger.evidence.get(SHUFFLED, ())}

    def asked(found: Finding) -> Finding:
        claim = found.claim
        if (claim.ours and claim.key not in also) or PLACE not in claim.kinds or not found.bases:
            return found
        control = examine(claim, evidence)
        return replace(found, control=control) if control.bases == found.bases else found

    return Ledger([asked(found) for found in ledger.findings], ledger.evidence)


def _row(measure: Measure, runs: Sequence[Run]) -> Row:
    numbers = {name: float(value) for name, value in measure.take(*runs).items()}
    return Row(measure.kinds, runs[0].config.train.seed, numbers)


def _stored(claim: Claim, own: Sequence[Row], told: Sequence[Seed]) -> list[Row]:
    """Return the numbers of other seeds that are not of the same runs again."""
    kinds, names = own[0].kinds, set().union(*(row.numbers for row in own))
    return [
        Row(kinds, one.seed, {n: x for n, x in one.claims[claim.key].items() if n in names})
        for one in told
        if set(kinds) & set(one.runs) and one.seed not in {row.seed for row in own}
    ]


def _sets(measure: Measure, claim: Claim, evidence: Evidence) -> list[list[Run]]:
    """Return the runs that a measure is taken from, a list for each seed.

    Raises:
        CannotTell: if a kind of run is missing, or the kinds have no base in common.
    """
    if lacking := [kind for kind in claim.kinds if not evidence.get(kind)]:
        raise CannotTell(f"needs a run of kind {', '.join(lacking)}")
    if measure.together:
        return [[run for kind in measure.kinds for run in evidence[kind]]]
    bases = {kind: {run.config.task.p for run in evidence[kind]} for kind in claim.kinds}
    bound = [ps for kind, ps in bases.items() if not kind.startswith("nanda")]
    shared = set.intersection(*(bound or bases.values()))
    if not shared:
        largest = max(set.union(*bound))
        lacking = [kind for kind, ps in bases.items() if largest not in ps]
        raise CannotTell(f"needs a run of kind {', '.join(lacking)} at p = {largest}")
    kinds = []
    for kind in measure.kinds:
        p = max(shared) if max(shared) in bases[kind] else max(bases[kind])
        own = [run for run in evidence[kind] if run.config.task.p == p]
        kinds.append({run.config.train.seed: run for run in reversed(own)})  # the first counts
    seeds = [seed for seed in reversed(kinds[0]) if all(seed in runs for runs in kinds)]
    firsts = [next(reversed(runs.values())) for runs in kinds]
    return [[runs[seed] for runs in kinds] for seed in seeds] or [firsts]


def _selected(runs: list[Run]) -> list[Run]:
    # Neither is part of what a preset is about: the seed, and how numbers are rounded.
    usual = [
        run
        for run in runs
        if {field for field, _, _ in nearest_preset(run.config)[1]} <= {"seed", "precision"}
    ]
    chosen = usual or runs
    sizes = sorted({run.config.task.p for run in chosen}, reverse=True)
    return [run for p in sizes for run in _alike([r for r in chosen if r.config.task.p == p])]


def _alike(runs: list[Run]) -> list[Run]:
    """Return runs with the configuration of the one trained longest, one for each seed."""
    first = max(runs, key=lambda run: run.config.train.epochs).config.replace(seed=0)
    alike = {r.config.train.seed: r for r in reversed(runs) if r.config.replace(seed=0) == first}
    return [alike[seed] for seed in sorted(alike)]
