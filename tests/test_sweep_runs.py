import json
import signal

import numpy as np
import pytest
from tiny import TINY, assert_same_run, contents

from miiii_core import runs, sweep_runs
from miiii_core.runs import RunError
from miiii_core.storage import saved
from miiii_core.storage.recorder import Interrupted
from miiii_core.sweep_runs import products, train_many

VALUES = {"seed": (0, 1)}  # the first is the tiny run


def train(root, values=None, base=TINY, **options):
    configs = products(root, base, VALUES if values is None else values)
    return train_many(configs, progress=False, **{"abreast": 1} | options)


def test_folders_are_named_by_what_differs(tmp_path):
    lists = {"seed": (0, 1), "grokfast_lambda": (0.0, 2.5), "dropout": (0.0,)}
    found = products(tmp_path, TINY, lists | {"p": 11, "epochs": None})
    assert [folder.name for folder in found] == [
        "seed=0,grokfast_lambda=0", "seed=0,grokfast_lambda=2.5",
        "seed=1,grokfast_lambda=0", "seed=1,grokfast_lambda=2.5",
    ]  # fmt: skip
    expected = TINY.replace(seed=1, grokfast_lambda=2.5, dropout=0.0, p=11)
    assert found[tmp_path / "seed=1,grokfast_lambda=2.5"] == expected
    assert products(tmp_path, TINY, {}) == {tmp_path / "seed=0": TINY}
    assert list(products(tmp_path, TINY, {"seed": (3,)})) == [tmp_path / "seed=3"]


@pytest.mark.parametrize("values", [(), (1, 2, 1)])
def test_a_list_that_is_empty_or_says_a_value_twice_is_refused(values, tmp_path):
    with pytest.raises(ValueError, match="takes values, each of them once"):
        products(tmp_path, TINY, {"seed": values})


def test_each_is_an_ordinary_run(tmp_path, tiny_run):
    first, second = train(tmp_path)
    assert_same_run(first, tiny_run)
    for run, seed in ((first, 0), (second, 1)):
        assert run.finished and run.config == TINY.replace(seed=seed)
        saved.verify(saved.load(run.folder))
        assert run.info["sessions"][0]["runs_at_once"] == 2
        assert set(contents(run.folder)) == set(contents(tiny_run.folder))
    assert first.folder == tmp_path / "seed=0"
    assert (first.metrics["loss"] != second.metrics["loss"]).any()


def test_stopped_each_goes_on_by_itself_to_the_same_end(tmp_path, tiny_run, stop):
    stop(8)
    with pytest.raises(Interrupted, match="stopped at epoch 8; go on with: miiii resume .*seed=1"):
        train(tmp_path)
    for seed in (0, 1):
        stopped = saved.load(tmp_path / f"seed={seed}")
        assert (stopped.info["status"], stopped.epoch) == ("interrupted", 8)
        saved.verify(stopped)
    assert_same_run(runs.resume(tmp_path / "seed=0", progress=False), tiny_run)


def test_a_second_interrupt_stops_at_once_and_says_what_is_left(tmp_path, stop):
    stop(8, times=2)
    with pytest.raises(Interrupted, match="at once; go on from the last save with: miiii resume"):
        train(tmp_path, save_seconds=-1.0)
    epochs = {saved.load(tmp_path / f"seed={seed}").epoch for seed in (0, 1)}
    assert max(epochs) < 8 and signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_one_that_diverges_is_marked_and_the_others_finish(tmp_path):
    values = {"seed": (0, 1), "learning_rate": (3e-4, 1e30)}
    found = train(tmp_path, values, TINY.replace(probes=()))
    assert [run.info["status"] for run in found] == ["finished", "diverged"] * 2
    for run in found:
        saved.verify(saved.load(run.folder))
    assert np.isfinite(found[1].metrics["loss"][0, :2]).all()


def test_a_folder_that_is_taken_is_found_before_anything_is_written(tmp_path, monkeypatch):
    def fail(*_):
        raise AssertionError("training was set up")

    monkeypatch.setattr(sweep_runs, "begin", fail)
    (tmp_path / "seed=1").mkdir()
    (tmp_path / "seed=1" / "thesis.tex").write_text("years of work")
    with pytest.raises(RunError, match="seed=1 is not empty and holds no run"):
        train(tmp_path)
    assert set(contents(tmp_path)) <= {"seed=1/thesis.tex", ".seed=0.lock", ".seed=1.lock"}
    with pytest.raises(ValueError, match="differ in p: 7, 11"):
        train_many({tmp_path / "a": TINY, tmp_path / "b": TINY.replace(p=11)})
    with pytest.raises(ValueError, match="2 runs at once, 1 abreast, p=2003 .* or fewer runs"):
        train(tmp_path / "large", base=TINY.replace(p=2003), abreast=1)


def test_the_command_trains_all_combinations(run, tmp_path, monkeypatch, tiny_run):
    asked = []

    def trained(configs, **options):
        asked.append((configs, options))
        return [tiny_run]

    monkeypatch.setattr(sweep_runs, "train_many", trained)
    code, out, err = run(
        "sweep", "--preset", "miiii-small", "--seed", "0,1", "--grokfast-lambda", "0,2",
        "--epochs", 50, "--abreast", 2, "--out", tmp_path, "--device", "cpu",
    )  # fmt: skip
    assert code == 0, err
    ((configs, options),) = asked
    assert list(configs)[-1] == tmp_path / "seed=1,grokfast_lambda=2" and len(configs) == 4
    assert {config.train.epochs for config in configs.values()} == {50}
    assert options == {"device": "cpu", "abreast": 2, "progress": True}
    assert "tiny" in out


def test_the_command_says_which_diverged_or_why_not(run, tmp_path, monkeypatch, tiny_run):
    info = json.loads(json.dumps(tiny_run.info)) | {"status": "diverged"}
    broken = saved.Run(tiny_run.folder, info, tiny_run.config)
    monkeypatch.setattr(sweep_runs, "train_many", lambda *_, **__: [tiny_run, broken])
    code, _, err = run("sweep", "--seed", "0,1", "--out", tmp_path)
    assert code == 1 and err == f"miiii: the loss did not stay finite in {tiny_run.folder}\n"
    code, _, err = run("sweep", "--seed", "0,0", "--out", tmp_path)
    assert code == 2 and "each of them once" in err
    code, _, err = run("sweep", "--seed", "0,x", "--out", tmp_path)
    assert code == 2 and "'x' is not a valid integer" in err
