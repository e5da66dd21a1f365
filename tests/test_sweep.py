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

from miiii_core.config import SWEEPABLE, Config
from miiii_core.training import schedule, train
from miiii_core.training.sweep import fit_many, swept_fields, usual_abreast
from miiii_core.training.train import TrainingDiverged

ROOT = Path(__file__).parent.parent
TINY = Config().replace(
    p=7, d_model=8, n_heads=2, mlp_ratio=2, epochs=24, eval_every=8, evals_per_octave=1,
    wide_per_octave=1, n_snapshots=2, probes=(),
)  # fmt: skip
# Every field in which runs may differ, each with more than one value.
MIXED = [
    TINY.replace(seed=3),
    TINY.replace(seed=4, learning_rate=1e-2, weight_decay=0.0, dropout=0.0),
    TINY.replace(seed=3, grokfast_lambda=2.0, grokfast_alpha=0.9, dropout=0.4),
    TINY.replace(seed=5, grokfast_lambda=0.0),
]


def kept(now):
    """A copy of what is only good until the next."""
    if isinstance(now, TrainingDiverged):
        return now
    return now.epoch, jax.tree.map(np.array, now.state), now.metrics, now.last


def trained_together(configs, **options):
    """For each run, everything that was yielded with metrics, or its error."""
    found = [[] for _ in configs]
    with train.numerics(configs[0]):
        for news in fit_many(configs, **options):
            for place, now in news.items():
                if isinstance(now, TrainingDiverged) or now.metrics is not None:
                    found[place].append(kept(now))
    return found


def trained_alone(config):
    found = []
    with train.numerics(config):
        task = train.task_of(config)
        try:
            for now in train.fit(config, task, train.initial_state(config, task)):
                found += [kept(now)] if now.metrics is not None else []
        except TrainingDiverged as error:
            found.append(error)
    return found


def arrays_of(record):
    epoch, state, metrics, last = record
    assert int(state.epoch) == epoch == int(metrics["epoch"])
    leaves = jax.tree.leaves_with_path(state)
    named = {jax.tree_util.keystr(path): leaf for path, leaf in leaves}
    return jax.tree.structure(state), last, metrics | named


def assert_same(found, expected, **tolerance):
    """Records at the same epochs, with states of the same structure; equal, or close if told."""
    assert len(found) == len(expected)
    for mine, theirs in zip(found, expected, strict=True):
        if isinstance(theirs, TrainingDiverged):
            assert str(mine) == str(theirs)
            continue
        (structure, last, mine), (their_structure, their_last, theirs) = map(
            arrays_of, (mine, theirs)
        )
        assert (structure, last) == (their_structure, their_last)
        assert set(mine) == set(theirs)
        for name, value in theirs.items():
            if not tolerance:
                np.testing.assert_array_equal(mine[name], value, err_msg=name)
            elif name == "loss":
                np.testing.assert_allclose(mine[name], value, **tolerance)


@pytest.fixture(scope="module")
def alone():
    return [trained_alone(config) for config in MIXED]


class TestEachRunIsTheOneAlone:
    # One program is not the other: on some processors the compiler adds up in another order.
    @pytest.mark.parametrize("abreast", [1, 4])
    def test_to_rounding(self, alone, abreast):
        for mine, theirs in zip(trained_together(MIXED, abreast=abreast), alone, strict=True):
            assert_same(mine, theirs, rtol=1e-5)

    def test_to_the_bit_whatever_else_is_trained(self):
        first, second = (trained_together(configs, abreast=1) for configs in (MIXED, MIXED[::-1]))
        for mine, theirs in zip(first, reversed(second), strict=True):
            assert_same(mine, theirs)

    def test_in_float64_to_1e_12(self):
        configs = [config.replace(precision="float64") for config in MIXED[1:3]]
        _, mine = trained_together(configs, abreast=2)
        assert_same(mine, trained_alone(configs[1]), rtol=1e-12)

    @pytest.mark.parametrize(
        "changes",
        [
            {"grokfast": "ma", "grokfast_window": 5, "dropout_mask": "sample"},
            {"precision": "bfloat16", "grokfast_start": "first", "name": "basis"},
        ],
    )
    def test_whatever_they_have_in_common(self, changes):
        configs = [TINY.replace(seed=s, grokfast_lambda=s + 0.5, **changes) for s in (0, 1)]
        _, mine = trained_together(configs, abreast=1)
        rtol = 2**-8 if configs[1].model.precision == "bfloat16" else 1e-5
        assert_same(mine, trained_alone(configs[1]), rtol=rtol)

    def test_in_everything_that_is_recorded(self):
        config = TINY.replace(probes=Config().train.probes, epochs=4)
        (mine,) = trained_together([config])
        assert_same(mine, trained_alone(config))
        wide = [int(metrics["wide_epoch"]) for _, _, metrics, _ in mine if "wide_epoch" in metrics]
        assert wide == list(schedule.wide_epochs(config.train))

    def test_and_goes_on_alone(self, alone):
        for news in fit_many(MIXED, abreast=1):
            states = {place: jax.tree.map(jnp.array, now.state) for place, now in news.items()}
            if news[0].epoch == 8:
                break
        config = MIXED[2]
        rest = [kept(n) for n in train.fit(config, train.task_of(config), states[2]) if n.metrics]
        assert_same(rest, alone[2][-len(rest) :], rtol=1e-5)
        assert rest[-1][0] == config.train.epochs


class TestEnds:
    def test_a_run_that_diverges_says_so_once_and_disturbs_nobody(self):
        good, bad = (
            [TINY.replace(seed=s, learning_rate=rate) for s, rate in enumerate(rates, 3)]
            for rates in ((1e-3, 1e-2, 3e-3), (1e-3, 1e30, 3e-3))
        )
        expected, found = (trained_together(configs, abreast=3) for configs in (good, bad))
        errors = [record for record in found[1] if isinstance(record, TrainingDiverged)]
        assert errors == found[1][-1:]
        assert str(found[1][-1]) == str(trained_alone(bad[1])[-1])
        for place in (0, 2):
            assert_same(found[place], expected[place])

    def test_nothing_is_left_to_do_when_all_have_diverged(self):
        configs = [TINY.replace(seed=int(r), learning_rate=r * 1e30) for r in (1.0, 2.0, 3.0)]
        found = trained_together(configs, abreast=3)
        assert all(isinstance(records[-1], TrainingDiverged) for records in found)
        assert max(map(len, found)) < 5

    def test_a_run_that_has_settled_ends_and_the_others_go_on(self, monkeypatch):
        def measured(problem, state):
            good = (problem.swept.learning_rate > 1e-3) & (state.epoch >= 8)
            accuracy = jnp.where(good, 1.0, 0.5) * jnp.ones((3, 3))
            return {"accuracy": accuracy, "loss": jnp.zeros((3, 3))}

        monkeypatch.setattr(train, "measure", measured)
        configs = [
            TINY.replace(learning_rate=rate, epochs=25, settled_share=0.5, probes=("tables",))
            for rate in (1e-4, 1e-2)
        ]
        slow, quick = trained_together(configs)
        assert [(epoch, last) for epoch, _, _, last in quick][-2:] == [(16, False), (24, True)]
        assert int(quick[-1][1].settled_since) == 8 and int(slow[-1][1].settled_since) == -1
        assert "neuron_base" in quick[-1][2] and "neuron_base" not in slow[len(quick) - 1][2]
        assert [epoch for epoch, _, _, last in slow if last] == [25]


def test_other_values_and_seeds_compile_nothing():
    def values(seed):
        return [
            TINY.replace(seed=seed + i, learning_rate=1e-3 / (seed + i), dropout=0.1 * i)
            for i in (1, 2)
        ]

    trained_together(values(1))
    with compilations() as compiled:
        trained_together(values(3))
    assert not compiled


def test_one_run_after_the_other_compiles_nothing_with_its_fields_traced():
    def alone(**changes):
        for news in fit_many([TINY.replace(epochs=9, **changes)], traced=SWEEPABLE):
            last = news[0]
        return last

    alone(dropout=0.1, learning_rate=1e-3, weight_decay=0.1)
    with compilations() as compiled:
        found = alone(dropout=0.2, learning_rate=1e-2, weight_decay=0.2, seed=5)
    assert not compiled
    config = TINY.replace(epochs=9, dropout=0.2, learning_rate=1e-2, weight_decay=0.2, seed=5)
    task = train.task_of(config)
    *_, expected = train.fit(config, task, train.initial_state(config, task))
    np.testing.assert_allclose(
        found.metrics["loss"][:2], expected.metrics["loss"][:2], rtol=1e-5, atol=1e-7
    )


EIGHT = """
import json, sys
import jax
from miiii_core.training.sweep import fit_many
from test_sweep import TINY

configs = [TINY.replace(seed=s, grokfast_lambda=s / 4, epochs=9) for s in range(10)]

def losses(devices):
    for news in fit_many(configs, devices=devices):
        if news[0].metrics is not None:
            last = news
    return [last[i].metrics["loss"][:2].tolist() for i in range(10)]

devices = jax.devices()
print(json.dumps([len(devices), losses(devices[:1]), losses(devices)]))
"""


def test_over_eight_devices_the_numbers_are_those_of_one():
    flags = "--xla_force_host_platform_device_count=8"
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", EIGHT],
        env=os.environ | {"XLA_FLAGS": flags, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    n_devices, one, eight = json.loads(done.stdout)
    assert n_devices == 8
    # Ten runs on eight devices: two each, and some twice.
    np.testing.assert_allclose(eight, one, rtol=1e-5)


class TestWhatMayDiffer:
    def test_fields_are_found_in_a_fixed_order(self):
        assert swept_fields(MIXED) == SWEEPABLE
        assert swept_fields([TINY, TINY.replace(dropout=0.3, seed=2)]) == ("seed", "dropout")
        assert swept_fields([TINY]) == swept_fields([TINY, TINY]) == ()

    @pytest.mark.parametrize(
        "field, value, said",
        [
            ("p", 11, "differ in p: 7, 11; it takes one value"),
            ("grokfast", "none", "differ in grokfast: 'ema', 'none'; it takes one value"),
            ("epochs", 30, "differ in epochs: 24, 30; .* may differ in seed, learning_rate, "),
        ],
    )
    def test_others_are_refused_by_name_with_their_values(self, field, value, said):
        configs = [TINY, TINY.replace(seed=1), TINY.replace(**{field: value})]
        with pytest.raises(ValueError, match=said):
            next(fit_many(configs))

    def test_no_runs_are_refused(self):
        with pytest.raises(ValueError, match="at least one configuration, got none"):
            next(fit_many([]))

    def test_float64_outside_its_numerics_is_refused(self):
        with pytest.raises(ValueError, match="64-bit types, which are off"):
            next(fit_many([TINY.replace(precision="float64")]))


def test_small_runs_go_abreast_on_a_cpu_and_all_on_a_gpu():
    assert usual_abreast(TINY, "cpu") > 8
    assert usual_abreast(Config().replace(p=31, d_model=128), "cpu") == 1
    assert usual_abreast(Config(), "gpu") > 1000
