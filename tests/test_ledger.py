"""What runs cannot tell, and how several seeds are put together."""

import dataclasses
import re
from pathlib import Path

import pytest
from tiny import TINY

from miiii_core import claims, runs
from miiii_core.claims import LEDGER, Measure, Verdict, decide, examine, find_claim
from miiii_core.claims.circuit import FORMS, LATEST
from miiii_core.claims.examining import Told
from miiii_core.claims.ledger import CannotTell, apart, mostly
from miiii_core.claims.page import Ledger, numbers
from miiii_core.storage.saved import Run

SMALLEST = TINY.replace(p=5, n_validation=8)
BARE = TINY.replace(p=11, n_heads=8, n_validation=30, probes=(), n_snapshots=0)
# What these runs cannot tell for want of tasks, probes, snapshots or few heads, and why.
# Of a recipe in which nothing else was trained.
ALONE = {
    "symmetric": "of which no other base is known",
    "classes": "of which no other base is known",
    "larger-base": "of which no larger base than",
    "shared-table": "no trainings with renamed digits",
    "own-tables": "no pair of trainings with and without renamed digits",
}
REASONS = {
    SMALLEST: ALONE
    | {
        "hyperparameters": r"0 of the 11 neighbours of \S+ are stored",
        "order": r"p = 5 has the tasks 2, 3 only; it takes 2, 3, 5, 7 and others",
        "families": r"at p = 5 there is nothing to compare: .*some pairs must be of one",
    },
    BARE: ALONE
    | {
        "hyperparameters": r"0 of the 11 neighbours of \S+ are stored",
        "order": r"p = 11 has the tasks 2, 3, 5, 7 only; .* every p from 13 on",
        "smallest-circuits": r"\S+ has too many heads: .*; 18 parts are the most",
        "masked": "without the probe neuron_spectrum; train it with all probes",
        "spike": "without the probe neuron_spectrum",
        "spike-time": "without the probe neuron_spectrum",
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


def seeds(*values):
    """Runs, seed by seed, of which only what a measure makes of them counts."""
    return [
        Run(Path("nowhere"), {"value": value}, TINY.replace(seed=number))
        for number, value in enumerate(values)
    ]


def test_one_run_that_cannot_tell_leaves_a_claim_open():
    def of(run):
        if run.info["value"] is None:
            raise CannotTell("the second is blank")
        return {"so": run.info["value"]}

    claim = asking(Measure(needs=("a",), of=of))
    found = examine(claim, {"a": seeds(1, None)})
    assert (found.verdict, found.reason) == (Verdict.OPEN, "the second is blank")
    assert found.bases == (7,) and "the second is blank" in repr(Ledger([found], {}))
    assert examine(claim, {"a": seeds(1)}).reason == ""


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
    found = examine(asking(measure), {"a": seeds({}, {"late": 4}, {"late": 6})})
    assert found.spread == {"so": (1, 1, 1), "late": (4, 6)} and found.values["late"] == 5
    # Seeds speak alone unless one lacks what decides.
    assert found.alone == (Verdict.REPRODUCED,) * 3
    by_late = asking(measure, judge=lambda values: decide(values["late"] > 0))
    assert examine(by_late, {"a": seeds({}, {"late": 4})}).alone == ()


@pytest.mark.parametrize(
    "values, verdict",
    [
        ((True, False), Verdict.NOT),
        ((True, False, True), Verdict.REPRODUCED),
        ((True, False, True, False), Verdict.NOT),
        ((True,), Verdict.REPRODUCED),
    ],
)
def test_what_holds_in_half_of_the_seeds_does_not_hold(values, verdict):
    claim = asking(Measure(needs=("a",), of=lambda run: {"so": run.info["value"]}))
    assert examine(claim, {"a": seeds(*values)}).verdict is verdict


def test_the_end_of_a_phase_and_nothing_else_has_a_latest_epoch(tiny_addition):
    values = examine(find_claim("nanda-circuit"), {"nanda": [tiny_addition]}).values
    late = [name.removesuffix(LATEST) for name in values if name.endswith(LATEST)]
    assert len(late) == 3 and all(name.endswith("ends (epoch)") for name in late)
    assert set(values) >= {FORMS, *late}


def test_a_measure_may_be_about_another_base_than_its_runs(tiny_run):
    claim = find_claim("own-subspace")
    counts = {"tasks solved": 1, "broken": 1, "of these, not by random sets": 1, "others spared": 1}
    for stored, where in (((), "p = 7"), ((41,), "p = 41"), (range(9), "9 bases from p = 0 to 8")):
        measure = Measure(needs=("miiii",), of=lambda _: counts, bases=lambda _, p=stored: p)
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
    split = examine(claim, {"a": seeds(True, False, True)})
    assert split.disagreement == "2 of 3 seeds say so by themselves"
    assert split.disagreement in Ledger([split], {})._repr_html_()
    same = examine(claim, {"a": seeds(True, True)})
    assert same.disagreement == "" and same.alone == (Verdict.REPRODUCED,) * 2


class TestSeedsOfEachKind:
    """Numbers of two kinds of run that are not pairs: one kind may have fewer seeds."""

    claim = dataclasses.replace(
        find_claim("positions"),
        measures=apart(lambda run, name: {f"x, {name}": run.info["value"]}, "nanda", "miiii"),
        judge=lambda values: decide(values["x, T_miiii"] > values["x, T_nanda"]),
        published={"x, T_nanda": 3},
        shown=("x, T_miiii",),
    )

    def test_a_run_beside_several_counts_once(self):
        found = examine(self.claim, {"nanda": seeds(4), "miiii": seeds(5, 6, 3)})
        assert found.spread == {"x, T_nanda": (4,), "x, T_miiii": (5, 6, 3)}
        assert found.alone == (Verdict.REPRODUCED, Verdict.REPRODUCED, Verdict.NOT)
        page = Ledger([found], {})._repr_html_()
        assert "nanda</sub>: 3 → 4<" in page
        assert "miiii</sub>: – → 5 (3 to 6)<" in page
        rows = repr(numbers(found)).splitlines()
        assert rows[1].split()[-1] == "1" and rows[2].split()[-1] == "3"

    def test_runs_of_one_seed_stand_together_and_the_first_for_those_that_lack_one(self):
        found = examine(self.claim, {"nanda": seeds(0, 9), "miiii": seeds(5, 6, 7)})
        assert found.by_seed == {
            0: {"x, T_nanda": 0, "x, T_miiii": 5},
            1: {"x, T_nanda": 9, "x, T_miiii": 6},
            2: {"x, T_nanda": 0, "x, T_miiii": 7},
        }
        assert found.values == {"x, T_nanda": 4.5, "x, T_miiii": 6}

    def test_the_same_seed_twice_is_one(self):
        twice = [*seeds(5), *seeds(7)]
        found = examine(self.claim, {"nanda": seeds(4), "miiii": twice})
        assert found.spread["x, T_miiii"] == (5,)

    def test_what_a_stored_seed_was_measured_beside_is_not_counted_again(self):
        told = Told(3, {"miiii", "no-grokfast"}, {"x, T_nanda": 4, "x, T_miiii": 2})
        found = examine(self.claim, {"nanda": seeds(4), "miiii": seeds(5)}, [told])
        assert found.spread == {"x, T_nanda": (4,), "x, T_miiii": (5, 2)}
        assert found.by_seed[3] == {"x, T_nanda": 4, "x, T_miiii": 2}
        same = examine(self.claim, {"nanda": seeds(4), "miiii": seeds(5)}, [told._replace(seed=0)])
        assert same.spread["x, T_miiii"] == (5,)

    def test_pairs_are_of_one_seed(self):
        def gap(a, b):
            return {"gap": b.info["value"] - a.info["value"]}

        pair = dataclasses.replace(
            self.claim, measures=(Measure(needs=("a", "b"), of=gap),),
            judge=lambda values: decide(values["gap"] > 0),
        )  # fmt: skip
        first, second = seeds(1, 2)
        other = seeds(10, 20, 30)
        assert examine(pair, {"a": [second, first], "b": other}).spread == {"gap": (18, 9)}
        # Without a seed in common the first of each are a pair, and only they.
        assert examine(pair, {"a": [second], "b": [other[0], other[2]]}).spread == {"gap": (8,)}


def test_of_the_shipped_runs_each_number_has_the_seeds_of_its_own_kind():
    shipped = [runs.cached("miiii"), runs.cached("nanda"), runs.cached("nanda", seed=1)]
    found = claims.examine_all(claims.gather(shipped), ["positions"], claims.stored_seeds())
    counts = {name: len(many) for name, many in found["positions"].spread.items()}
    assert counts["Pearson, T_nanda"] == 2 and counts["Pearson, T_miiii"] == 4
    assert len(set(found["positions"].spread["Pearson, T_nanda"])) == 2
    pair = found["positions"].by_seed[1]
    alone = claims.examine(find_claim("positions"), {"nanda": shipped[2:], "miiii": shipped[:1]})
    assert pair["Pearson, T_nanda"] == alone.values["Pearson, T_nanda"]
    stored = next(seed for seed in claims.stored_seeds() if seed.seed == 1)
    assert pair["Pearson, T_miiii"] == stored.claims["positions"]["Pearson, T_miiii"]


class TestImpostor:
    """Shuffled labels in the place of T_miiii, on runs of which one number is looked at."""

    claim = dataclasses.replace(
        find_claim("all-tasks"),
        measures=(Measure(needs=("miiii",), of=lambda run: {"tasks": run.info["value"]}),),
        judge=lambda values: decide(values["tasks"] > 5),
        shown=(),
    )

    def ledger(self, claim, **kinds):
        return claims.with_impostor(Ledger([examine(claim, kinds)], kinds))

    def test_it_is_judged_by_the_same_criterion(self):
        for tasks, verdict in ((9, Verdict.REPRODUCED), (2, Verdict.NOT)):
            ledger = self.ledger(self.claim, miiii=seeds(8), basis=seeds(tasks))
            (found,) = ledger.findings
            assert found.verdict is Verdict.REPRODUCED and found.values == {"tasks": 8}
            assert found.impostor.verdict is verdict
            assert found.impostor.values == {"tasks": tasks}

    def test_page_text_and_details_say_what_it_was_told(self):
        passing = self.ledger(self.claim, miiii=seeds(8), basis=seeds(9))
        failing = self.ledger(self.claim, miiii=seeds(8), basis=seeds(2))
        for ledger, said in (
            (passing, "with shuffled labels: also reproduced"),
            (failing, "with shuffled labels: not reproduced"),
        ):
            assert said in repr(ledger.details()) and said in ledger._repr_html_()
            assert said.capitalize() in ledger.details()._repr_html_()
        table = numbers(passing.findings[0])
        assert table.names == ("number", "paper", "ours", "shuffled labels")
        assert repr(table).splitlines()[1].split() == ["tasks", "29", "8", "9"]

    def test_what_was_not_put_to_it_says_nothing(self):
        finding = examine(self.claim, {"miiii": seeds(8)})
        plain = Ledger([finding], {})
        assert (
            "shuffled"
            not in repr(plain.details()) + plain._repr_html_() + plain.details()._repr_html_()
        )

    @pytest.mark.parametrize("other", [{}, {"basis": []}])
    def test_without_its_run_nothing_is_put_to_it(self, other):
        (found,) = self.ledger(self.claim, miiii=seeds(8), **other).findings
        assert found.impostor is None and found.verdict is Verdict.REPRODUCED

    def test_it_has_the_base_of_the_run_whose_place_it_takes(self):
        small = Run(Path("nowhere"), {"value": 9}, TINY.replace(p=5, n_validation=8))
        (found,) = self.ledger(self.claim, miiii=seeds(8), basis=[small]).findings
        assert found.impostor is None
        both = self.ledger(self.claim, miiii=seeds(8), basis=[*seeds(1), small]).findings[0]
        assert both.impostor.values == {"tasks": 1}

    def test_only_a_place_that_there_is_can_be_taken(self):
        for key in ("nanda-circuit", "symmetric", "learning-circuits"):
            assert not claims.can_pose(find_claim(key))
        assert {c.key for c in LEDGER if not c.ours and not claims.can_pose(c)} == {"nanda-circuit"}
        nothing = self.ledger(self.claim, basis=seeds(9)).findings[0]
        assert nothing.missing == ("miiii",) and nothing.impostor is None

    def test_claims_of_ours_are_put_to_it_on_request(self):
        ours = dataclasses.replace(self.claim, key="rule", source="Ours")
        kinds = {"miiii": seeds(8), "basis": seeds(9)}
        ledger = Ledger([examine(ours, kinds)], kinds)
        assert claims.with_impostor(ledger).findings[0].impostor is None
        (found,) = claims.with_impostor(ledger, also=("rule",)).findings
        assert found.impostor.verdict is Verdict.REPRODUCED

    def test_of_the_shipped_runs_it_is_given_what_asks_for_no_rule_and_nothing_that_does(self):
        names = ("miiii-small", "basis-small", "nanda-small", "no-dropout-small")
        keys = ["all-tasks", "order", "dropout", "spike-time", "positions", "gradients"]
        evidence = claims.gather([runs.cached(name) for name in names])
        ledger = claims.with_impostor(claims.examine_all(evidence, keys))
        told = {key: ledger[key].impostor.verdict for key in keys}
        assert {key for key, said in told.items() if said is Verdict.REPRODUCED} == {
            "positions",
            "gradients",
        }
        for key in ("all-tasks", "order", "dropout", "spike-time"):
            assert told[key] in (Verdict.NOT, Verdict.OPEN), key
