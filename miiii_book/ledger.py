"""The ledger: what the paper claims, and what runs of ours say about it.

>>> from miiii_book import ledger
>>> from miiii_core import runs
>>> ledger.examine_all(ledger.gather(runs.shipped_runs()), ["filter", "spike"])
"""

import html
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial

import numpy as np
from tabulate import tabulate

from miiii_core.losses import NEVER
from miiii_core.presets import nearest_preset
from miiii_core.runs import Run, shipped_runs

from .claims import LEDGER, find_claim
from .claims.claim import CannotTell, Claim, Finding, Measure, Row, Verdict, activations
from .seeds import Evidence, Seed, kind_of, stored_seeds

_plain = partial(tabulate, tablefmt="plain", disable_numparse=True)
SHUFFLED, PLACE = "basis", "miiii"  # the kind that has shuffled labels, and whose place it takes


@dataclass(frozen=True)
class Ledger:
    """Findings, one for each claim, and the runs by kind that they are about.

    A notebook shows it as a table, a terminal with one line a claim.
    """

    findings: Sequence[Finding]
    evidence: Mapping[str, Sequence[Run]]

    def __getitem__(self, key: str) -> Finding:
        """Return the finding on the claim of a key."""
        return {finding.claim.key: finding for finding in self.findings}[key]

    def __repr__(self) -> str:
        """Show one line a claim: a number of the paper, ours, and the verdict."""
        rows = [["claim", "number", "paper", "ours", "verdict"]]
        for found in self.findings:
            name = found.claim.headline
            paper, ours = (
                _number(each.get(name)) for each in (found.claim.published, found.values)
            )
            rows.append([found.claim.key, name if ours else "", paper, ours, str(found.verdict)])
        return f"{_plain(rows)}\n\n{summary(self.findings)}"

    def verbose(self) -> str:
        """Return each claim with its criterion and all numbers, and the runs at the end."""
        runs = (
            f"{run.folder.name}: p = {run.config.task.p}, {run.epoch:,} epochs, "
            f"seed {run.config.train.seed}"
            for several in self.evidence.values()
            for run in several
        )
        parts = *map(_as_text, self.findings), summary(self.findings)
        return "\n\n".join([*parts, "\n".join(dict.fromkeys(runs))])

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{name}</th>" for name in ("claim", "paper → ours", "verdict"))
        return (
            f'<table class="table stacked ledger">\n<thead><tr>{head}</tr></thead>\n'
            f"<tbody>\n{''.join(map(_as_row, self.findings))}</tbody></table>"
        )

    def part(self, *, ours: bool) -> "Ledger":
        """Return only the claims that go beyond the paper, or only the others."""
        return Ledger([f for f in self.findings if f.claim.ours is ours], self.evidence)


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

    Of several bases the largest counts in which every kind has a run; T_nanda, which is another
    task, may have another base. Runs of one base differ in the seed: a measure of several kinds
    takes those of a seed together, for each seed that all kinds have, or the first of each if
    there is none.

    Args:
        claim: What to ask.
        evidence: Runs by kind.
        seeds: Numbers of other seeds, whose runs are not here.
    """
    told = [one for one in seeds if one.speaks_of(claim, evidence)]
    rows: list[Row] = []
    bases: tuple[int, ...] = ()
    try:
        sets = [(one, _sets(one, claim, evidence)) for one in claim.measures]
        used = (run for one, each in sets if not one.together for runs in each for run in runs)
        bases = tuple(sorted({run.config.task.p for run in used}))
        for one, each in sets:
            own = []
            for runs in each:
                taken = {name: float(value) for name, value in one.take(*runs).items()}
                own.append(Row(one.kinds, runs[0].config.train.seed, taken))
            rows += [*own, *_stored(claim, own, told)]
    except CannotTell as why:
        return Finding(claim=claim, bases=bases, reason=str(why))
    return Finding(claim=claim, rows=tuple(rows), bases=bases)


def examine_all(
    evidence: Evidence, keys: Sequence[str] | None = None, seeds: Sequence[Seed] = ()
) -> Ledger:
    """Put the claims of some keys, or all, to runs by kind and the numbers of other seeds."""
    chosen = LEDGER if keys is None else [find_claim(key) for key in keys]
    try:
        return Ledger([examine(claim, evidence, seeds) for claim in chosen], evidence)
    finally:
        activations.cache_clear()


@cache  # chapters ask for several claims, and measures of one run build on each other
def _shipped() -> tuple[dict[str, list[Run]], list[Seed]]:
    return gather(shipped_runs()), stored_seeds()


@cache
def examine_shipped(key: str) -> Finding:
    """Put one claim to the runs and the seeds that come with the book; measured once."""
    evidence, seeds = _shipped()
    return examine_all(evidence, [key], seeds)[key]


def shuffled_label_control(ledger: Ledger, also: Sequence[str] = ()) -> Ledger:
    """Put the claims on T_miiii to a run of the same base that learned shuffled labels as well.

    Who learns labels without a rule by heart has no rule to show: where such a run gets the
    verdict that T_miiii gets, the verdict is not evidence of one. Those of the paper are asked
    all, and of ours those whose keys are given as well.
    """
    evidence = {**ledger.evidence, PLACE: ledger.evidence.get(SHUFFLED, ())}

    def asked(found: Finding) -> Finding:
        claim = found.claim
        if (claim.ours and claim.key not in also) or PLACE not in claim.kinds or not found.bases:
            return found
        control = examine(claim, evidence)
        return replace(found, control=control) if control.bases == found.bases else found

    return Ledger([asked(found) for found in ledger.findings], ledger.evidence)


def _stored(claim: Claim, own: Sequence[Row], told: Sequence[Seed]) -> list[Row]:
    """Return the numbers of other seeds that are not of the same runs again."""
    kinds, names = own[0].kinds, set().union(*(row.numbers for row in own))
    return [
        Row(kinds, one.seed, {n: x for n, x in one.claims[claim.key].items() if n in names})
        for one in told
        if set(kinds) & set(one.runs) and one.seed not in {row.seed for row in own}
    ]


def _sets(measure: Measure, claim: Claim, evidence: Evidence) -> list[list[Run]]:
    """Return the runs of each seed that a measure is taken from; CannotTell if there are none."""
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
    minor = {"seed", "precision"}
    usual = [r for r in runs if {name for name, *_ in nearest_preset(r.config)[1]} <= minor]
    bases: dict[int, list[Run]] = defaultdict(list)
    for run in usual or runs:
        bases[run.config.task.p].append(run)
    return [run for p in sorted(bases, reverse=True) for run in _alike(bases[p])]


def _alike(runs: list[Run]) -> list[Run]:
    """Return runs with the configuration of the one trained longest, one for each seed."""
    first = max(runs, key=lambda run: run.config.train.epochs).config.replace(seed=0)
    alike = {r.config.train.seed: r for r in reversed(runs) if r.config.replace(seed=0) == first}
    return [alike[seed] for seed in sorted(alike)]


def summary(findings: Sequence[Finding]) -> str:
    """Count the claims by verdict."""
    counts = {v: sum(f.verdict is v for f in findings) for v in Verdict}
    return f"{len(findings)} claims: " + ", ".join(f"{n} {v}" for v, n in counts.items() if n)


def numbers(found: Finding) -> list[list[str]]:
    """Return a table of every number: the paper's, ours, the control's, the spread over seeds."""
    controls = found.control.values if found.control else {}
    several = any(len(many) > 1 for many in found.spread.values())
    head = ["number", "paper", "ours", *(["shuffled labels"] if controls else [])]
    rows = [[*head, *(["least", "most", "seeds"] if several else [])]]
    for name, many in found.spread.items():
        row = [name, _number(found.claim.published.get(name)), _number(found.values[name])]
        row += [_number(controls.get(name))] if controls else []
        row += [_number(min(many)), _number(max(many)), str(len(many))] if several else []
        rows.append(row)
    return rows


def remarks(found: Finding) -> str:
    """Return what else there is to say of a verdict: the p of the runs, reasons, seeds, control."""
    said = [f"p = {', '.join(map(str, found.bases))}" if found.bases else "", found.reason]
    if found.verdict is Verdict.OPEN and not found.reason:
        said.append("the runs did not come to where this claim begins")
    if not set(found.alone) <= {found.verdict}:
        agree = found.alone.count(found.verdict)
        said.append(f"{agree} of {len(found.alone)} seeds say so by themselves")
    if found.control:
        same = found.control.verdict is found.verdict is not Verdict.OPEN
        said.append(f"with shuffled labels: {'also ' if same else ''}{found.control.verdict}")
    return "; ".join(filter(None, said))


def _number(value: float | str | None) -> str:
    """Show a number in four significant digits, or what is said in its place."""
    if isinstance(value, str):
        return value
    if value is None or np.isnan(value):
        return ""
    if value == NEVER:
        return "never"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.4g}"


def _as_text(found: Finding) -> str:
    claim, said = found.claim, remarks(found)
    lines = [f"{claim.key}: {found.verdict}{f' ({said})' if said else ''}"]
    lines += [f"  {claim.statement} ({claim.source})", f"  {claim.criterion}"]
    table = _plain(numbers(found)).splitlines() if found.rows else []
    return "\n".join([*lines, *(f"    {line}" for line in table)])


def _as_row(found: Finding) -> str:
    """Make a row: the claim, with criterion and all numbers folded; what decides; the verdict."""
    claim = found.claim
    deciding = dict.fromkeys((*claim.published, *claim.shown) or (claim.headline,))
    cells = [
        f"{_set(claim.statement[:1].upper() + claim.statement[1:])}"
        f"<details><summary>{_set(claim.source)}</summary>\n"
        f'<p>Criterion: {_set(claim.criterion)}; <a href="{claim.where.replace("#", ".html#")}">'
        f"where it is shown</a>.</p>\n<pre>{html.escape(_plain(numbers(found)))}</pre></details>",
        "<br>".join(_compared(found, name) for name in deciding if name in found.values),
        f"<strong>{found.verdict}</strong><br><small>{_set(remarks(found))}</small>",
    ]
    row = "".join(f"<td>{cell}</td>" for cell in cells)
    return f'<tr id="claim-{claim.key}" class="{found.verdict.name.lower()}">{row}</tr>\n'


def _compared(found: Finding, name: str) -> str:
    """Show the paper's number, if it has one, beside ours, with the spread over seeds."""
    many = found.spread[name]
    spread = f" ({_number(min(many))} to {_number(max(many))})" if len(many) > 1 else ""
    paper = _number(found.claim.published.get(name)) or "–"
    return f"{_set(name)}: {paper} → {_number(found.values[name])}{spread}"


def _set(text: str) -> str:
    """Return a text as HTML, the names of tasks and matrices set as the symbols they are."""
    return re.sub(r"\b([TW])_(\w+)", r"<i>\1</i><sub>\2</sub>", html.escape(text))
