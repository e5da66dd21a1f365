"""Trainings in other bases: what is stored of them, and which count beside runs."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from tiny import TINY

from benchmarks import bases as benchmark
from miiii_core import claims, runs
from miiii_core.claims.bases import Training, by_base, renamed_of, trainings_of
from miiii_core.claims.larger_base import larger_base
from miiii_core.claims.learning import generalised_at
from miiii_core.claims.ledger import CannotTell
from miiii_core.config import Config
from miiii_core.milestones import NEVER
from miiii_core.presets import preset
from miiii_core.storage.results import find_results, read_lines
from miiii_core.storage.saved import Run, RunError, save_info
from miiii_core.tasks import primes_below
from miiii_core.training.train import task_of

SMALL = TINY.replace(p=11, n_validation=20, epochs=96, eval_every=16)


def row(p, seed, learned, last, **changes):
    config = TINY.replace(p=p, seed=seed, **changes)
    return {"config": json.loads(config.to_json()), "learned": learned, "last": last}


@pytest.fixture
def stored(tmp_path):
    """Writes rows into a file."""

    def write(*rows):
        path = tmp_path / "bases.jsonl"
        path.write_text("".join(json.dumps(one) + "\n" for one in rows))
        return path

    return write


def test_a_training_says_when_its_run_would_have_learned_each_task(tmp_path):
    run = runs.train(SMALL, tmp_path / "run", progress=False)
    row = benchmark.train(SMALL)
    learned = [NEVER if epoch is None else epoch for epoch in row["learned"]]
    np.testing.assert_array_equal(learned, generalised_at(run))
    assert row["last"] == 96 or None not in row["learned"]


def test_a_run_says_what_its_training_would_have_said(tmp_path, monkeypatch):
    run = runs.train(SMALL, tmp_path / "run", progress=False)
    path = tmp_path / "lines.jsonl"
    monkeypatch.setattr("sys.argv", ["bases", "--run", str(run.folder), "--out", str(path)])
    benchmark.main()
    (line,) = read_lines(path)
    trained = benchmark.train(SMALL)
    same = ("config", "learned", "device", "code_revision")
    assert {name: line[name] for name in same} == {name: trained[name] for name in same}
    assert line["last"] == 96 and line["digest"] == SMALL.digest
    (one,) = trainings_of([run], path)
    np.testing.assert_array_equal(one.learned, generalised_at(run))


@pytest.fixture
def folders(tiny_run, tiny_addition, tmp_path):
    """Runs that are not to be kept, by what is wrong with them."""
    unfinished = shutil.copytree(tiny_run.folder, tmp_path / "unfinished")
    save_info(unfinished, tiny_run.info | {"status": "interrupted"})
    return {"nowhere": tmp_path / "nowhere", "unfinished": unfinished, "sums": tiny_addition.folder,
            "good": tiny_run.folder}  # fmt: skip


@pytest.mark.parametrize(
    ("which", "typed", "said"),
    [
        ("nowhere", [], "nowhere"),
        ("unfinished", [], "not a finished run of T_miiii"),
        ("sums", [], "not a finished run of T_miiii"),
        ("good", ["--renamed"], "keeps a run as it is"),
        ("good", ["--p", "7"], "keeps a run as it is"),
    ],
)
def test_only_finished_runs_as_they_are_are_kept(
    which, typed, said, folders, tmp_path, monkeypatch, capsys
):
    path = tmp_path / "lines.jsonl"
    asked = ["bases", "--out", str(path), "--run", str(folders[which]), *typed]
    monkeypatch.setattr("sys.argv", asked)
    with pytest.raises(SystemExit):
        benchmark.main()
    assert said in capsys.readouterr().err and not path.exists()


def test_a_training_ends_when_all_tasks_are_learned(monkeypatch):
    monkeypatch.setattr(benchmark, "GENERALISED", 0.0)
    row = benchmark.train(SMALL)
    assert row["last"] == 0 and row["learned"] == [0, 0, 0, 0]


def test_renaming_moves_the_tokens_of_one_digit_and_nothing_else():
    task = task_of(SMALL)
    other = benchmark.renamed_task(task, seed=3)
    np.testing.assert_array_equal(other.digits[:, 0], task.digits[:, 0])
    np.testing.assert_array_equal(other.targets, task.targets)
    np.testing.assert_array_equal(other.train, task.train)
    pairs = set(map(tuple, np.stack([task.digits[:, 1], other.digits[:, 1]], axis=1).tolist()))
    assert len(pairs) == len({new for _, new in pairs}) == 11 and pairs != {
        (x, x) for x in range(11)
    }
    assert (task.digits[:, 1] == np.arange(121) // 11).all()  # the given one stays as it is


def test_what_is_renamed_is_stored_apart(tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark, "RESULTS", tmp_path)
    monkeypatch.setattr(benchmark, "SMALL", (7,))
    seen = []
    monkeypatch.setattr(benchmark, "train", lambda _, renamed: seen.append(renamed) or {})
    for asked in (["--renamed"], ["--p", "7"]):
        monkeypatch.setattr("sys.argv", ["bases", *asked])
        benchmark.main()
    assert seen == [True, False]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bases.jsonl", "renamed.jsonl"]


def test_what_is_stored_is_not_trained_again(tmp_path, monkeypatch):
    path, asked = tmp_path / "bases.jsonl", []
    monkeypatch.setattr(benchmark, "train", lambda one, **_: asked.append(one.task.p) or {})
    for bases in (["--p", "7"], ["--p", "7", "--p", "11"]):
        monkeypatch.setattr("sys.argv", ["bases", "--out", str(path), *bases])
        benchmark.main()
    assert asked == [7, 11]
    assert len({row["digest"] for row in read_lines(path)}) == 2


def test_a_base_is_the_median_of_its_seeds(stored, tiny_run):
    path = stored(
        row(11, 0, [1, 2, 3, 4], 16),
        row(11, 1, [3, 8, None, 4], 48),
        row(11, 2, [2, 4, None, 9], 32),
    )
    found = by_base(trainings_of([tiny_run], path))
    assert list(found) == [7, 11]
    assert found[11].seeds == 3 and found[11].last == 48
    np.testing.assert_array_equal(found[11].learned, [2, 4, np.inf, 4])
    np.testing.assert_array_equal(found[7].learned, generalised_at(tiny_run))


def test_a_run_takes_the_place_of_what_is_stored_of_its_base_and_seed(stored, tiny_run):
    path = stored(row(7, 0, [1, 1, 1], 1), row(7, 1, [1, 1, 1], 1))
    found = by_base(trainings_of([tiny_run], path))
    assert found[7].seeds == 2 and found[7].last == tiny_run.epoch


def test_other_recipes_do_not_count_and_other_records_do(stored, tiny_run):
    path = stored(
        row(11, 0, [1, 2, 3, 4], 16, weight_decay=9.0),
        row(13, 0, [1, 2, 3, 4, 5], 16, epochs=999, probes=(), n_snapshots=0),
    )
    assert [one.p for one in trainings_of([tiny_run], path)] == [7, 13]


def test_the_recipe_with_most_bases_is_taken(stored, tiny_run, tmp_path):
    other = runs.train(TINY.replace(p=5, weight_decay=9.0), tmp_path / "other", progress=False)
    path = stored(row(11, 0, [1, 2, 3, 4], 16), row(13, 0, [1, 2, 3, 4, 5], 16))
    assert [one.p for one in trainings_of([other, tiny_run], path)] == [7, 11, 13]
    assert trainings_of([], path) == []


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"config": {}}'])
def test_a_damaged_file_is_refused_by_name(content, tmp_path, tiny_run):
    path = tmp_path / "bases.jsonl"
    path.write_text(content)
    with pytest.raises(RunError, match="bases.jsonl is damaged.*compute it again"):
        trainings_of([tiny_run], path)


def test_a_row_of_other_tasks_is_refused(stored, tiny_run):
    with pytest.raises(RunError, match="3 tasks at p = 11"):
        trainings_of([tiny_run], stored(row(11, 0, [1, 2, 3], 16)))


def test_what_is_renamed_is_read_by_recipe(stored, tiny_run):
    path = stored(row(11, 0, [1, 2, 3, 4], 16), row(7, 0, [1, 2, 3], 16, weight_decay=9.0))
    assert [(one.p, one.seed) for one in renamed_of([tiny_run], path)] == [(11, 0)]
    assert renamed_of([], path) == []


def test_one_base_cannot_tell(tmp_path, monkeypatch, tiny_run):
    monkeypatch.setenv("MIIII_RESULTS", str(tmp_path))
    keys = ["symmetric", "classes", "shared-table"]
    found = claims.examine_all(claims.gather([tiny_run]), keys)
    assert {finding.verdict for finding in found.findings} == {claims.Verdict.OPEN}
    assert all("no other base is known" in found[key].reason for key in keys[:2])
    assert "benchmarks.bases --renamed" in found["shared-table"].reason


@pytest.fixture
def planted(monkeypatch):
    """A run in whose place trainings are told, by p, learned epochs and the last."""

    def plant(*told):
        trainings = [Training(p, 0, np.array(learned, float), last) for p, learned, last in told]
        monkeypatch.setattr("miiii_core.claims.larger_base.trainings_of", lambda _: trainings)
        return Run(Path("mine"), {}, TINY.replace(p=13, n_validation=20))

    return plant


def test_two_bases_are_compared_until_the_shorter_training_ends(planted):
    """What 13 learned after 80 does not count, nor does what 17 never learned count as later."""
    run = planted((13, [1, 2, 10, 20, 90], 100), (17, [1, 2, 30, np.inf, 40, 50], 80))
    found = larger_base(run)
    assert found.p == (13, 17) and found.last == 80
    np.testing.assert_array_equal(found.moduli, [5, 7])
    np.testing.assert_array_equal(found.learned, [[10, 20], [30, np.inf]])
    np.testing.assert_array_equal(found.in_time, [True, False])
    assert claims.find_claim("larger-base").measures[0].of(run) == {
        "tasks": 2,
        "of them in the larger base too": 1,
        "times the epoch, median": (30 / 10 + 80 / 20) / 2,
    }


def test_the_largest_base_has_nothing_beside_it(planted):
    run = planted((11, [1, 2, 10, 20], 100), (13, [1, 2, 10, 20, 90], 100))
    with pytest.raises(CannotTell, match="mine is of a recipe .* no larger base than 13 is known"):
        larger_base(run)


@pytest.mark.parametrize("name", ["bases.jsonl", "renamed.jsonl"])
def test_the_book_has_bases_of_the_small_recipe(name):
    rows = read_lines(find_results(name))
    small = preset("miiii-small").replace(**benchmark.RECORDING)
    configs = [Config.from_json(json.dumps(one["config"])) for one in rows]
    places = {(one.task.p, one.train.seed): one for one in configs}
    alike = {p for (p, seed), one in places.items() if one == small.replace(p=p, seed=seed)}
    assert len(alike) >= 9


@pytest.mark.parametrize("name", ["bases.jsonl", "renamed.jsonl"])
def test_a_stored_line_is_whole(name):
    rows = read_lines(find_results(name))
    assert len({one["digest"] for one in rows}) == len(rows)
    for one in rows:
        config = Config.from_json(json.dumps(one["config"]))
        assert one["digest"] == config.digest
        assert len(one["learned"]) == len(primes_below(config.task.p))
        known = [epoch for epoch in one["learned"] if epoch is not None]
        assert max(known) <= one["last"] <= config.train.epochs
        assert len(known) == len(one["learned"]) or one["last"] == config.train.epochs


def test_a_stored_training_begins_so_when_repeated():
    (one,) = (r for r in read_lines(find_results("bases.jsonl")) if _place(r) == (29, 0))
    config = preset("miiii-small").replace(**benchmark.RECORDING, p=29, epochs=512)
    again = benchmark.train(config)["learned"][:2]
    np.testing.assert_allclose(np.log2(again), np.log2(one["learned"][:2]), atol=0.5)


def _place(row):
    return row["config"]["task"]["p"], row["config"]["train"]["seed"]
