"""The ledger: what the paper claims, and what runs of ours say about it."""

import html
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
from .numbers import PLACES, RUNS, SHUFFLED, UNTRAINED, Evidence, Row, identity, stored_rows
from .symbols import set_symbols

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
        every = self.by_seed.values()
        names = dict.fromkeys(name for values in every for name in values)
        return {name: tuple(v[name] for v in every if name in v) for name in names}

    @property
    def distances(self) -> dict[int, tuple[str, float]]:
        """For each seed that can tell the comparison nearest to its bound, and how near."""
        return {seed: nearest(self.claim.holds, self.by_seed[seed]) for seed in self.told}

    def to_json(self) -> dict[str, Any]:
        """Return all there is to know, as JSON takes it; an epoch that never came is null."""

        def finite(values: Values) -> dict[str, float | None]:
            return {name: x if np.isfinite(x) else None for name, x in values.items()}

        near = self.distances.items()
        return vars(self.claim) | {
            "numbers": {seed: finite(values) for seed, values in self.by_seed.items()},
            "beside": finite(self.beside),
            "p": self.bases,
            "holds_in_seed": self.told,
            "distance": {seed: {"of": of} | finite({"share": far}) for seed, (of, far) in near},
            "controls": self.controls,
            "reason": self.reason,
            "verdict": self.verdict,
            "says_little": self.says_little,
        }


@dataclass(frozen=True)
class Ledger:
    """Findings, one for each claim; a notebook shows a table, a terminal a line a claim."""

    findings: Sequence[Finding]

    def __getitem__(self, key: str) -> Finding:
        """Return the finding on the claim of a key."""
        return {finding.claim.key: finding for finding in self.findings}[key]

    def __repr__(self) -> str:
        """Show the paper's number, ours with its range, and the verdict; and count the verdicts."""
        rows = [COLUMNS, *((f.claim.key, f.claim.paper, ours(f), f.called) for f in self.findings)]
        counts = Counter(found.verdict for found in self.findings)
        said = ", ".join(f"{counts[one]} {name}" for one, name in NAMES.items() if counts[one])
        if little := sum(found.says_little for found in self.findings):
            said += f"; of those that hold, {little} say little"
        lines = tabulate(rows, tablefmt="plain", disable_numparse=True)
        why = "".join(f"{f.claim.key}: {f.reason}\n" for f in self.findings if f.reason)
        return f"{lines}\n\n{why}{len(self.findings)} claims: {said}"

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{name}</th>" for name in COLUMNS)
        return (
            f'<table class="table stacked ledger">\n<thead><tr>{head}</tr></thead>\n'
            f"<tbody>\n{''.join(map(_as_row, self.findings))}</tbody></table>"
        )

    def to_json(self) -> list[dict[str, Any]]:
        """Return every finding, as JSON takes it."""
        return [found.to_json() for found in self.findings]

    def part(self, *, ours: bool) -> "Ledger":
        """Return only the claims that go beyond the paper, or only the others."""
        return Ledger([f for f in self.findings if (f.claim.source == "Ours") is ours])


def gather(found: Iterable[Run]) -> dict[str, list[Run]]:
    """Sort finished runs by kind; all of T_miiii once more, as ``bases``, to be compared.

    A kind is the preset that a run is nearest to, of whatever size: ``miiii`` for miiii-small.
    Of a kind those count that are as a preset says, before others. Of each p they are those
    trained longest, one for each seed, that differ in nothing but that; the largest p first.
    """
    kinds: dict[str, list[Run]] = defaultdict(list)
    for run in found:
        if run.finished:
            kinds[nearest_preset(run.config)[0].removesuffix("-small")].append(run)
    evidence = {kind: list(_selected(runs)) for kind, runs in kinds.items()}
    return evidence | ({"bases": kinds["miiii"]} if "miiii" in kinds else {})


def _selected(runs: Sequence[Run]) -> Iterator[Run]:
    # Neither is part of what a preset is about: the seed, and how numbers are rounded.
    minor = {"seed", "precision"}
    usual = [r for r in runs if {name for name, *_ in nearest_preset(r.config)[1]} <= minor] or runs
    for p in sorted({run.config.task.p for run in usual}, reverse=True):
        own = [run for run in usual if run.config.task.p == p]
        first = max(own, key=lambda run: run.config.train.epochs).config.replace(seed=0)
        # Of several with one seed the first counts.
        alike = {r.config.train.seed: r for r in own[::-1] if r.config.replace(seed=0) == first}
        yield from (alike[seed] for seed in sorted(alike))


def examine_all(
    evidence: Evidence, keys: Sequence[str] | None = None, stored: Sequence[Row] = ()
) -> Ledger:
    """Put the claims of some keys, or all, to runs by kind, beside what is stored of them.

    What is stored of these runs is not measured again; of their other seeds it counts as well.
    """
    there = {identity(run): run.config.task.p for runs in evidence.values() for run in runs}

    @cache  # claims share measures
    def found(measure: str) -> tuple[list[Row], str]:
        try:
            return measured(measure, evidence, stored), ""
        except CannotTell as why:
            return [], str(why)

    def examine(claim: Claim) -> Finding:
        (rows, reason), several = found(claim.measure), MEASURES[claim.measure]
        own = _relevant(claim, rows)
        by_seed = _by_seed(own, claim.number)
        lacking = [kind for one in several for kind in one.kinds if not evidence.get(kind)]
        if lacking and not reason and not claim.told(by_seed):
            reason = f"needs a run of kind {', '.join(lacking)}"
        here = [row for row in _relevant(claim, stored) if set(row.runs.values()) <= there.keys()]
        controls = {
            # Shuffled labels beside runs that have none in their place are no control.
            SHUFFLED: [row for row in here if row.subject == SHUFFLED and {*row.runs} <= {*PLACES}],
            UNTRAINED: [row for row in here if row.subject == UNTRAINED],
        }
        kinds = [[*row.runs] for row in own]
        # A measure of several bases says itself how many they are.
        measured_here = [] if several[0].together else [i for r in own for i in r.runs.values()]
        return Finding(
            claim=claim,
            by_seed=by_seed,
            bases=tuple(sorted({there[run] for run in measured_here if run in there})),
            reason=reason,
            controls={
                name: claim.judge(_by_seed(some, "", own))
                for name, some in controls.items()
                if some
            },
            beside={n: x for r in rows if [*r.runs] not in kinds for n, x in r.numbers.items()},
        )

    page = Ledger(list(map(examine, LEDGER if keys is None else map(find_claim, keys))))
    activations.cache_clear()
    return page


@cache
def _shipped() -> Evidence:
    return gather(shipped_runs())


@cache  # chapters ask for several claims
def examine_shipped(key: str) -> Finding:
    """Put one claim to the runs and the numbers that come with the book."""
    return examine_all(_shipped(), [key], stored_rows())[key]


def measured(
    key: str, evidence: Evidence, stored: Sequence[Row] = (), subject: str = RUNS
) -> list[Row]:
    """Take a measure from the runs of each seed, and from what is stored of their other seeds.

    Nothing is taken where a kind has no run; CannotTell where a run lacks what it takes,
    or kinds share no base.
    """
    several = MEASURES[key]
    kinds = [kind for one in several for kind in one.kinds]
    known = [row for row in stored if row.measure == key and row.subject == subject]
    rows: list[Row] = []
    for one in several:
        if not all(evidence.get(kind) for kind in one.kinds):
            continue
        own = []
        for runs in _sets(one, kinds, evidence):
            names = dict(zip(one.kinds, map(identity, runs), strict=False))
            twin = next((row for row in known if row.runs == names), None)
            if not twin:
                numbers = {name: float(x) for name, x in one.take(*runs).items()}
                twin = Row(key, subject, runs[0].config.train.seed, names, numbers)
            own.append(twin)
        seeds, recipes = {row.seed for row in own}, own[0].recipes
        rows += own + [r for r in known if r.recipes == recipes and r.seed not in seeds]
    return rows


def _sets(measure: Measure, kinds: Sequence[str], evidence: Evidence) -> list[list[Run]]:
    """Return the runs of each seed that a measure is taken from; CannotTell if no base is shared.

    Of several bases the largest counts in which every kind has a run; T_nanda, which is another
    task, may have another. A measure of several kinds takes those of a seed together, for each
    seed that all kinds have, or the first of each if there is none.
    """
    if measure.together:
        return [list(evidence[measure.kinds[0]])]
    bases = {k: {run.config.task.p for run in evidence[k]} for k in kinds if evidence.get(k)}
    bound = [ps for kind, ps in bases.items() if not kind.startswith("nanda")] or [*bases.values()]
    shared, largest = set.intersection(*bound), max(set.union(*bound))
    if not shared:
        lacking = [kind for kind, ps in bases.items() if largest not in ps]
        raise CannotTell(f"needs a run of kind {', '.join(lacking)} at p = {largest}")
    found = []
    for kind in measure.kinds:
        p = max(shared) if max(shared) in bases[kind] else max(bases[kind])
        found.append({r.config.train.seed: r for r in evidence[kind] if r.config.task.p == p})
    seeds = [seed for seed in found[0] if all(seed in runs for runs in found)]
    firsts = [next(iter(runs.values())) for runs in found]
    return [[runs[seed] for runs in found] for seed in seeds] or [firsts]


def _relevant(claim: Claim, rows: Sequence[Row]) -> list[Row]:
    """Return the rows that have a number which decides, or stands for the others."""
    text = f"{claim.holds}; {claim.given}; {claim.number}"
    return [r for r in rows if r.measure == claim.measure and any(n in text for n in r.numbers)]


def _by_seed(rows: Sequence[Row], number: str, instead: Sequence[Row] = ()) -> dict[int, Values]:
    """Return all numbers of each seed that has some number, or of all seeds if none has it.

    Of a kind without a run of the seed they are those of the kind's first, or of the first in its
    stead if it has no row at all.
    """
    numbered = [row for row in rows if number in row.numbers] or rows
    first = {tuple(row.runs): row.numbers for row in reversed([*rows, *instead])}
    own = {(tuple(row.runs), row.seed): row.numbers for row in rows}
    return {
        seed: {n: x for k in reversed(first) for n, x in own.get((k, seed), first[k]).items()}
        for seed in sorted({row.seed for row in numbered})
    }


def ours(found: Finding) -> str:
    """Show the number that stands for the others: the median, and the range over seeds."""
    if not (many := found.spread.get(found.claim.number)):
        return ""
    low, high = _number(min(many)), _number(max(many))
    return _number(np.median(many)) + (f" ({low} to {high})" if low != high else "")


def remarks(found: Finding) -> list[str]:
    """Return what else there is to say of a verdict: base, seeds, distance, controls, reason."""
    said = [f"p = {', '.join(map(str, found.bases))}" if found.bases else "", found.reason]
    if found.told:
        few = f", and takes {least}" if len(found.told) < (least := found.claim.least_seeds) else ""
        said.append(f"holds in {sum(found.told.values())} of {len(found.told)} seeds{few}")
        of, share = min(found.distances.values(), key=lambda each: abs(each[1]))
        if abs(share) < np.inf:
            said.append(f"nearest to its bound: {of}, by {abs(share):.1%}")
    elif found.by_seed and not found.reason:
        said.append(f"asked only where {found.claim.given}, which is so in no seed here")
    said += [f"{subject}: {verdict}" for subject, verdict in found.controls.items()]
    return [text for text in said if text]


def _numbers(found: Finding) -> str:
    """Return a table of every number: the paper's, ours, and its range over seeds."""
    rows = [["number", "paper", "ours", "least", "most"]]
    for name, many in found.spread.items():
        ends = (min(many), max(many)) if len(many) > 1 else ()
        values = found.claim.published.get(name), np.median(many), *ends
        rows.append([name, *map(_number, values)])
    rows += [[name, "", _number(value)] for name, value in found.beside.items()]
    look = {"tablefmt": "plain", "disable_numparse": True, "maxcolwidths": [24]}
    return tabulate(rows, **look) if found.by_seed else ""


def _number(value: float | np.floating | str | None) -> str:
    """Show a number in four significant digits, or what is said in its place."""
    if value is None or isinstance(value, str):
        return value or ""
    if not np.isfinite(value):
        return "never" if value == NEVER else ""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.4g}"


def _as_row(found: Finding) -> str:
    """Make a row: the claim and what it comes to, with all else folded; numbers; the verdict."""
    claim, number = found.claim, ours(found)
    history = f"fixed {claim.fixed}" + (f". {claim.changed}" if claim.changed else "")
    cells = [
        f"{set_symbols(claim.statement[:1].upper() + claim.statement[1:])}."
        f'<p class="sentence">{set_symbols(claim.sentence)}</p>'
        f"<details><summary>{set_symbols(claim.source)}: criterion and numbers</summary>\n"
        f"<p>{set_symbols(f'Criterion: {claim.criterion}; {history}')}</p>"
        f"<p>{set_symbols('; '.join(remarks(found)))}. "
        f'<a href="{claim.where.replace("#", ".html#")}">Where it is shown</a>.</p>\n'
        f"<pre>{html.escape(_numbers(found))}</pre></details>",
        html.escape(claim.paper) or "–",
        f"{number}<br><small>{set_symbols(claim.number)}</small>" if number else "–",
        f"<strong>{found.verdict}</strong>" + ("<br>says little" if found.says_little else ""),
    ]
    row = "".join(f'<td data-label="{n}">{c}</td>' for n, c in zip(COLUMNS, cells, strict=True))
    kind = "holds little" if found.says_little else str(found.verdict)
    head = f'<tr><th colspan="{len(COLUMNS)}">{claim.part}</th></tr>\n' if claim.part else ""
    return f'{head}<tr id="claim-{claim.key}" class="{kind}">{row}</tr>\n'
