"""What runs cannot tell, and how several seeds are put together."""

import dataclasses
import re
from pathlib import Path

import pytest
from tiny import TINY

from miiii_core import claims, runs
from miiii_core.claims import LEDGER, Measure, Verdict, decide, examine, find_claim
from miiii_core.claims.circuit import FORMS, LATEST
from miiii_core.claims.ledger import CannotTell, mostly
from miiii_core.claims.page import Ledger
from miiii_core.storage.saved import Run

SMALLEST = TINY.replace(p=5, n_validation=8)
BARE = TINY.replace(p=11, n_heads=8, n_validation=30, probes=(), n_snapshots=0)
# What these runs cannot tell for want of tasks, probes, snapshots or few heads, and why.
REASONS = {
    SMALLEST: {
        "hyperparameters": r"0 of the 11 neighbours of \S+ are stored",
        "order": r"p = 5 has the tasks 2, 3 only; it takes 2, 3, 5, 7 and others",
        "families": r"at p = 5 there is nothing to compare: .*some pairs must be of one",
    },
    BARE: {
        "hyperparameters": r"0 of the 11 neighbours of \S+ are stored",
        "order": r"p = 11 has the tasks 2, 3, 5, 7 only; .* every p from 13 on",
        "smallest-circuits": r"\S+ has too many heads: .*; 18 parts are the most",
        "masked": "without the probe neuron_spectrum; train it with all probes",
        "spike": "without the probe neuron_spectrum",
        "reuse": "without the probe neuron_spectrum",
        "gradients": "without the probe norms",
        "mechanism": "without the probe residues",
        "nanda-circuit": "no snapshots of its weights on the way; train it with n_snapshots of 2",
        "spike-in-waves": "no snapshots",
        "transient-waves": "no snapshots",
    },
}


@pytest.fixture(scope="module", params=[SMALLEST, BARE], ids=["smallest", "bare"])
def poor(request, tmp_path_factory):
    """Runs that cannot tell everything: their configuration, and all claims put to them."""
    config, root = request.param, tmp_path_factory.mktemp("poor")
    run, addition = (
        runs.train(config.replace(name=name), root / name, progress=False)
        for name in ("miiii", "nanda")
    )
    kinds = {kind: [run] for claim in LEDGER for kind in claim.needs} | {"nanda": [addition]}
    return config, claims.examine_all(kinds)


def test_every_claim_has_a_verdict_whatever_a_run_lacks(poor):
    config, ledger = poor
    assert [finding.claim.key for finding in ledger.findings] == [c.key for c in LEDGER]
    reasons = {f.claim.key for f in ledger.findings if f.reason}
    assert reasons == set(REASONS[config])
    for key, reason in REASONS[config].items():
        found = ledger[key]
        assert found.verdict is Verdict.OPEN and found.values == {}
        assert re.search(reason, found.reason), found.reason


def test_the_reason_is_told_in_text_and_on_the_page(poor):
    _, ledger = poor
    finding = ledger["order"]
    text, page = repr(ledger), ledger._repr_html_()
    assert f"order: {Verdict.OPEN} ({finding.reason})" in text
    assert finding.reason in page and finding.reason in ledger.details()._repr_html_()


def asking(measure, judge=lambda values: decide(mostly(values["so"]))):
    """A claim of one measure."""
    return dataclasses.replace(find_claim("filter"), measures=(measure,), judge=judge)


def seed(value):
    """A run of which only what a measure makes of it counts."""
    return Run(Path("nowhere"), {"value": value}, TINY)


def test_one_run_that_cannot_tell_leaves_a_claim_open():
    def of(run):
        if run.info["value"] is None:
            raise CannotTell("the second is blank")
        return {"so": run.info["value"]}

    claim = asking(Measure(needs=("a",), of=of))
    found = examine(claim, {"a": [seed(1), seed(None)]})
    assert (found.verdict, found.reason) == (Verdict.OPEN, "the second is blank")
    assert found.bases == (7,) and "the second is blank" in repr(Ledger([found], {}))
    assert examine(claim, {"a": [seed(1)]}).reason == ""


def test_one_moment_has_no_course(tiny_run):
    """A packed run of which only the end has travelled says nothing of a peak before it."""
    only_the_end = Run(tiny_run.folder, tiny_run.info, tiny_run.config)
    only_the_end.__dict__["snapshot_epochs"] = (tiny_run.epoch,)
    for key in ("spike-in-waves", "transient-waves"):
        found = examine(find_claim(key), {"miiii": [only_the_end]})
        assert (
            found.verdict is Verdict.OPEN
            and "no snapshots of its weights on the way" in found.reason
        )


def test_a_number_that_some_seeds_lack_is_that_of_the_others():
    measure = Measure(needs=("a",), of=lambda run: {"so": 1} | run.info["value"])
    found = examine(asking(measure), {"a": [seed({}), seed({"late": 4}), seed({"late": 6})]})
    assert found.spread == {"so": (1, 1, 1), "late": (4, 6)} and found.values["late"] == 5


@pytest.mark.parametrize(
    "seeds, verdict",
    [
        ((True, False), Verdict.NOT),
        ((True, False, True), Verdict.REPRODUCED),
        ((True, False, True, False), Verdict.NOT),
        ((True,), Verdict.REPRODUCED),
    ],
)
def test_what_holds_in_half_of_the_seeds_does_not_hold(seeds, verdict):
    claim = asking(Measure(needs=("a",), of=lambda run: {"so": run.info["value"]}))
    assert examine(claim, {"a": [seed(value) for value in seeds]}).verdict is verdict


def test_the_end_of_a_phase_and_nothing_else_has_a_latest_epoch(tiny_addition):
    values = examine(find_claim("nanda-circuit"), {"nanda": [tiny_addition]}).values
    late = [name.removesuffix(LATEST) for name in values if name.endswith(LATEST)]
    assert len(late) == 3 and all(name.endswith("ends (epoch)") for name in late)
    assert set(values) >= {FORMS, *late}


def test_a_measure_may_be_about_another_base_than_its_runs(tiny_run):
    claim = find_claim("own-subspace")
    counts = {"tasks solved": 1, "broken": 1, "of these, not by random sets": 1, "others spared": 1}
    for told, where in (({}, "p = 7"), ({"p": 41}, "p = 41")):
        measure = Measure(needs=("miiii",), of=lambda _, told=told: counts | told)
        found = examine(dataclasses.replace(claim, measures=(measure,)), {"miiii": [tiny_run]})
        assert found.where == where


def test_a_claim_that_nothing_can_measure_says_so():
    nothing = dataclasses.replace(find_claim("filter"), measures=())
    assert "no run can tell" in repr(Ledger([examine(nothing, {})], {}))


def test_a_verdict_of_runs_that_did_not_come_so_far_gives_a_reason(tiny_run):
    claim = asking(
        Measure(needs=("a",), of=lambda _: {"so": 1}), judge=lambda _: decide(True, given=False)
    )
    found = examine(claim, {"a": [tiny_run]})
    text = repr(Ledger([found], {}))
    assert "(the runs at p = 7 did not come to where this claim begins)" in text


def test_a_line_of_the_ledger_says_how_many_seeds_agree():
    claim = asking(Measure(needs=("a",), of=lambda run: {"so": run.info["value"]}))
    split = examine(claim, {"a": [seed(value) for value in (True, False, True)]})
    assert split.disagreement == "2 of 3 seeds alone"
    assert split.disagreement in Ledger([split], {})._repr_html_()
    same = examine(claim, {"a": [seed(True), seed(True)]})
    assert same.disagreement == "" and same.alone == (Verdict.REPRODUCED,) * 2
