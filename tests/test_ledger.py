"""The ledger: which runs count, how seeds are put together, and how findings are shown."""

import dataclasses
import json
from math import inf, nan
from pathlib import Path

import numpy as np
import pytest
from tiny import TINY

from miiii_book import ledger, numbers, results
from miiii_book.claims import MEASURES, find_claim
from miiii_book.claims.claim import CannotTell, Measure, Verdict, beside, each
from miiii_book.ledger import Finding, Ledger, examine_all, ours, remarks
from miiii_book.numbers import RUNS, SHUFFLED, UNTRAINED, Row
from miiii_core import runs
from miiii_core.losses import NEVER
from miiii_core.presets import preset
from miiii_core.runs import Run, RunError
from miiii_core.stored import Metrics
from miiii_core.tasks import primes_below

YES, NO, OPEN = Verdict


def runs_of(*values, **changes):
    """Runs, seed by seed, of which only what a measure makes of them counts."""
    return [
        Run(Path("nowhere"), {"value": value}, TINY.replace(seed=seed, **changes))
        for seed, value in enumerate(values)
    ]


@pytest.fixture
def asking(monkeypatch):
    """Puts one claim, made up of measures and a criterion, to runs."""

    def asked(measures, holds, evidence, stored=(), given="", **texts):
        claim = dataclasses.replace(
            find_claim("all-perfect"), key="x", measure="x", holds=holds, given=given, number="x",
            **texts,
        )  # fmt: skip
        monkeypatch.setitem(MEASURES, "x", measures)
        monkeypatch.setattr(ledger, "find_claim", lambda _: claim)
        return examine_all(evidence, ["x"], stored)["x"]

    return asked


def so(run):
    return {"x": run.info["value"]}


def gap(a, b):
    return {"gap": b.info["value"] - a.info["value"]}


class TestSeeds:
    def test_each_seed_is_judged_by_itself(self, asking):
        found = asking(beside(so, "a"), "x > 0.5", {"a": runs_of(1, 0, 1, 1)})
        assert found.verdict is YES and found.told == {0: True, 1: False, 2: True, 3: True}
        assert "holds in 3 of 4 seeds" in remarks(found)

    def test_runs_of_one_seed_are_pairs(self, asking):
        (first, second), other, pair = runs_of(1, 2), runs_of(10, 20, 30), beside(gap, "a", "b")
        found = asking(pair, "gap > 0", {"a": [second, first], "b": other})
        assert found.spread == {"gap": (9, 18)}
        # Without a seed in common the first of each are a pair, and only they.
        alone = asking(pair, "gap > 0", {"a": [second], "b": [other[0], other[2]]})
        assert alone.spread == {"gap": (8,)}

    def test_kinds_that_are_no_pairs_have_seeds_of_their_own(self, asking):
        kinds = {"nanda": runs_of(0, 9), "miiii": runs_of(5, 6, 7)}
        found = asking(each(so, "nanda", "miiii"), "x, T_miiii > x, T_nanda", kinds)
        assert [*found.by_seed] == [0, 1, 2]
        assert found.spread == {"x, T_nanda": (0, 9, 0), "x, T_miiii": (5, 6, 7)}
        # Of a claim on one kind only the seeds of that kind count.
        assert set(asking(each(so, "nanda", "miiii"), "x, T_nanda > 1", kinds).told) == {0, 1}

    def test_runs_that_are_compared_are_measured_at_once(self, asking):
        measure = (Measure(("a",), lambda *runs: {"x": len(runs)}, together=True),)
        found = asking(measure, "x > 0", {"a": [*runs_of(1, 2), *runs_of(3, p=5, n_validation=8)]})
        assert found.by_seed == {0: {"x": 3.0}}


class TestBases:
    def test_the_largest_base_counts_that_all_kinds_have(self, asking):
        large, small = runs_of(1, p=11), runs_of(2)
        pair, kinds = beside(gap, "a", "b"), {"a": [*large, *small], "b": runs_of(9)}
        found = asking(pair, "gap > 2", kinds)
        assert found.bases == (7,) and found.spread == {"gap": (7,)}
        both = asking(pair, "gap > 2", kinds | {"b": [*runs_of(5, p=11), *runs_of(9)]})
        assert both.bases == (11,) and both.spread == {"gap": (4,)}

    def test_addition_may_have_another_base_and_has_the_same_if_it_can(self, asking):
        pair, kinds = beside(gap, "a", "nanda"), {"a": runs_of(1, p=11), "nanda": runs_of(9)}
        assert asking(pair, "gap > 2", kinds).bases == (7, 11)
        nearer = asking(pair, "gap > 2", kinds | {"nanda": [*runs_of(5, p=11), *runs_of(9)]})
        assert nearer.bases == (11,) and nearer.spread == {"gap": (4,)}


def test_a_run_that_cannot_tell_leaves_a_claim_undecided(asking):
    def take(run):
        if run.info["value"] is None:
            raise CannotTell("the second is blank")
        return so(run)

    found = asking(beside(take, "a"), "x > 0", {"a": runs_of(1, None)})
    assert (found.verdict, found.reason) == (OPEN, "the second is blank")
    missing = asking(beside(so, "a"), "x > 0", {})
    assert missing.verdict is OPEN and "needs a run of kind a" in missing.reason
    half = asking(each(so, "a", "b"), "x, T_b > 0", {"a": runs_of(1)})
    assert half.verdict is OPEN and half.reason == "needs a run of kind b"
    blind = asking(beside(so, "a"), "x > 0", {"a": runs_of(1)}, given="x > 1")
    assert "asked only where x > 1" in remarks(blind)[-1] and blind.verdict is OPEN


class TestStored:
    def test_what_is_stored_of_a_run_is_not_measured_again(self, asking):
        [run] = runs_of(1)
        row = Row("x", RUNS, 0, {"a": numbers.identity(run)}, {"x": 7.0})
        assert asking(beside(so, "a"), "x > 0", {"a": [run]}, [row]).spread == {"x": (7,)}
        other = row._replace(runs={"a": numbers.identity(run) + "0"})  # of other weights
        assert asking(beside(so, "a"), "x > 0", {"a": [run]}, [other]).spread == {"x": (1,)}

    def test_other_seeds_of_the_same_recipe_count_and_others_do_not(self, asking):
        [run], [seed] = runs_of(1), runs_of(1)[:1]
        seed = dataclasses.replace(seed, config=seed.config.replace(seed=5))
        row = Row("x", RUNS, 5, {"a": numbers.identity(seed)}, {"x": 0.0})
        found = asking(beside(so, "a"), "x > 0", {"a": [run]}, [row])
        assert found.told == {0: True, 5: False} and found.verdict is OPEN
        foreign = dataclasses.replace(seed, config=seed.config.replace(weight_decay=9.0))
        row = row._replace(runs={"a": numbers.identity(foreign)})
        assert set(asking(beside(so, "a"), "x > 0", {"a": [run]}, [row]).told) == {0}

    def test_a_control_that_passes_makes_a_claim_say_little(self, asking):
        [run], [other] = runs_of(1), runs_of(1, weight_decay=9.0)
        kinds = {"miiii": [run], "basis": [other]}
        row = Row("x", SHUFFLED, 0, {"miiii": numbers.identity(other)}, {"x": 1.0})
        passed = asking(beside(so, "miiii"), "x > 0", kinds, [row])
        assert passed.says_little and passed.called == "holds, but says little"
        assert "shuffled labels: holds" in remarks(passed)
        failed = asking(beside(so, "miiii"), "x > 0", kinds, [row._replace(numbers={"x": 0.0})])
        assert failed.controls == {SHUFFLED: NO} and not failed.says_little
        # Beside a run of a kind that has no shuffled labels they are no control.
        mixed = row._replace(runs=row.runs | {"nanda": numbers.identity(run)})
        both = kinds | {"nanda": [run]}
        assert (
            asking(beside(lambda a, b: so(a), "miiii", "nanda"), "x > 0", both, [mixed]).controls
            == {}
        )

    def test_rows_come_back_as_they_were_written(self, tmp_path, monkeypatch):
        rows = [Row("x", RUNS, 1, {"a": "r/1/"}, {"x": 1.5, "epoch": NEVER, "blank": nan})]
        keep(monkeypatch, tmp_path, numbers.FILE, numbers.as_lines(rows))
        [found] = numbers.stored_rows()
        assert found[:4] == rows[0][:4] and found.numbers["epoch"] == NEVER
        assert np.isnan(found.numbers["blank"]) and found.numbers["x"] == 1.5

    def test_an_untrained_run_is_its_first_moment(self, tiny_run):
        blank = numbers.untrained(tiny_run)
        assert blank.metrics["epoch"].tolist() == [0] and blank.snapshot_epochs == ()
        assert np.abs(np.asarray(blank.model.W_U) - np.asarray(tiny_run.model.W_U)).max() > 0
        np.testing.assert_array_equal(blank.task.targets, tiny_run.task.targets)

    def test_the_book_has_numbers_of_every_measure_of_seeds_and_of_controls(self):
        rows = numbers.stored_rows()
        single = {key for key, several in MEASURES.items() if not several[0].together}
        assert {row.measure for row in rows} == single | {"symmetric", "classes", "shared-table"}
        assert {row.seed for row in rows if row.measure == "final"} == {0, 1, 2, 3}
        assert {row.subject for row in rows} == {RUNS, SHUFFLED, UNTRAINED}
        shipped = {numbers.identity(run) for run in runs.shipped_runs()}
        own = [row for row in rows if row.seed == 0]
        assert all(set(row.runs.values()) <= shipped for row in own)

    def test_curves_of_a_run_and_of_its_other_seeds_stand_together(self):
        run = runs.cached("miiii")
        curves = results.curves_of(run)
        assert sorted(curves) == [0, 1, 2, 3]
        for curve in curves.values():
            assert curve.epochs[-1] == run.epoch and curve.reached(0.9) < NEVER
        assert curves[0].reached(2.0) == NEVER
        assert list(results.curves_of(runs.cached("nanda-small"))) == [0]
        assert sorted(results.curves_of(run, grokfast="none")) == [1, 2, 3]
        assert results.curves_of(runs.cached("miiii-fast"), dropout=0.0)[0].reached(0.9) == NEVER
        assert results.curves_of(run, dropout=0.7) == {}


def listed(name="miiii-small", **changes):
    return Run(Path("nowhere"), {"status": "finished"}, preset(name).replace(**changes))


class TestGather:
    def test_finished_runs_count_once_for_each_base_and_seed_the_largest_base_first(self):
        assert "no-dropout" in ledger.gather([listed("no-dropout", p=31)])
        unfinished = Run(Path("nowhere"), {"status": "running"}, preset("miiii-small"))
        several = [listed(), listed("miiii", seed=1), unfinished, listed("miiii"), listed()]
        found = ledger.gather(several)
        places = [(run.task.p, run.config.train.seed) for run in found["miiii"]]
        assert places == [(113, 0), (113, 1), (31, 0)]
        assert len(found["bases"]) == 4

    def test_runs_as_a_preset_says_come_before_others_and_the_longest_before_shorter(self):
        asked = listed(seed=3, precision="bfloat16"), listed(p=37), listed(d_model=64)
        assert ledger.gather(asked)["miiii"] == [asked[0]]
        short, long = listed(p=37, epochs=64, seed=1), listed(p=37, epochs=128)
        assert ledger.gather([short, long])["miiii"] == [long]


def keep(patch, folder, name, text):
    """Let a file be the one that stored results are read from."""
    (folder / "results").mkdir(exist_ok=True)
    (folder / "results" / name).write_text(text)
    patch.setattr(results, "shipped_root", lambda: folder / "runs")


def rows_config(p, **changes):
    return TINY.replace(p=p, n_validation=5, **changes)


def row(p, seed, learned, last, **changes):
    config = rows_config(p, seed=seed, **changes)
    return {"config": json.loads(config.to_json()), "learned": learned, "last": last}


@pytest.fixture
def write(tmp_path, monkeypatch):
    def rows(*found, name="bases.jsonl"):
        text = "".join(json.dumps(one) + "\n" for one in found)
        keep(monkeypatch, tmp_path, name, text)

    return rows


class TestTrainings:
    """What is stored of trainings in other bases."""

    run = Run(Path("nowhere"), {"epoch": 40}, TINY.replace(n_validation=5))
    run.__dict__["metrics"] = Metrics(
        {"epoch": np.array([8]), "accuracy": np.ones((1, 3, 3))},
        {"epoch": ["epoch"], "accuracy": ["epoch", "split", "task"]},
    )

    def test_a_base_is_the_median_of_its_seeds_and_a_run_comes_before_what_is_stored(self, write):
        several = [3, 8, None, 4], [2, 4, None, 9]
        others = [row(11, seed, learned, 48) for seed, learned in enumerate(several, 1)]
        write(row(7, 0, [1, 1, 1], 1), row(11, 0, [1, 2, 3, 4], 16), *others)
        found = results.by_base(results.trainings_of([self.run]))
        assert list(found) == [7, 11]
        assert found[11].last == 48
        np.testing.assert_array_equal(found[11].learned, [2, 4, inf, 4])
        np.testing.assert_array_equal(found[7].learned, [8, 8, 8])

    def test_other_recipes_do_not_count_and_other_records_do(self, write):
        rows = [
            row(11, 0, [1, 2, 3, 4], 16, weight_decay=9.0),
            row(13, 0, [1, 2, 3, 4, 5], 16, epochs=999, probes=(), n_snapshots=0),
        ]
        write(*rows)
        write(*rows, name="renamed.jsonl")
        assert {*results.trainings_of([self.run])} == {(7, 0), (13, 0)}
        assert {*results.renamed_of([self.run])} == {(13, 0)}
        # Of several recipes the one counts that the run of the smallest base has.
        other = Run(Path("nowhere"), {"epoch": 40}, rows_config(11, weight_decay=9.0))
        other.__dict__["metrics"] = self.run.metrics
        assert {*results.renamed_of([other, self.run])} == {(13, 0)}

    @pytest.mark.parametrize("name", ["bases.jsonl", "renamed.jsonl"])
    def test_the_book_has_whole_lines_for_many_bases_of_the_small_recipe(self, name):
        lines = results.read_results(name, dict)
        assert len({line["digest"] for line in lines}) == len(lines) > 0
        for line in lines:
            config = results.config_of(line)
            assert line["digest"] == config.digest
            assert len(line["learned"]) == len(primes_below(config.task.p))
        of = results.trainings_of if name == "bases.jsonl" else results.renamed_of
        assert len({p for p, _ in of([runs.cached("miiii-small")])}) >= 9


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"config": []}'])
@pytest.mark.parametrize(
    ("name", "ask"),
    [
        ("bases.jsonl", lambda: results.trainings_of([TestTrainings.run])),
        ("neighbours.jsonl", lambda: results.stored_neighbours(TINY)),
        (numbers.FILE, numbers.stored_rows),
    ],
)
def test_a_damaged_file_is_refused_by_name(name, ask, content, tmp_path, monkeypatch):
    keep(monkeypatch, tmp_path, name, content)
    with pytest.raises(RunError, match=f"{name} is damaged.*compute it again"):
        ask()


def test_outside_the_book_nothing_is_stored(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MIIII_SHIPPED", raising=False)
    assert numbers.stored_rows() == [] and results.stored_neighbours(TINY) == {}


class TestPage:
    seen = {
        0: {"Pearson, T_nanda": 0.9, "Pearson, T_miiii": -0.5, "cosine, T_miiii": nan},
        1: {"Pearson, T_nanda": 0.9, "Pearson, T_miiii": -0.25, "cosine, T_miiii": inf},
    }
    held = Finding(
        claim=find_claim("positions"), by_seed=seen, bases=(7,), controls={SHUFFLED: YES}
    )
    open = Finding(claim=find_claim("own-neurons"), reason="needs a run of kind miiii")
    page = Ledger([held, open])

    def test_a_terminal_has_a_line_for_each_claim(self):
        lines = repr(self.page).splitlines()
        assert lines[1].split() == [
            "positions", "-0.64", "-0.375", "(-0.5", "to", "-0.25)", "holds,", "but", "says",
            "little",
        ]  # fmt: skip
        assert "own-neurons" in lines[2] and lines[2].endswith(OPEN)
        assert lines[-2] == "own-neurons: needs a run of kind miiii"
        assert lines[-1] == "2 claims: 1 hold, 1 are undecided; of those that hold, 1 say little"

    def test_a_page_has_one_number_a_cell_and_folds_the_rest(self):
        page = self.page._repr_html_()
        assert 'id="claim-positions"' in page and "embeddings.html#fig-positions" in page
        for cell in ("paper", "-0.64"), ("ours", "-0.375 (-0.5 to -0.25)"):
            assert '<td data-label="{}">{}<'.format(*cell) in page
        assert page.count("<details>") == 2 and "needs a run of kind miiii" in page
        assert "fixed 2026-11-24 (ad5fda9)" in page and "shuffled labels: holds" in page
        assert find_claim("own-neurons").criterion in page and "holds in 2 of 2 seeds" in page
        assert ours(self.page["own-neurons"]) == ""

    def test_json_has_all_there_is_and_no_number_that_json_lacks(self):
        first, second = json.loads(json.dumps(self.page.to_json(), allow_nan=False))
        assert first["verdict"] == "holds" and first["says_little"]
        assert first["numbers"]["1"]["cosine, T_miiii"] is None
        assert first["distance"]["0"]["of"] == "Pearson, T_nanda > 0.5"
        assert first["holds_in_seed"] == {"0": True, "1": True}
        told = {"statement", "source", "criterion", "fixed", "changed", "sentence", "controls"}
        assert told <= set(first) & set(second)

    def test_claims_of_ours_stand_apart_and_unknown_ones_are_named(self):
        assert [f.claim.key for f in self.page.part(ours=True).findings] == ["own-neurons"]
        with pytest.raises(KeyError, match="spike"):
            self.page["spike"]


def test_the_whole_ledger_is_read_in_a_moment(command):
    code, said, err = command("claims", "--json")
    assert code == 0, err
    found = json.loads(said)
    assert len(found) == len({one["key"] for one in found}) > 50
    assert all(one["sentence"] and one["fixed"] and one["criterion"] for one in found)
    assert command("claims", "--claim", "spike")[1].splitlines()[1].startswith("spike")
