"""Seeds whose weights do not travel: what they say, of which runs, and of which not."""

import dataclasses
import json

import numpy as np
import pytest
from tiny import TINY

from benchmarks import seeds as benchmark
from miiii_core import claims, runs
from miiii_core.claims import find_claim, stored_seeds
from miiii_core.milestones import GENERALISED, NEVER
from miiii_core.storage.saved import RunError

ORDER = find_claim("order")


@pytest.fixture(scope="module")
def second(tmp_path_factory):
    """A run of another seed than `tiny_run`."""
    folder = tmp_path_factory.mktemp("seeds") / "second"
    return runs.train(TINY.replace(p=13, seed=1, n_validation=20), folder, progress=False)


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    folder = tmp_path_factory.mktemp("seeds") / "first"
    return runs.train(TINY.replace(p=13, n_validation=20), folder, progress=False)


@pytest.fixture
def stored(second, tmp_path):
    """That run as it is stored, with the numbers of one claim."""
    row = benchmark.row_of(1, {"miiii": second}, {})
    row["claims"] = {key: row["claims"][key] for key in ("order", "all-tasks")}
    path = tmp_path / "seeds.json"
    path.write_text(json.dumps([row]))
    return stored_seeds(path)


def test_numbers_and_curve_come_back_as_they_were(stored, second):
    (seed,) = stored
    assert seed.seed == 1 and seed.runs["miiii"].config == second.config
    accuracy = second.metrics.split("accuracy", "validation")
    np.testing.assert_array_equal(seed.runs["miiii"].curve.epochs, second.metrics["epoch"])
    np.testing.assert_allclose(seed.runs["miiii"].curve.accuracy, accuracy.mean(axis=1), atol=1e-4)
    np.testing.assert_allclose(seed.runs["miiii"].final, accuracy[-1], atol=1e-4)
    alone = claims.examine(ORDER, {"miiii": [second]})
    assert seed.claims["order"] == alone.values and NEVER in seed.claims["order"].values()


def test_a_seed_testifies_like_a_run(stored, first, second):
    keys = ["order", "all-tasks"]
    pooled = claims.examine_all({"miiii": [first]}, keys, stored)
    both = claims.examine_all({"miiii": [first, second]}, keys)
    for key in keys:
        assert pooled[key].spread == both[key].spread
        assert pooled[key].verdict is both[key].verdict
        assert len(pooled[key].alone) == 2


def test_curves_of_a_run_and_its_seeds_stand_together(stored, first, second):
    found = claims.curves_of(first, stored)
    assert set(found) == {0, 1}
    for curve, run in ((found[0], first), (found[1], second)):
        seen = run.metrics.split("accuracy", "validation").mean(axis=1)
        np.testing.assert_allclose(curve.accuracy, seen, atol=1e-4)
        assert curve.reached(2.0) == NEVER and curve.reached(0.0) == 0
    assert set(claims.curves_of(second, ())) == {1}


def test_two_runs_of_one_kind_and_seed_are_refused(second, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["seeds", str(second.folder), str(second.folder)])
    with pytest.raises(SystemExit):
        benchmark.main()
    assert "are both miiii of seed 1" in capsys.readouterr().err


def test_a_seed_that_is_there_is_not_counted_twice(stored, first, second):
    found = claims.examine_all({"miiii": [first, second]}, ["order"], stored)["order"]
    assert len(found.spread["first of the others"]) == 2


def test_a_seed_says_nothing_of_another_recipe(stored, tiny_run):
    (seed,) = stored
    assert not seed.tells(ORDER, {"miiii": [tiny_run]})
    assert not seed.tells(ORDER, {})
    assert not seed.tells(find_claim("gradients"), {"miiii": [tiny_run]})


def test_what_was_measured_beside_another_run_wants_that_run(stored, first):
    (seed,) = stored
    claim = find_claim("embedding-spectra")
    known = dataclasses.replace(seed, claims={claim.key: {}}, beside={"nanda": first.config.digest})
    kinds = {kind: [first] for kind in claim.needs}
    assert known.tells(claim, {"miiii": [first], "nanda": [first]}) is (
        set(claim.needs) <= {"miiii", "nanda"}
    )
    full = dataclasses.replace(known, beside=dict.fromkeys(claim.needs, first.config.digest))
    assert full.tells(claim, kinds)
    other = dataclasses.replace(known, beside=dict.fromkeys(claim.needs, "another"))
    assert not other.tells(claim, kinds)


def test_outside_the_book_nothing_is_stored(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert stored_seeds() == []


@pytest.mark.parametrize("content", ["{", "[{}]", '[{"seed": 1, "runs": []}]', "[1]"])
def test_a_damaged_file_is_refused_by_name(content, tmp_path):
    path = tmp_path / "seeds.json"
    path.write_text(content)
    with pytest.raises(RunError, match="seeds.json is damaged.*compute it again"):
        stored_seeds(path)


def test_the_stored_ones_are_seeds_of_the_shipped_runs():
    found = stored_seeds()
    assert [seed.seed for seed in found] == [1, 2, 3]
    for seed in found:
        for kind, run in seed.runs.items():
            shipped = runs.cached(kind)
            assert run.config.replace(seed=0) == shipped.config.replace(seed=0)
            assert run.curve.epochs[-1] == shipped.config.train.epochs
            assert run.curve.accuracy[-1] == pytest.approx(run.final.mean(), abs=1e-4)
        assert seed.beside == {name: runs.cached(name).config.digest for name in benchmark.SHIPPED}


def test_stored_numbers_of_training_agree_with_the_stored_curves():
    for seed in stored_seeds():
        full, without = seed.runs["miiii"], seed.runs["no-grokfast"]
        told = seed.claims["filter"]
        assert told["mean validation accuracy"] == pytest.approx(full.final.mean(), abs=1e-4)
        assert told["the same without filter"] == pytest.approx(without.final.mean(), abs=1e-4)
        assert told["tasks generalised"] == (full.final >= GENERALISED).sum()


def test_the_command_measures_runs_seed_by_seed(second, tmp_path, monkeypatch):
    out = tmp_path / "out.json"
    monkeypatch.setattr("sys.argv", ["seeds", str(second.folder), "--out", str(out)])
    monkeypatch.setattr(benchmark, "SHIPPED", ())
    monkeypatch.setattr(benchmark.claims, "LEDGER", (ORDER,))
    benchmark.main()
    (seed,) = stored_seeds(out)
    assert set(seed.claims) == {"order"} and set(seed.runs) == {"miiii"}
