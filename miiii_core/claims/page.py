"""The ledger as a reader sees it: lines in a terminal, a table and its details on a page."""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..figures.tables import MISSING, Table, table
from ..milestones import NEVER
from ..storage.saved import Run
from .ledger import Claim, Evidence, Finding, Number, Verdict


@dataclass(frozen=True)
class Ledger:
    """Findings that a notebook shows as a page part, and a terminal as text.

    Attributes:
        findings: One for each claim.
        evidence: What they were judged by.
    """

    findings: Sequence[Finding]
    evidence: Evidence

    def __getitem__(self, key: str) -> Finding:
        """The finding on the claim of a key."""
        found = {finding.claim.key: finding for finding in self.findings}
        if key not in found:
            raise KeyError(f"{key!r} was not examined; examined were {', '.join(found)}")
        return found[key]

    def __repr__(self) -> str:
        """Each claim with its verdict and its numbers, and the runs at the end."""
        return "\n\n".join([*map(_as_text, self.findings), summary(self.findings), self.runs()])

    def _repr_html_(self) -> str:
        # Hypotheses of ours have no number of the paper to stand beside.
        compared = any(f.claim.published or f.claim.shown for f in self.findings)
        names = ["claim", *(["paper → ours"] if compared else []), "verdict"]
        rows = [_as_row(finding, compared) for finding in self.findings]
        return _stacked("ledger", names, rows)

    def part(self, *, ours: bool) -> "Ledger":
        """Only the findings on claims that go beyond the paper, or only the others."""
        return Ledger([f for f in self.findings if f.claim.ours is ours], self.evidence)

    def runs(self) -> str:
        """Which runs testified."""
        lines = (_witness(run) for runs in self.evidence.values() for run in runs)
        return "\n".join(dict.fromkeys(lines))

    def details(self) -> "Details":
        """Criterion and all numbers of each claim, folded."""
        return Details(self.findings)


@dataclass(frozen=True)
class Expectations:
    """Claims before a number is known: each with the criterion that will decide it."""

    claims: Sequence[Claim]

    def __repr__(self) -> str:
        """As text."""
        lines = [f"{c.key}: {c.statement}\n  holds if {c.criterion}" for c in self.claims]
        return "\n\n".join(lines)

    def _repr_html_(self) -> str:
        rows = [
            f"<tr><td>{_set(_sentence(c.statement))}<br><small>{c.key}</small></td>"
            f"<td>{_set(c.criterion)}</td></tr>"
            for c in self.claims
        ]
        return _stacked("expectations", ["we expect", "it holds if"], rows)


@dataclass(frozen=True)
class Details:
    """The criterion and the measured numbers of each claim."""

    findings: Sequence[Finding]

    def __repr__(self) -> str:
        """As text."""
        return "\n\n".join(map(_as_text, self.findings))

    def _repr_html_(self) -> str:
        folds = "\n".join(map(_as_fold, self.findings))
        return f'<div class="ledger-details">\n{folds}\n</div>'


def summary(findings: Sequence[Finding]) -> str:
    """How many claims got which verdict."""
    counts = {v: sum(f.verdict == v for f in findings) for v in Verdict}
    return f"{len(findings)} claims: " + ", ".join(f"{n} {v}" for v, n in counts.items() if n)


def numbers(finding: Finding) -> Table:
    """Every number of a finding: the paper's, ours, and the least and the most over seeds.

    And what was measured with shuffled labels in the place of T_miiii, if that was asked.
    """
    names = list(finding.values)
    columns = {
        "number": names,
        "paper": [_shown(finding.claim.published.get(name)) for name in names],
        "ours": [_shown(value) for value in finding.values.values()],
    }
    if finding.impostor:
        columns["shuffled labels"] = [_shown(finding.impostor.values.get(name)) for name in names]
    if any(len(many) > 1 for many in finding.spread.values()):
        columns["least"] = [_shown(min(many)) for many in finding.spread.values()]
        columns["most"] = [_shown(max(many)) for many in finding.spread.values()]
        columns["seeds"] = [str(len(many)) for many in finding.spread.values()]
    return table(columns)


def _shown(value: Number | str | None) -> str:
    """A number in four significant digits, or what is said in its place."""
    if isinstance(value, str):
        return value
    if value is None or np.isnan(value):
        return ""
    if value == NEVER:
        return "never"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.4g}"


def _why_open(finding: Finding) -> str:
    if finding.missing:
        return f"needs a run of kind {', '.join(finding.missing)}"
    if finding.reason or finding.verdict is not Verdict.OPEN:
        return finding.reason
    if not finding.claim.measures:
        return "no run can tell"
    return f"the runs at {finding.where} did not come to where this claim begins"


def of_impostor(finding: Finding) -> str:
    """What shuffled labels in the place of T_miiii would be told; empty if they were not asked."""
    if finding.impostor is None:
        return ""
    same = finding.impostor.verdict is finding.verdict is not Verdict.OPEN
    return f"with shuffled labels: {'also ' if same else ''}{finding.impostor.verdict}"


def _as_text(finding: Finding) -> str:
    claim, why = finding.claim, _why_open(finding) or finding.where
    lines = [
        f"{claim.key}: {finding.verdict}{f' ({why})' if why else ''}",
        f"  {claim.statement} ({claim.source})",
        f"  {claim.criterion}",
        *([f"  {of_impostor(finding)}"] if finding.impostor else []),
    ]
    shown = repr(numbers(finding)).splitlines() if finding.values else []
    return "\n".join([*lines, *(f"    {line}" for line in shown)])


def _stacked(kind: str, names: Sequence[str], rows: Sequence[str]) -> str:
    """A table of sentences; where it is narrow, the style sheet puts cells below each other."""
    head = "".join(f"<th>{name}</th>" for name in names)
    body = "\n".join(rows)
    return (
        f'<table class="table stacked {kind}">\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table>"
    )


def _as_row(finding: Finding, compared: bool) -> str:
    claim, why = finding.claim, _why_open(finding)
    deciding = dict.fromkeys((*claim.published, *claim.shown))
    both = [_compared(finding, name) for name in deciding if name in finding.values]
    link = f'<a href="{claim.page}.html#{claim.figure}">where it is shown</a>'
    told = [why or finding.where, finding.disagreement, of_impostor(finding)]
    said = "; ".join(filter(None, told))
    cells = [
        f"{_set(_sentence(claim.statement))}<br><small>{_set(claim.source)}; {link}</small>",
        *(["<br>".join(both)] if compared else []),
        f"<strong>{finding.verdict}</strong><br><small>{_set(said)}</small>",
    ]
    marked = f'<tr id="claim-{claim.key}" class="{finding.verdict.name.lower()}">'
    return marked + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"


def _compared(finding: Finding, name: str) -> str:
    """The paper's number, if it has one, beside ours, with the spread over seeds of its run."""
    many = finding.spread[name]
    spread = f" ({_shown(min(many))} to {_shown(max(many))})" if len(many) > 1 else ""
    paper, ours = finding.claim.published.get(name), finding.values[name]
    return f"{_set(name)}: {_shown(paper) or MISSING} → {_shown(ours)}{spread}"


def seeds_table(findings: Sequence[Finding]) -> Table:
    """What each seed says alone of the claims that several can speak of, by verdict."""
    several = [finding for finding in findings if len(finding.alone) > 1]
    counts = {v: [f.alone.count(v) for f in several] for v in Verdict}
    return table(
        {
            "claim": [finding.claim.key for finding in several],
            "together": [str(finding.verdict) for finding in several],
            "seeds": [len(finding.alone) for finding in several],
            **{str(verdict): each for verdict, each in counts.items() if any(each)},
        }
    )


def _as_fold(finding: Finding) -> str:
    claim = finding.claim
    inner = numbers(finding)._repr_html_() if finding.values else f"<p>{_why_open(finding)}.</p>"
    aside = f"<p>{_sentence(of_impostor(finding))}.</p>\n" if finding.impostor else ""
    return (
        f"<details><summary>{_set(_sentence(claim.statement))}: <strong>{finding.verdict}</strong>"
        f"</summary>\n<p>Criterion: {_set(claim.criterion)}.</p>\n{aside}{inner}\n</details>"
    )


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


def _set(text: str) -> str:
    """A text as HTML, the names of tasks and matrices set as the symbols they are."""
    return re.sub(r"\b([TW])_(\w+)", r"<i>\1</i><sub>\2</sub>", html.escape(text))


def _witness(run: Run) -> str:
    early = f" of {run.config.train.epochs:,}" if run.stopped_early else ""
    return (
        f"{run.folder.name}: p = {run.task.p}, {run.epoch:,}{early} epochs, "
        f"seed {run.config.train.seed}"
    )
