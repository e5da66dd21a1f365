"""The ledger: which runs count, how seeds are put together, and how findings are shown."""

import dataclasses
import json
from math import inf, nan
from pathlib import Path

import numpy as np
import pytest
from tiny import TINY

from miiii_book import ledger, results, seeds
from miiii_book.claims import find_claim
from miiii_book.claims.claim import CannotTell, Finding, Measure, Row, Verdict, decide, measures_of
from miiii_book.ledger import Ledger, examine, numbers, remarks
from miiii_core import runs
from miiii_core.losses import NEVER
from miiii_core.presets import preset
from miiii_core.runs import Run, RunError
from miiii_core.tasks import primes_below

YES, PARTLY, NO, OPEN = Verdict


def runs_of(*values, **changes):
    """Runs, seed by seed, of which only what a measure makes of them counts."""
    return [
        Run(Path("nowhere"), {"value": value}, TINY.replace(seed=seed, **changes))
        for seed, value in enumerate(values)
    ]


def asking(take, *kinds, judge=lambda v: decide(v["so"] > 0.5), together=False):
    """A claim of one measure."""
    measures = (Measure(kinds or ("a",), take, together),)
    return dataclasses.replace(find_claim("filter"), measures=measures, judge=judge)


def so(run):
    return {"so": run.info["value"]}


def gap(a, b):
    return {"gap": b.info["value"] - a.info["value"]}


class TestSeeds:
    @pytest.mark.parametrize(
        ("values", "verdict"),
        [((1, 0), NO), ((1, 0, 1), YES), ((1, 0, 1, 0), NO), ((1,), YES)],
    )
    def test_what_holds_in_half_of_the_seeds_does_not_hold(self, values, verdict):
        found = examine(asking(so), {"a": runs_of(*values)})
        assert found.verdict is verdict
        assert found.alone == tuple(YES if value else NO for value in values)

    def test_runs_of_one_seed_are_pairs(self):
        claim = asking(gap, "a", "b", judge=lambda v: decide(v["gap"] > 0))
        first, second = runs_of(1, 2)
        other = runs_of(10, 20, 30)
        assert examine(claim, {"a": [second, first], "b": other}).spread == {"gap": (18, 9)}
        # Without a seed in common the first of each are a pair, and only they.
        assert examine(claim, {"a": [second], "b": [other[0], other[2]]}).spread == {"gap": (8,)}

    def test_kinds_that_are_no_pairs_have_seeds_of_their_own(self):
        def take(run, name):
            return {f"x, {name}": run.info["value"]}

        claim = dataclasses.replace(
            find_claim("positions"),
            measures=measures_of(
                lambda run, name: {f"x, {name}": run.info["value"]}, ["nanda", "miiii"], "each"
            ),
            judge=lambda v: decide(v["x, T_miiii"] > v["x, T_nanda"]),
        )
        found = examine(claim, {"nanda": runs_of(0, 9), "miiii": runs_of(5, 6, 7)})
        assert found.spread == {"x, T_nanda": (0, 9), "x, T_miiii": (5, 6, 7)}
        assert found.values == {"x, T_nanda": 4.5, "x, T_miiii": 6}
        assert found.by_seed == {
            0: {"x, T_nanda": 0, "x, T_miiii": 5},
            1: {"x, T_nanda": 9, "x, T_miiii": 6},
            2: {"x, T_nanda": 0, "x, T_miiii": 7},
        }
        assert found.alone == (YES, NO, YES)
        assert "2 of 3 seeds say so by themselves" in remarks(found)

    def test_runs_that_are_compared_are_measured_at_once(self):
        claim = asking(lambda *runs: {"so": len(runs)}, together=True)
        found = examine(claim, {"a": [*runs_of(1, 2), *runs_of(3, p=5, n_validation=8)]})
        assert found.rows == (Row(("a",), 0, {"so": 3.0}),) and found.bases == ()


class TestBases:
    claim = asking(gap, "a", "b", judge=lambda v: decide(v["gap"] > 2))

    def test_the_largest_base_counts_that_all_kinds_have(self):
        large, small = runs_of(1, p=11), runs_of(2)
        found = examine(self.claim, {"a": [*large, *small], "b": runs_of(9)})
        assert found.bases == (7,) and found.values == {"gap": 7}
        both = examine(self.claim, {"a": [*large, *small], "b": [*runs_of(5, p=11), *runs_of(9)]})
        assert both.bases == (11,) and both.values == {"gap": 4}

    def test_addition_may_have_another_base_and_has_the_same_if_it_can(self):
        claim = asking(gap, "a", "nanda", judge=lambda v: decide(v["gap"] > 2))
        kinds = {"a": runs_of(1, p=11), "nanda": runs_of(9)}
        assert examine(claim, kinds).bases == (7, 11)
        nearer = examine(claim, kinds | {"nanda": [*runs_of(5, p=11), *runs_of(9)]})
        assert nearer.bases == (11,) and nearer.values == {"gap": 4}


def test_a_run_that_cannot_tell_leaves_a_claim_open():
    def take(run):
        if run.info["value"] is None:
            raise CannotTell("the second is blank")
        return so(run)

    found = examine(asking(take), {"a": runs_of(1, None)})
    assert (found.verdict, found.reason, found.bases) == (OPEN, "the second is blank", (7,))
    missing = examine(asking(so), {})
    assert missing.verdict is OPEN and "needs a run of kind a" in missing.reason


def test_runs_that_did_not_come_so_far_leave_a_claim_open():
    claim = asking(so, judge=lambda _: decide(True, given=False))
    found = examine(claim, {"a": runs_of(1)})
    assert found.verdict is OPEN and "did not come to where" in remarks(found)


def listed(name="miiii-small", **changes):
    return Run(Path("nowhere"), {"status": "finished"}, preset(name).replace(**changes))


class TestGather:
    def test_a_run_is_of_the_kind_of_its_nearest_preset_whatever_its_size(self):
        assert seeds.kind_of(listed()) == "miiii"
        assert seeds.kind_of(listed("no-dropout", p=31)) == "no-dropout"

    def test_runs_count_once_for_each_base_and_seed_the_largest_base_first(self):
        found = ledger.gather([listed(), listed("miiii", seed=1), listed("miiii"), listed()])
        places = [(run.task.p, run.config.train.seed) for run in found["miiii"]]
        assert places == [(113, 0), (113, 1), (31, 0)]
        assert len(found["bases"]) == 4

    def test_runs_as_a_preset_says_come_before_others_and_the_longest_before_shorter(self):
        asked = listed(seed=3, precision="bfloat16"), listed(p=37), listed(d_model=64)
        assert ledger.gather(asked)["miiii"] == [asked[0]]
        short, long = listed(p=37, epochs=64, seed=1), listed(p=37, epochs=128)
        assert ledger.gather([short, long])["miiii"] == [long]

    def test_an_unfinished_run_does_not_count(self):
        assert ledger.gather([Run(Path("nowhere"), {"status": "running"}, TINY)]) == {}


class TestControl:
    claim = dataclasses.replace(
        find_claim("all-tasks"),
        measures=(Measure(("miiii",), lambda run: {"tasks": run.info["value"]}),),
        judge=lambda v: decide(v["tasks"] > 5),
        headline="tasks",
        shown=(),
    )

    def judged(self, also=(), claim=claim, **kinds):
        (found,) = ledger.shuffled_label_control(
            Ledger([examine(claim, kinds)], kinds), also
        ).findings
        return found

    @pytest.mark.parametrize(("tasks", "verdict"), [(9, YES), (2, NO)])
    def test_it_is_judged_by_the_same_criterion(self, tasks, verdict):
        found = self.judged(miiii=runs_of(8), basis=runs_of(tasks))
        assert found.verdict is YES and found.values == {"tasks": 8}
        assert found.control.verdict is verdict and found.control.values == {"tasks": tasks}
        said = f"with shuffled labels: {'also ' if verdict is YES else ''}{verdict}"
        page = Ledger([found], {})
        assert said in page.verbose() and said in page._repr_html_()
        assert numbers(found) == [
            ["number", "paper", "ours", "shuffled labels"],
            ["tasks", "29", "8", str(tasks)],
        ]

    def test_it_has_the_base_of_the_run_whose_place_it_takes(self):
        small = runs_of(9, p=5, n_validation=8)
        assert self.judged(miiii=runs_of(8), basis=small).control is None
        assert self.judged(miiii=runs_of(8), basis=[*runs_of(1), *small]).control.values == {
            "tasks": 1
        }

    def test_shuffled_labels_get_what_asks_for_no_rule_and_nothing_that_does(self):
        names = ("miiii-small", "basis-small", "nanda-small", "no-dropout-small")
        keys = ["all-tasks", "order", "dropout", "spike-time", "positions", "gradients"]
        asked = ledger.examine_all(ledger.gather(map(runs.cached, names)), keys)
        judged = ledger.shuffled_label_control(asked)
        passed = {key for key in keys if judged[key].control.verdict is YES}
        assert passed == {"positions", "gradients"}


def keep(patch, folder, name, text):
    """Let a file be the one that stored results are read from."""
    (folder / "results").mkdir(exist_ok=True)
    (folder / "results" / name).write_text(text)
    patch.setattr(results, "shipped_root", lambda: folder / "runs")


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Two runs that differ in the seed alone."""
    root = tmp_path_factory.mktemp("seeds")
    config = TINY.replace(p=13, n_validation=20)
    return [
        runs.train(config.replace(seed=seed), root / str(seed), progress=False) for seed in (0, 1)
    ]


@pytest.fixture(scope="module")
def stored(pair, tmp_path_factory):
    """The second of them as it is stored, with the numbers of two claims."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seeds, "BESIDE", ())
        patch.setattr(seeds, "LEDGER", [find_claim(key) for key in ("order", "all-tasks")])
        row = seeds.row_of(1, {"miiii": pair[1]})
        keep(patch, tmp_path_factory.mktemp("stored"), seeds.FILE, json.dumps([row]))
        return seeds.stored_seeds()


class TestStoredSeeds:
    def test_numbers_and_curve_come_back_as_they_were(self, stored, pair):
        (seed,) = stored
        assert seed.seed == 1 and seed.runs["miiii"][0] == pair[1].config
        alone = examine(find_claim("order"), {"miiii": pair[1:]})
        assert seed.claims["order"] == alone.values and NEVER in seed.claims["order"].values()

    def test_a_seed_counts_like_a_run(self, stored, pair):
        keys = ["order", "all-tasks"]
        pooled = ledger.examine_all({"miiii": pair[:1]}, keys, stored)
        both = ledger.examine_all({"miiii": pair}, keys)
        twice = ledger.examine_all({"miiii": pair}, keys, stored)
        for key in keys:
            assert pooled[key].spread == both[key].spread == twice[key].spread
            assert len(pooled[key].alone) == 2

    def test_curves_of_a_run_and_its_seeds_stand_together(self, stored, pair):
        curves = seeds.curves_of(pair[0], stored)
        for seed, run in enumerate(pair):
            seen = run.metrics.split("accuracy", "validation").mean(axis=1)
            np.testing.assert_allclose(curves[seed].accuracy, seen, atol=1e-4)
        assert curves[0].reached(2.0) == NEVER and curves[0].reached(0.0) == 0

    def test_what_was_measured_beside_a_run_wants_that_run(self, stored, pair):
        kinds = {kind: pair[:1] for kind in ("miiii", "nanda")}
        beside = {"nanda": pair[0].config.digest}
        known = stored[0]._replace(claims={"positions": {}}, beside=beside)
        assert known.speaks_of(find_claim("positions"), kinds)
        other = known._replace(beside={"nanda": "another"})
        assert not other.speaks_of(find_claim("positions"), kinds)

    def test_numbers_that_are_not_its_own_are_not_counted_again(self, stored, pair):
        told = stored[0]._replace(
            claims={"positions": {"Pearson, T_nanda": 4.0, "Pearson, T_miiii": 2.0}},
            beside={"nanda": pair[0].config.digest},
        )
        kinds = {kind: pair[:1] for kind in ("miiii", "nanda")}
        spread = examine(find_claim("positions"), kinds, [told]).spread
        assert len(spread["Pearson, T_nanda"]) == 1 and spread["Pearson, T_miiii"][1] == 2

    def test_those_of_the_book_are_seeds_of_its_runs(self):
        found = seeds.stored_seeds()
        assert [seed.seed for seed in found] == [1, 2, 3]
        for seed in found:
            for kind, (config, curve) in seed.runs.items():
                shipped = runs.cached(kind)
                assert config.replace(seed=0) == shipped.config.replace(seed=0)
                assert curve.epochs[-1] == shipped.config.train.epochs
            assert seed.beside == {kind: runs.cached(kind).config.digest for kind in seeds.BESIDE}
            mean = seed.runs["miiii"][1].accuracy[-1]
            assert seed.claims["filter"]["mean validation accuracy"] == pytest.approx(
                mean, abs=1e-4
            )


def rows_config(p, **changes):
    return TINY.replace(p=p, n_validation=5, **changes)


def row(p, seed, learned, last, **changes):
    config = rows_config(p, seed=seed, **changes)
    return {"config": json.loads(config.to_json()), "learned": learned, "last": last}


@pytest.fixture
def write(tmp_path, monkeypatch):
    def rows(*found, name=results.BASES):
        text = "".join(json.dumps(one) + "\n" for one in found)
        keep(monkeypatch, tmp_path, name, text)

    return rows


class TestTrainings:
    """What is stored of trainings in other bases."""

    run = Run(Path("nowhere"), {"epoch": 40}, TINY.replace(n_validation=5))
    run.__dict__["metrics"] = runs.Metrics(
        {"epoch": np.array([8]), "accuracy": np.ones((1, 3, 3))},
        {"epoch": ["epoch"], "accuracy": ["epoch", "split", "task"]},
    )

    def test_a_base_is_the_median_of_its_seeds_and_a_run_comes_before_what_is_stored(self, write):
        write(
            row(7, 0, [1, 1, 1], 1),
            row(11, 0, [1, 2, 3, 4], 16),
            row(11, 1, [3, 8, None, 4], 48),
            row(11, 2, [2, 4, None, 9], 32),
        )
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
        write(*rows, name=results.RENAMED)
        assert {*results.trainings_of([self.run])} == {(7, 0), (13, 0)}
        assert {*results.renamed_of([self.run])} == {(13, 0)}
        # Of several recipes the one counts that the run of the smallest base has.
        other = Run(Path("nowhere"), {"epoch": 40}, rows_config(11, weight_decay=9.0))
        other.__dict__["metrics"] = self.run.metrics
        assert {*results.renamed_of([other, self.run])} == {(13, 0)}

    def test_a_row_of_other_tasks_is_refused(self, write):
        write(row(11, 0, [1, 2, 3], 16))
        with pytest.raises(RunError, match="3 tasks at p = 11"):
            results.trainings_of([self.run])

    @pytest.mark.parametrize("name", [results.BASES, results.RENAMED])
    def test_the_book_has_whole_lines_for_many_bases_of_the_small_recipe(self, name):
        lines = results.read_results(name, dict)
        assert len({line["digest"] for line in lines}) == len(lines) > 0
        for line in lines:
            config = results.config_of(line)
            assert line["digest"] == config.digest
            assert len(line["learned"]) == len(primes_below(config.task.p))
        of = results.trainings_of if name == results.BASES else results.renamed_of
        assert len({p for p, _ in of([runs.cached("miiii-small")])}) >= 9


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"config": []}'])
@pytest.mark.parametrize(
    ("name", "ask"),
    [
        (results.BASES, lambda: results.trainings_of([TestTrainings.run])),
        (results.NEIGHBOURS, lambda: results.stored_neighbours(TINY)),
        (seeds.FILE, seeds.stored_seeds),
    ],
)
def test_a_damaged_file_is_refused_by_name(name, ask, content, tmp_path, monkeypatch):
    keep(monkeypatch, tmp_path, name, f"[{content}]" if name == seeds.FILE else content)
    with pytest.raises(RunError, match=f"{name} is damaged.*compute it again"):
        ask()


def test_outside_the_book_nothing_is_stored(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MIIII_SHIPPED", raising=False)
    assert seeds.stored_seeds() == [] and results.stored_neighbours(TINY) == {}


class TestPage:
    page = Ledger(
        [
            Finding(
                claim=find_claim("positions"),
                rows=(
                    Row(("nanda",), 0, {"Pearson, T_nanda": 0.9, "cosine, T_nanda": nan}),
                    Row(("miiii",), 0, {"Pearson, T_miiii": -0.5, "cosine, T_miiii": inf}),
                    Row(("miiii",), 1, {"Pearson, T_miiii": -0.25, "cosine, T_miiii": 1234.0}),
                ),
                bases=(7,),
            ),
            Finding(claim=find_claim("own-neurons"), reason="needs a run of kind miiii"),
        ],
        {"miiii": runs_of(0)},
    )

    def test_a_terminal_has_a_line_for_each_claim(self):
        lines = repr(self.page).splitlines()
        assert lines[1].split("  ")[0] == "positions"
        assert lines[1].split()[-4:] == ["T_miiii", "-0.64", "-0.375", "reproduced"]
        assert "own-neurons" in lines[2] and lines[2].endswith(OPEN)
        assert lines[-1] == f"2 claims: 1 {YES}, 1 {OPEN}"
        assert max(map(len, lines)) <= 100

    def test_all_of_it_has_criteria_and_numbers_by_seed(self):
        self.page.evidence["miiii"][0].info["epoch"] = 40
        text = self.page.verbose()
        assert "positions: reproduced (p = 7)" in text
        assert find_claim("own-neurons").criterion in text and "(needs a run of kind miiii)" in text
        assert "nowhere: p = 7, 40 epochs, seed 0" in text
        assert "never" in text  # an epoch that did not come

    def test_a_page_compares_with_the_paper_links_and_folds(self):
        page = self.page._repr_html_()
        assert 'id="claim-positions"' in page and "embeddings.html#fig-positions" in page
        assert "<i>T</i><sub>miiii</sub>: -0.64 → -0.375 (-0.5 to -0.25)" in page
        assert page.count("<details>") == 2 and "needs a run of kind miiii" in page

    def test_claims_of_ours_stand_apart_and_unknown_ones_are_named(self):
        assert [f.claim.key for f in self.page.part(ours=True).findings] == ["own-neurons"]
        with pytest.raises(KeyError, match="spike"):
            self.page["spike"]
