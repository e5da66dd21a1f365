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

from miiii_core import train
from miiii_core.batch import batch_fields, fit_many
from miiii_core.config import BATCHABLE, Config
from miiii_core.model import numerics
from miiii_core.train import TrainingDiverged

ROOT = Path(__file__).parent.parent
TINY = Config().replace(
    p=7, d_model=8, n_heads=2, mlp_ratio=2, epochs=24, eval_every=8, evals_per_octave=1,
    wide_per_octave=1, n_snapshots=2, probes=(), learning_rate=1e-3,
)  # fmt: skip
# Every field in which runs may differ, each with more than one value; the last one diverges.
MIXED = [
    TINY.replace(seed=3),
    TINY.replace(seed=4, learning_rate=3e-3, weight_decay=0.0, dropout=0.0, grokfast_lambda=0.0),
    TINY.replace(seed=3, grokfast_lambda=2.0, grokfast_alpha=0.9, dropout=0.4),
    TINY.replace(seed=5, learning_rate=1e30),
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


FAST = {"update": "muon", "warmup": 4, "cooldown": 0.5, "loss": "stablemax"}
WINDOW = {"grokfast": "ma", "grokfast_window": 5, "dropout_mask": "sample"}
ROUNDED = {"precision": "bfloat16", "grokfast_start": "first", "name": "basis"}
COMMON = [
    ({"precision": "float64", "probes": Config().train.probes, "epochs": 3}, 1e-12),
    (FAST | WINDOW, 1e-5),
    (ROUNDED, 2**-8),
]


class TestEachRunIsTheOneAlone:
    def test_whatever_they_differ_in_and_it_can_go_on_alone(self):
        together, alone = trained_together(MIXED), list(map(trained_alone, MIXED))
        for mine, theirs in zip(together, alone, strict=True):
            assert_same(mine, theirs)
        for place in (1, 2):  # with no filter, and with one
            epochs = [now.epoch for now in together[place]]
            rest = trained_alone(MIXED[place], together[place][epochs.index(8)].state)
            assert_same(rest, alone[place][epochs.index(8) + 1 :])
        lost = [isinstance(now, TrainingDiverged) for now in together[3]]
        assert lost == [False] * (len(lost) - 1) + [True], "it is said once"

    @pytest.mark.thorough
    @pytest.mark.parametrize("changes, rtol", COMMON)
    def test_whatever_they_have_in_common(self, changes, rtol):
        base = TINY.replace(**changes)
        each = {"learning_rate": 2e-3, "weight_decay": 0.5, "grokfast_lambda": 1.5}
        _, mine = trained_together([base, base.replace(seed=1, **each)])
        assert_same(mine, trained_alone(base.replace(seed=1, **each)), rtol)
        wide = [now.epoch for now in mine if "wide_epoch" in now.metrics]
        assert wide == list(base.train.wide_ticks)

    def test_other_values_and_seeds_compile_nothing(self):
        others = [
            c.replace(seed=c.train.seed + 7, weight_decay=0.5 * i) for i, c in enumerate(MIXED)
        ]
        trained_together(MIXED)
        with compilations() as compiled:
            trained_together(others)
        assert not compiled


@pytest.mark.thorough
def test_a_run_that_has_settled_stays_as_it_is_and_the_others_go_on(monkeypatch):
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


FOUR = """
import json
import jax
from miiii_core import batch
from miiii_core.batch import batch_fields
from test_batch import TINY

configs = [TINY.replace(seed=s, grokfast_lambda=s / 4, epochs=9) for s in range(6)]

def losses(devices):
    for news in batch.fit_many(configs, devices=devices):
        if news[0].metrics is not None:
            last = news
    return [last[i].metrics["loss"][:2].tolist() for i in range(6)]

devices = jax.devices()
together = batch._Batch(configs, batch_fields(configs), devices)
together.advance(2)
shards = together.states.model.W_E.addressable_shards
places = [[str(shard.device), len(shard.data)] for shard in shards]
print(json.dumps([places, losses(devices[:1]), losses(devices)]))
"""


@pytest.mark.thorough
def test_over_four_devices_the_numbers_are_those_of_one():
    flags = "--xla_force_host_platform_device_count=4"
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    warnings = "error", "-W", "ignore:Error reading persistent compilation cache"
    done = subprocess.run(
        [sys.executable, "-W", *warnings, "-c", FOUR], capture_output=True, text=True,
        env=os.environ | {"XLA_FLAGS": flags, "PYTHONPATH": paths},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    places, one, four = json.loads(done.stdout)
    # Six runs on four devices: two each, the last repeated.
    assert len({device for device, _ in places}) == 4 and {size for _, size in places} == {2}
    np.testing.assert_allclose(four, one, rtol=1e-5)


def test_fields_that_may_differ_are_found_and_others_refused_by_name():
    assert batch_fields(MIXED) == BATCHABLE and batch_fields([TINY]) == ()
    with pytest.raises(ValueError, match="differ in p; .*one value.* only in seed, learning_"):
        next(fit_many([TINY, TINY.replace(seed=1), TINY.replace(p=11)]))
    with pytest.raises(ValueError, match="no configurations; .* at least one"):
        next(fit_many([]))
