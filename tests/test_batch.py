import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from counting import compilations

from miiii_core import batch, train
from miiii_core.batch import fit_many
from miiii_core.config import BATCHABLE, Config, batch_fields
from miiii_core.model import numerics
from miiii_core.train import TrainingDiverged

ROOT = Path(__file__).parent.parent
TINY = Config().replace(
    p=7, d_model=8, n_heads=2, mlp_ratio=2, epochs=24, eval_every=8, evals_per_octave=1,
    wide_per_octave=1, n_snapshots=2, probes=(), learning_rate=1e-3,
)  # fmt: skip
# Every field in which runs may differ, each with more than one value.
MIXED = [
    TINY.replace(seed=3),
    TINY.replace(seed=4, learning_rate=3e-3, weight_decay=0.0, dropout=0.0),
    TINY.replace(seed=3, grokfast_lambda=2.0, grokfast_alpha=0.9, dropout=0.4),
    TINY.replace(seed=5, grokfast_lambda=0.0),
]


def trained_together(configs):
    """For each run, what was yielded with metrics, or its error."""
    found = [[] for _ in configs]
    with numerics(configs[0].model):
        for news in fit_many(configs):
            for place, now in news.items():
                if isinstance(now, TrainingDiverged) or now.metrics is not None:
                    found[place].append(now)
    return found


def trained_alone(config, state=None):
    found = []
    with numerics(config.model):
        task = train.task_of(config)
        news = train.fit(config, task, state or train.initial_state(config, task))
        try:
            for now in news:  # copied, as a state is only valid until the next
                copied = dataclasses.replace(now, state=jax.tree.map(np.array, now.state))
                found += [copied] if now.metrics is not None else []
        except TrainingDiverged as error:
            found.append(error)
    return found


def assert_same(found, expected, rtol=1e-5):
    """Records at the same epochs, with close losses and states of one structure."""
    assert len(found) == len(expected)
    for mine, theirs in zip(found, expected, strict=True):
        if isinstance(theirs, TrainingDiverged):
            assert str(mine) == str(theirs)
            continue
        assert (mine.epoch, mine.last) == (theirs.epoch, theirs.last)
        assert set(mine.metrics) == set(theirs.metrics)
        np.testing.assert_allclose(mine.metrics["loss"], theirs.metrics["loss"], rtol=rtol)
        assert jax.tree.structure(mine.state) == jax.tree.structure(theirs.state)
        pairs = zip(*map(jax.tree.leaves, (mine.state, theirs.state)), strict=True)
        assert all((a.shape, a.dtype) == (b.shape, b.dtype) for a, b in pairs)
        assert int(mine.state.epoch) == mine.epoch == int(mine.metrics["epoch"])


WINDOW = {"grokfast": "ma", "grokfast_window": 5, "dropout_mask": "sample"}
ROUNDED = {"precision": "bfloat16", "grokfast_start": "first", "name": "basis"}
COMMON = [
    ({"precision": "float64"}, 1e-12),
    ({"probes": Config().train.probes, "epochs": 3}, 1e-5),
    pytest.param(WINDOW, 1e-5, marks=pytest.mark.thorough),
    pytest.param(ROUNDED, 2**-8, marks=pytest.mark.thorough),
]


FAST = {"update": "muon", "warmup": 4, "cooldown": 0.5, "loss": "stablemax"}


class TestEachRunIsTheOneAlone:
    @pytest.mark.parametrize("changes", [{}, FAST], ids=["AdamW", "Muon"])
    def test_whatever_they_differ_in_and_it_can_go_on_alone(self, changes):
        mixed = [config.replace(**changes) for config in MIXED]
        together, alone = trained_together(mixed), list(map(trained_alone, mixed))
        for mine, theirs in zip(together, alone, strict=True):
            assert_same(mine, theirs)
        for place in (2, 3):  # with a filter, and with none
            epochs = [now.epoch for now in together[place]]
            rest = trained_alone(mixed[place], together[place][epochs.index(8)].state)
            assert_same(rest, alone[place][epochs.index(8) + 1 :])

    @pytest.mark.parametrize("changes, rtol", COMMON)
    def test_whatever_they_have_in_common(self, changes, rtol):
        configs = [TINY.replace(seed=s, grokfast_lambda=s + 0.5, **changes) for s in (0, 1)]
        _, mine = trained_together(configs)
        assert_same(mine, trained_alone(configs[1]), rtol)
        wide = [now.epoch for now in mine if "wide_epoch" in now.metrics]
        assert wide == list(configs[0].train.wide_ticks)


class TestEnds:
    def test_a_run_that_diverges_says_so_once_and_disturbs_nobody(self):
        good = [TINY.replace(seed=s, learning_rate=s * 1e-3) for s in (1, 2, 3)]
        bad = [good[0], good[1].replace(learning_rate=1e30), good[2]]
        expected, found = trained_together(good), trained_together(bad)
        assert [now for now in found[1] if isinstance(now, TrainingDiverged)] == found[1][-1:]
        assert str(found[1][-1]) == str(trained_alone(bad[1])[-1])
        for place in (0, 2):
            assert_same(found[place], expected[place], 0)

    def test_a_run_that_has_settled_stays_as_it_is_and_the_others_go_on(self, monkeypatch):
        measure = train.measure

        def measured(problem, state, wide=False):
            if wide:
                return measure(problem, state, wide)
            good = (problem.traced.learning_rate > 1e-3) & (state.epoch >= 8)
            accuracy = jnp.where(good, 1.0, 0.5) * jnp.ones((3, 3))
            return {"accuracy": accuracy, "loss": jnp.zeros((3, 3))}

        monkeypatch.setattr(train, "measure", measured)
        base = TINY.replace(epochs=25, settled_share=0.5, probes=("residues",))
        slow, quick = trained_together([base.replace(learning_rate=r) for r in (1e-4, 1e-2)])
        assert [(now.epoch, now.last) for now in quick][-2:] == [(16, False), (24, True)]
        assert [int(run[-1].state.settled_since) for run in (quick, slow)] == [8, -1]
        assert "residue_share" in quick[-1].metrics
        assert "residue_share" not in slow[len(quick) - 1].metrics
        assert [now.epoch for now in slow if now.last] == [25]

    def test_what_has_ended_is_frozen(self):
        together = batch._Batch(MIXED, batch_fields(MIXED), None)
        together.going = [0, 2]
        together.advance(3)
        assert together.states.epoch.tolist() == [3, 0, 3, 0]


def test_other_values_and_seeds_compile_nothing():
    runs = [TINY.replace(seed=s, learning_rate=1e-3 / s, dropout=0.1 * s) for s in (2, 3, 4, 5)]
    trained_together(runs[:2])
    with compilations() as compiled:
        trained_together(runs[2:])
    assert not compiled


EIGHT = """
import json
import jax
from miiii_core import batch
from miiii_core.config import batch_fields
from test_batch import TINY

configs = [TINY.replace(seed=s, grokfast_lambda=s / 4, epochs=9) for s in range(10)]

def losses(devices):
    for news in batch.fit_many(configs, devices=devices):
        if news[0].metrics is not None:
            last = news
    return [last[i].metrics["loss"][:2].tolist() for i in range(10)]

devices = jax.devices()
together = batch._Batch(configs, batch_fields(configs), devices)
together.advance(2)
shards = together.states.model.W_E.addressable_shards
places = [[str(shard.device), len(shard.data)] for shard in shards]
print(json.dumps([places, losses(devices[:1]), losses(devices)]))
"""


def test_over_eight_devices_the_numbers_are_those_of_one():
    flags = "--xla_force_host_platform_device_count=8"
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", EIGHT], capture_output=True, text=True,
        env=os.environ | {"XLA_FLAGS": flags, "PYTHONPATH": paths},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    places, one, eight = json.loads(done.stdout)
    # Ten runs on eight devices: two each, the last repeated.
    assert len({device for device, _ in places}) == 8 and {size for _, size in places} == {2}
    np.testing.assert_allclose(eight, one, rtol=1e-5)


class TestWhatMayDiffer:
    def test_fields_are_found_in_a_fixed_order(self):
        assert batch_fields(MIXED) == BATCHABLE and batch_fields([TINY]) == ()

    def test_others_are_refused_by_name(self):
        said = "differ in p; .*one value.* only in seed, learning_rate, "
        with pytest.raises(ValueError, match=said):
            next(fit_many([TINY, TINY.replace(seed=1), TINY.replace(p=11)]))

    def test_no_runs_are_refused(self):
        with pytest.raises(ValueError, match="no configurations; .* at least one"):
            next(fit_many([]))
