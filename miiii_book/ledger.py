"""The ledger: what the paper claims, and what runs of ours say about it.

>>> from miiii_book import ledger
>>> from miiii_core import runs
>>> ledger.examine_all(ledger.gather(runs.shipped_runs()), ["filter-needed", "spike"])
"""

import html
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

import numpy as np
from tabulate import tabulate

from miiii_core.losses import NEVER
from miiii_core.presets import nearest_preset
from miiii_core.runs import Run, shipped_runs

from .claims import LEDGER, MEASURES, find_claim
from .claims.claim import CannotTell, Claim, Measure, Values, Verdict, activations, nearest
from .numbers import RUNS, SHUFFLED, Evidence, Row, identity, kind_of, stored_rows

COLUMNS = ("claim", "paper", "ours", "verdict")
NAMES = {Verdict.HOLDS: "hold", Verdict.FAILS: "fail", Verdict.UNDECIDED: "are undecided"}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A claim after it was put to runs."""

    claim: Claim  #: What was asked
    by_seed: Mapping[int, Values] = field(default_factory=dict)  #: What was measured in each seed
    bases: tuple[int, ...] = ()  #: The p of the runs
    reason: str = ""  #: Why the runs that are there cannot tell; empty if they can
    #: What networks without a rule get by the same criterion: shuffled labels, and no training
    controls: Mapping[str, Verdict] = field(default_factory=dict)
    #: What the same measure found on runs that do not decide, such as one of equal recipe
    beside: Values = field(default_factory=dict)

    @cached_property
    def told(self) -> dict[int, bool]:
        """Whether the claim holds in each seed that can tell."""
        return self.claim.told(self.by_seed)

    @property
    def verdict(self) -> Verdict:
        """What the seeds say together."""
        return self.claim.judge(self.by_seed)

    @property
    def says_little(self) -> bool:
        """Whether it holds, and would in a network that has learned no rule."""
        return self.verdict is Verdict.HOLDS and Verdict.HOLDS in self.controls.values()

    @property
    def called(self) -> str:
        """The verdict in words."""
        return f"{self.verdict}, but says little" if self.says_little else str(self.verdict)

    @cached_property
    def spread(self) -> dict[str, tuple[float, ...]]:
        """Each number, once for each seed that has it."""
        names = dict.fromkeys(name for values in self.by_seed.values() for name in values)
        every = self.by_seed.values()
        return {name: tuple(v[name] for v in every if name in v) for name in names}

    @cached_property
    def values(self) -> dict[str, float]:
        """Each number, the median over the seeds."""
        return {name: float(np.median(many)) for name, many in self.spread.items()}

    def distances(self) -> dict[int, tuple[str, float]]:
        """Return for each seed that can tell the comparison nearest to its bound, and how near."""
        return {seed: nearest(self.claim.holds, self.by_seed[seed]) for seed in self.told}

    def to_json(self) -> dict[str, Any]:
        """Return all there is to know, as JSON takes it; an epoch that never came is null."""
        claim = self.claim
        texts = ("key", "statement", "source", "criterion", "holds", "given", "fixed", "changed",
                 "paper", "sentence", "where")  # fmt: skip
        return {name: getattr(claim, name) for name in texts} | {
            "published": dict(claim.published),
            "numbers": {
                seed: {name: x if np.isfinite(x) else None for name, x in values.items()}
                for seed, values in self.by_seed.items()
            },
            "beside": {n: x if np.isfinite(x) else None for n, x in self.beside.items()},
            "p": self.bases,
            "holds_in_seed": self.told,
            "distance": {seed: {"of": of, "share": x if np.isfinite(x) else None}
                         for seed, (of, x) in self.distances().items()},
            "controls": dict(self.controls),
            "reason": self.reason,
            "verdict": self.verdict,
            "says_little": self.says_little,
        }  # fmt: skip


@dataclass(frozen=True)
class Ledger:
    """Findings, one for each claim; a notebook shows a table, a terminal a line a claim."""

    findings: Sequence[Finding]

    def __getitem__(self, key: str) -> Finding:
        """Return the finding on the claim of a key."""
        return {finding.claim.key: finding for finding in self.findings}[key]

    def __repr__(self) -> str:
        """Show one line a claim: the paper's number, ours with its range, and the verdict."""
        rows = [list(COLUMNS)]
        for found in self.findings:
            rows.append([found.claim.key, found.claim.paper, ours(found), found.called])
        table = tabulate(rows, tablefmt="plain", disable_numparse=True)
        return f"{table}\n\n{summary(self.findings)}"

    def verbose(self) -> str:
        """Return each claim with its criterion, its controls and all numbers."""
        return "\n\n".join([*map(_as_text, self.findings), summary(self.findings)])

    def to_json(self) -> list[dict[str, Any]]:
        """Return every finding, as JSON takes it."""
        return [found.to_json() for found in self.findings]

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{name}</th>" for name in COLUMNS)
        return (
            f'<table class="table stacked ledger">\n<thead><tr>{head}</tr></thead>\n'
            f"<tbody>\n{''.join(map(_as_row, self.findings))}</tbody></table>"
        )

    def part(self, *, ours: bool) -> "Ledger":
        """Return only the claims that go beyond the paper, or only the others."""
        return Ledger([f for f in self.findings if f.claim.ours is ours])


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


def examine_all(
    evidence: Evidence, keys: Sequence[str] | None = None, stored: Sequence[Row] = ()
) -> Ledger:
    """Put the claims of some keys, or all, to runs by kind.

    Of several bases the largest counts in which every kind has a run; T_nanda, which is another
    task, may have another base. Runs of one base differ in the seed: a measure of several kinds
    takes those of a seed together, for each seed that all kinds have, or the first of each if
    there is none.

    Args:
        evidence: Runs by kind.
        keys: Keys of the claims; all of them if not given.
        stored: Numbers that need not be measured again, of these runs and of other seeds.
    """
    chosen = LEDGER if keys is None else [find_claim(key) for key in keys]
    rows: dict[str, list[Row]] = {}
    reasons: dict[str, str] = {}
    for key in dict.fromkeys(claim.measure for claim in chosen):
        try:
            rows[key] = measured(key, evidence, stored)
        except CannotTell as why:
            rows[key], reasons[key] = [], str(why)
    activations.cache_clear()
    there = {identity(run): run.config.task.p for runs in evidence.values() for run in runs}
    findings = []
    for claim in chosen:
        own = _relevant(claim, rows[claim.measure])
        by_seed = _by_seed(own)
        reason = reasons.get(claim.measure, "")
        if not claim.told(by_seed) and not reason:
            lacking = {k for one in MEASURES[claim.measure] for k in one.kinds} - set(evidence)
            reason = f"needs a run of kind {', '.join(sorted(lacking))}" if lacking else ""
        controls: dict[str, list[Row]] = defaultdict(list)
        for row in _relevant(claim, stored):
            # A row of shuffled labels about kinds that none of them stands for is no control.
            same = any(row.runs == one.runs for one in own) and row.subject == SHUFFLED
            if row.subject != RUNS and set(row.runs.values()) <= set(there) and not same:
                controls[row.subject].append(row)
        verdicts = {
            subject: claim.judge(_by_seed([*several, *_others(own, several)]))
            for subject, several in controls.items()
        }
        beside = {
            n: x for row in rows[claim.measure] if row not in own for n, x in row.numbers.items()
        }
        bases = {there[run] for row in own for run in row.runs.values() if run in there}
        findings.append(
            Finding(claim=claim, by_seed=by_seed, reason=reason, controls=verdicts,
                    bases=tuple(sorted(bases)), beside=beside)
        )  # fmt: skip
    return Ledger(findings)


def measured(
    key: str, evidence: Evidence, stored: Sequence[Row] = (), subject: str = RUNS
) -> list[Row]:
    """Take a measure from runs, and from what is stored of them and of their other seeds.

    CannotTell where no kind has a run, or a run lacks what it takes.
    """
    kinds = tuple(dict.fromkeys(kind for one in MEASURES[key] for kind in one.kinds))
    known = [row for row in stored if row.measure == key and row.subject == subject]
    rows: list[Row] = []
    for one in MEASURES[key]:
        if len(MEASURES[key]) > 1 and not evidence.get(one.kinds[0]):
            continue
        own = []
        for runs in _sets(one, kinds, evidence):
            names = dict(zip(one.kinds, map(identity, runs), strict=False))
            twin = next((row for row in known if row.runs == names), None)
            if one.together or not twin:
                numbers = {n: float(x) for n, x in one.take(*runs).items()}
                twin = Row(key, subject, runs[0].config.train.seed, names, numbers)
            own.append(twin)
        recipes = {kind: name.split("/")[0] for kind, name in own[0].runs.items()}
        rows += own + [
            row
            for row in known
            if {kind: name.split("/")[0] for kind, name in row.runs.items()} == recipes
            and row.seed not in {each.seed for each in own}
        ]
    if not rows:
        raise CannotTell(f"needs a run of kind {', '.join(kinds)}")
    return rows


@cache  # chapters ask for several claims
def examine_shipped(key: str) -> Finding:
    """Put one claim to the runs and the numbers that come with the book."""
    return examine_all(gather(shipped_runs()), [key], stored_rows())[key]


def summary(findings: Sequence[Finding]) -> str:
    """Count the claims by verdict."""
    little = sum(found.says_little for found in findings)
    counts = (sum(found.verdict is verdict for found in findings) for verdict in Verdict)
    said = ", ".join(f"{n} {NAMES[v]}" for v, n in zip(Verdict, counts, strict=True) if n)
    return f"{len(findings)} claims: {said}" + (
        f"; of those that hold, {little} say little" if little else ""
    )


def ours(found: Finding) -> str:
    """Show the number that stands for the others: the median, and the range over seeds."""
    many = found.spread.get(found.claim.number, ())
    if not many:
        return ""
    low, high = _number(min(many)), _number(max(many))
    return _number(float(np.median(many))) + (f" ({low} to {high})" if low != high else "")


def remarks(found: Finding) -> list[str]:
    """Return what else there is to say of a verdict: base, seeds, distance, controls, reason."""
    said = [f"p = {', '.join(map(str, found.bases))}" if found.bases else "", found.reason]
    if found.told:
        agree = sum(found.told.values())
        said.append(f"holds in {agree} of {len(found.told)} seeds")
        of, share = min(found.distances().values(), key=lambda each: abs(each[1]))
        said.append(
            f"nearest to its bound: {of}, by {abs(share):.1%}" if abs(share) < np.inf else ""
        )
    elif not found.reason:
        said.append("the runs did not come to where this claim begins")
    said += [f"{subject}: {verdict}" for subject, verdict in found.controls.items()]
    return [text for text in said if text]


def _relevant(claim: Claim, rows: Sequence[Row]) -> list[Row]:
    """Return the rows that have a number which decides, or stands for the others."""
    text = f"{claim.holds}; {claim.given}; {claim.number}"
    own = [row for row in rows if row.measure == claim.measure]
    return [row for row in own if any(name in text for name in row.numbers)]


def _others(own: Sequence[Row], controls: Sequence[Row]) -> list[Row]:
    """Return the first of the rows about each kind in whose place there is no control."""
    taken = {tuple(row.runs) for row in controls}
    return list({tuple(r.runs): r for r in reversed(own) if tuple(r.runs) not in taken}.values())


def _by_seed(rows: Sequence[Row]) -> dict[int, dict[str, float]]:
    """Return all numbers of each seed; of a kind that has no run of it, those of its first."""
    first = {tuple(row.runs): row.numbers for row in reversed(rows)}
    own = {(tuple(row.runs), row.seed): row.numbers for row in rows}
    return {
        seed: {n: x for k in reversed(first) for n, x in own.get((k, seed), first[k]).items()}
        for seed in sorted({row.seed for row in rows})
    }


def _sets(measure: Measure, kinds: Sequence[str], evidence: Evidence) -> list[list[Run]]:
    """Return the runs of each seed that a measure is taken from; CannotTell if there are none."""
    if lacking := [kind for kind in measure.kinds if not evidence.get(kind)]:
        raise CannotTell(f"needs a run of kind {', '.join(lacking)}")
    if measure.together:
        return [[run for kind in measure.kinds for run in evidence[kind]]]
    bases = {k: {run.config.task.p for run in evidence[k]} for k in kinds if evidence.get(k)}
    bound = [ps for kind, ps in bases.items() if not kind.startswith("nanda")]
    shared = set.intersection(*(bound or bases.values()))
    if not shared:
        largest = max(set.union(*bound))
        lacking = [kind for kind, ps in bases.items() if largest not in ps]
        raise CannotTell(f"needs a run of kind {', '.join(lacking)} at p = {largest}")
    found = []
    for kind in measure.kinds:
        p = max(shared) if max(shared) in bases[kind] else max(bases[kind])
        own = [run for run in evidence[kind] if run.config.task.p == p]
        found.append({run.config.train.seed: run for run in reversed(own)})  # the first counts
    seeds = [seed for seed in reversed(found[0]) if all(seed in runs for runs in found)]
    firsts = [next(reversed(runs.values())) for runs in found]
    return [[runs[seed] for runs in found] for seed in seeds] or [firsts]


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


def _numbers(found: Finding) -> str:
    """Return a table of every number: the paper's, ours, and its range over seeds."""
    rows = [["number", "paper", "ours", "least", "most"]]
    for name, many in found.spread.items():
        row = [name, _number(found.claim.published.get(name)), _number(found.values[name])]
        rows.append(row + ([_number(min(many)), _number(max(many))] if len(many) > 1 else ["", ""]))
    rows += [[name, "", _number(value), "", ""] for name, value in found.beside.items()]
    return tabulate(rows, tablefmt="plain", disable_numparse=True) if found.by_seed else ""


def _number(value: float | str | None) -> str:
    """Show a number in four significant digits, or what is said in its place."""
    if isinstance(value, str):
        return value
    if value is None or np.isnan(value):
        return ""
    if value == NEVER:
        return "never"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.4g}"


def _history(claim: Claim) -> str:
    return f"fixed {claim.fixed}" + (f". {claim.changed}" if claim.changed else "")


def _as_text(found: Finding) -> str:
    claim = found.claim
    lines = [f"{claim.key}: {found.called} ({'; '.join(remarks(found))})", f"  {claim.sentence}"]
    lines += [f"  claim: {claim.statement} ({claim.source})", f"  criterion: {claim.criterion}"]
    lines.append(f"  {_history(claim)}")
    return "\n".join([*lines, *(f"    {line}" for line in _numbers(found).splitlines())])


def _as_row(found: Finding) -> str:
    """Make a row: the claim and what it comes to, with all else folded; numbers; the verdict."""
    claim, place = found.claim, found.claim.where.replace("#", ".html#")
    cells = [
        f"{_set(claim.statement[:1].upper() + claim.statement[1:])}."
        f'<p class="sentence">{_set(claim.sentence)}</p>'
        f"<details><summary>{_set(claim.source)}: criterion and numbers</summary>\n"
        f"<p>Criterion: {_set(claim.criterion)}; {_set(_history(claim))}</p>"
        f'<p>{_set("; ".join(remarks(found)))}. <a href="{place}">Where it is shown</a>.</p>\n'
        f"<pre>{html.escape(_numbers(found))}</pre></details>",
        html.escape(claim.paper) or "–",
        f"{ours(found)}<br><small>{_set(claim.number)}</small>" if ours(found) else "–",
        f"<strong>{found.verdict}</strong>" + ("<br>says little" if found.says_little else ""),
    ]
    row = "".join(f'<td data-label="{n}">{c}</td>' for n, c in zip(COLUMNS, cells, strict=True))
    kind = "holds little" if found.says_little else str(found.verdict)
    return f'<tr id="claim-{claim.key}" class="{kind}">{row}</tr>\n'


def _set(text: str) -> str:
    """Return a text as HTML, the names of tasks and matrices set as the symbols they are."""
    return re.sub(r"\b([TW])_(\w+)", r"<i>\1</i><sub>\2</sub>", html.escape(text))
