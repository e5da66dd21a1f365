"""What the ledger would say of a network that learned shuffled labels, taken for T_miiii.

A criterion that is fixed before any number is known can turn out to ask for too little. Who learns
labels without a rule by heart has no rule to show: where such a run gets the verdict that T_miiii
gets, the verdict is not evidence of one.
"""

from dataclasses import replace

from .examining import examine
from .ledger import Claim, Evidence, Finding
from .page import Ledger

IMPOSTOR, PLACE = "basis", "miiii"


def can_pose(claim: Claim) -> bool:
    """Whether a claim is measured on a run of T_miiii, whose place another can take."""
    return PLACE in claim.needs and not any(measure.together for measure in claim.measures)


def with_impostor(ledger: Ledger, also: tuple[str, ...] = ()) -> Ledger:
    """The same findings, each beside what the impostor of the same base would be told.

    Args:
        ledger: Findings, and the runs that they are about.
        also: Keys of claims of ours; those of the paper are put to it all.
    """
    asked = [not found.claim.ours or found.claim.key in also for found in ledger.findings]
    findings = [
        replace(found, impostor=_posed(found, ledger.evidence)) if ask else found
        for ask, found in zip(asked, ledger.findings, strict=True)
    ]
    return Ledger(findings, ledger.evidence)


def _posed(found: Finding, evidence: Evidence) -> Finding | None:
    """The claim put to the impostor; None where it has no place to take, or no run."""
    if found.missing or not can_pose(found.claim):
        return None
    posed = examine(found.claim, {**evidence, PLACE: evidence.get(IMPOSTOR, ())})
    return posed if posed.bases == found.bases else None
