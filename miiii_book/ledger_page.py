"""The ledger as a reader sees it: lines in a terminal, JSON, a table and its details on a page."""

import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from miiii_core.runs import Run
from miiii_core.schedule import NEVER

from .claims.claim import Finding, Verdict


@dataclass(frozen=True)
class Ledger:
    """Findings, one for each claim, and the runs by kind that they are about.

    A notebook shows it as a table, a terminal with one line a claim.
    """

    findings: Sequence[Finding]
    evidence: Mapping[str, Sequence[Run]]

    def __getitem__(self, key: str) -> Finding:
        """Return the finding on the claim of a key."""
        found = {finding.claim.key: finding for finding in self.findings}
        if key not in found:
            raise KeyError(f"{key!r} was not examined; examined were {', '.join(found)}")
        return found[key]

    def __repr__(self) -> str:
        """Show one line a claim: a number of the paper, ours, and the verdict."""
        rows = [["claim", "number", "paper", "ours", "verdict"]]
        for found in self.findings:
            name = found.claim.headline
            paper, ours = (
                _number(each.get(name)) for each in (found.claim.published, found.values)
            )
            rows.append([found.claim.key, name if ours else "", paper, ours, str(found.verdict)])
        return f"{_aligned(rows)}\n\n{summary(self.findings)}"

    def verbose(self) -> str:
        """Return each claim with its criterion and all numbers, and the runs at the end."""
        return "\n\n".join([*map(_as_text, self.findings), summary(self.findings), self.runs()])

    def json(self) -> str:
        """Return all of it as JSON; an epoch that never came is the text "never"."""
        return json.dumps([_as_json(found) for found in self.findings], ensure_ascii=False)

    def runs(self) -> str:
        """Return a line for each run."""
        lines = (
            f"{run.folder.name}: p = {run.config.task.p}, {run.epoch:,} epochs, "
            f"seed {run.config.train.seed}"
            for several in self.evidence.values()
            for run in several
        )
        return "\n".join(dict.fromkeys(lines))

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{name}</th>" for name in ("claim", "paper → ours", "verdict"))
        return (
            f'<table class="table stacked ledger">\n<thead><tr>{head}</tr></thead>\n'
            f"<tbody>\n{''.join(map(_as_row, self.findings))}</tbody></table>"
        )

    def part(self, *, ours: bool) -> "Ledger":
        """Return only the claims that go beyond the paper, or only the others."""
        return Ledger([f for f in self.findings if f.claim.ours is ours], self.evidence)


def summary(findings: Sequence[Finding]) -> str:
    """Count the claims by verdict."""
    counts = {v: sum(f.verdict is v for f in findings) for v in Verdict}
    return f"{len(findings)} claims: " + ", ".join(f"{n} {v}" for v, n in counts.items() if n)


def numbers(found: Finding) -> list[list[str]]:
    """Return a table of every number: the paper's, ours, the control's, the spread over seeds.

    Its first row has the names of the columns.
    """
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
    """Return what else there is to say of a verdict.

    It is why the claim is open or the p of its runs, how many seeds say the same by themselves
    unless all do, and what shuffled labels in the place of T_miiii get, if they were asked.
    """
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


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _as_text(found: Finding) -> str:
    claim, said = found.claim, remarks(found)
    lines = [f"{claim.key}: {found.verdict}{f' ({said})' if said else ''}"]
    lines += [f"  {claim.statement} ({claim.source})", f"  {claim.criterion}"]
    table = _aligned(numbers(found)).splitlines() if found.rows else []
    return "\n".join([*lines, *(f"    {line}" for line in table)])


def _as_json(found: Finding) -> dict[str, Any]:
    claim = found.claim
    texts = {name: getattr(claim, name) for name in ("key", "statement", "source", "criterion")}
    return texts | {
        "published": dict(claim.published),
        "verdict": str(found.verdict),
        "reason": found.reason,
        "bases": found.bases,
        "values": _plain(found.values),
        "seeds": {seed: _plain(values) for seed, values in found.by_seed.items()},
        "control": _as_json(found.control) if found.control else None,
    }


def _plain(values: Mapping[str, float]) -> dict[str, float | str | None]:
    return {
        name: "never" if x == NEVER else None if np.isnan(x) else x for name, x in values.items()
    }


def _as_row(found: Finding) -> str:
    """Make a row: the claim, with criterion and all numbers folded; what decides; the verdict."""
    claim = found.claim
    deciding = dict.fromkeys((*claim.published, *claim.shown) or (claim.headline,))
    cells = [
        f"{_set(_sentence(claim.statement))}<details><summary>{_set(claim.source)}</summary>\n"
        f'<p>Criterion: {_set(claim.criterion)}; <a href="{claim.where.replace("#", ".html#")}">'
        f"where it is shown</a>.</p>\n<pre>{html.escape(_aligned(numbers(found)))}</pre></details>",
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


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _set(text: str) -> str:
    """Return a text as HTML, the names of tasks and matrices set as the symbols they are."""
    return re.sub(r"\b([TW])_(\w+)", r"<i>\1</i><sub>\2</sub>", html.escape(text))
