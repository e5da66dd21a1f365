import numpy as np
import pytest

from miiii_core.analysis.anova import count_waves
from miiii_core.analysis.blocks import unit_grids
from miiii_core.analysis.pairs import compare
from miiii_core.analysis.transients import strengths
from miiii_core.circuits import history
from miiii_core.circuits.rules import score_rule
from miiii_core.claims import find_claim
from miiii_core.claims.ledger import CannotTell
from miiii_core.storage.metrics import Metrics
from miiii_core.storage.saved import load
from miiii_core.storage.shipped import pack


def test_at_each_epoch_stands_what_its_snapshot_gives(tiny_run):
    epochs = tiny_run.snapshot_epochs[-2:]
    found = {part: history.recall(tiny_run, part, epochs) for part in history.PARTS}
    for row, epoch in enumerate(epochs):
        last = epoch == tiny_run.epoch  # of the end there are weights that were not rounded
        model, task = tiny_run.model if last else tiny_run.snapshot(epoch), tiny_run.task
        neurons = model.activations(task.digits).neurons
        waves = strengths(neurons, task.moduli)
        np.testing.assert_array_equal(found["strengths"]["energy"][row], waves.energy)
        counts = count_waves(neurons, task.moduli, np.random.default_rng(0))
        assert found["counts"]["active"][row] == counts.active
        grids = unit_grids(task, neurons[:, :: history.EVERY])
        pure = compare(grids, task.moduli, np.random.default_rng(0), 1)
        for kind, own in (pure._asdict() | {"wrong": pure.wrong[0]}).items():
            medians = [np.median(own.whole), np.median(own.both)]
            np.testing.assert_array_equal(found["purity"][kind][row], medians)
        rule = score_rule(model, task)
        np.testing.assert_array_equal(found["rule"]["only"][row], rule.only.loss)
        np.testing.assert_array_equal(found["rule"]["trained"][row], rule.trained.loss)


def test_what_was_measured_travels_where_snapshots_do_not(tiny_run, tmp_path):
    epochs = tiny_run.snapshot_epochs
    whole = pack(tiny_run, tmp_path / "whole" / "tiny", measure=history.measure)
    small = load(whole.folder)
    (small.folder / "snapshots").rename(tmp_path / "elsewhere")  # so nothing can be measured anew
    assert history.known_epochs(small).tolist() == list(epochs)
    assert small.packed["measured"]["revision"]
    for part in history.PARTS:
        now, then = (history.recall(run, part, epochs[1:]) for run in (tiny_run, small))
        for name, values in now.items():
            np.testing.assert_allclose(then[name], values, rtol=1e-3, atol=1e-12)


def test_what_was_measured_another_way_is_measured_anew_where_there_are_weights(tiny_run, tmp_path):
    run = load(pack(tiny_run, tmp_path / "whole" / "tiny", measure=history.measure).folder)
    left = {name: array for name, array in run.metrics.items() if name != "strengths/chance"}
    run.__dict__["metrics"] = Metrics(left, {name: run.metrics.axes[name] for name in left})
    run.packed["snapshots"][:] = [run.epoch]  # as if the others had stayed behind
    assert history.known_epochs(run, "rule").tolist() == list(tiny_run.snapshot_epochs)
    assert history.known_epochs(run, "strengths").tolist() == [run.epoch]
    found = history.recall(run, "strengths", [run.epoch])
    whole = history.recall(tiny_run, "strengths", [run.epoch])
    np.testing.assert_allclose(found["chance"], whole["chance"], rtol=1e-3)
    (measure,) = find_claim("transient-waves").measures
    with pytest.raises(CannotTell, match="known of one moment only"):
        measure.take([run])


def test_what_is_not_known_is_refused(tiny_run):
    with pytest.raises(KeyError, match="'colours' is no part.*strengths, counts"):
        history.recall(tiny_run, "colours", [1])
    with pytest.raises(ValueError, match=r"epochs \[10000\] were asked for; known are \[1, "):
        history.recall(tiny_run, "rule", [10_000])


def test_a_run_can_be_asked_at_its_snapshots(tiny_run):
    assert history.known_epochs(tiny_run).tolist() == list(tiny_run.snapshot_epochs)
