"""Measures of claims on stand-ins: what a claim says, planted, and the same without it."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from miiii_core.analysis.blocks import in_random_order
from miiii_core.claims import Verdict, embeddings, find_claim, learning, neurons
from miiii_core.config import Config
from miiii_core.storage.metrics import Metrics
from miiii_core.storage.saved import Run
from miiii_core.tasks import SPLITS

YES, PARTLY, NO, OPEN = Verdict
P = 23
MODULI = (2, 3, 5, 7, 11, 13, 17, 19)
EPOCHS = np.arange(0, 1001, 10)


def stand_in(p=P, **parts):
    """A run of which only the given parts are there."""
    run = Run(Path("nowhere"), {"epoch": int(EPOCHS[-1])}, Config().replace(p=p, n_validation=20))
    run.__dict__.update(parts)
    return run


def recorded(learned, known=0, **arrays):
    """A run whose tasks are right in training and validation from given epochs on.

    Args:
        learned: Epoch at which each task comes right on inputs held out; None for never.
        known: The same for all tasks in training.
        arrays: Others that were recorded.
    """
    accuracy = np.zeros((len(EPOCHS), len(SPLITS), len(learned)))
    accuracy[EPOCHS >= known, SPLITS.index("train")] = 1
    for task, epoch in enumerate(learned):
        if epoch is not None:
            accuracy[EPOCHS >= epoch, SPLITS.index("validation"), task] = 1
    return stand_in(metrics=Metrics({"epoch": EPOCHS, "accuracy": accuracy, **arrays}, {}))


def verdict(key, values):
    return find_claim(key).judge({name: float(value) for name, value in values.items()})


class TestOrder:
    EASY = [100, 200, 300, 400]

    def test_planted(self):
        found = learning._order(recorded([*self.EASY, 700, 500, 800, 600]))
        assert [found[f"epoch of mod {q}"] for q in (2, 3, 5, 7)] == self.EASY
        assert (found["first of the others"], found["last of the others"]) == (500, 800)
        assert found["median of the others"] == 650
        assert found["rank correlation of the others with q"] == pytest.approx(0.0, abs=1e-12)
        assert verdict("order", found) is YES

    def test_shuffled(self):
        """The same epochs, the hard tasks first and in the order of q."""
        found = learning._order(recorded([800, 700, 600, 500, *self.EASY]))
        assert found["rank correlation of the others with q"] == pytest.approx(1)
        assert verdict("order", found) is NO

    def test_nothing_learned(self):
        assert verdict("order", learning._order(recorded([None] * len(MODULI)))) is OPEN


class TestDropout:
    full = recorded([10] * len(MODULI))

    def test_planted(self):
        found = learning._dropout(self.full, recorded([50, 90, *[None] * 6]))
        assert found == {
            "least training accuracy": 1, "tasks generalised": 8,
            "tasks generalised without dropout": 2, "those beside 2 and 3": 0,
        }  # fmt: skip
        assert verdict("dropout", found) is YES

    def test_shuffled(self):
        """As many tasks, but two others."""
        found = learning._dropout(self.full, recorded([None, None, 50, 90, *[None] * 4]))
        assert found["those beside 2 and 3"] == 2 and verdict("dropout", found) is PARTLY

    def test_what_is_not_known_by_heart_is_no_overfitting(self):
        never_known = recorded([50, 90, *[None] * 6], known=EPOCHS[-1] + 1)
        assert verdict("dropout", learning._dropout(self.full, never_known)) is OPEN


class TestMasked:
    full = [10, 20, 30, 40, 100, 110, 120, 130, 500, 600, 700, 800]

    def run(self, learned, active):
        """Of p = 41, whose tasks go on after 19 with 23, 29, 31 and 37."""
        run = recorded(learned, active_per_neuron=np.array(active))
        return stand_in(p=41, metrics=run.metrics)

    def test_planted(self):
        full = self.run(self.full, [1.0, 9.0, 3.0])
        masked = self.run([None] * 4 + [100, 110, 120, 130, 520, 620, 720, 820], [1.0, 6.0, 3.0])
        found = learning._masked(full, masked)
        assert found == {
            "last of 11, 13, 17, 19": 130, "first of the larger": 520,
            "median of the larger": 670, "the same with all tasks": 650,
            "spike": 2, "spike with all tasks": 3,
        }  # fmt: skip
        assert verdict("masked", found) is YES

    def test_shuffled(self):
        """The larger ones first, later than with all tasks, and under the larger spike."""
        full = self.run(self.full, [1.0, 6.0, 3.0])
        masked = self.run([None] * 4 + [970, 980, 990, 1000, 900, 910, 920, 930], [1.0, 9.0, 3.0])
        assert verdict("masked", learning._masked(full, masked)) is NO

    @pytest.mark.parametrize("active, ratio", [([1, 6, 2], 3), ([4, 4, 4], 1), ([1, 2, 4], 1)])
    def test_peak_over_final(self, active, ratio):
        assert learning.peak_over_final(self.run(self.full, active)) == ratio

    def test_a_peak_over_nothing_is_large_and_finite(self):
        ratio = learning.peak_over_final(self.run(self.full, [0.0, 5.0, 0.0]))
        assert np.isfinite(ratio) and ratio > 1e6


def together(of, **runs):
    """The numbers of several runs, each under the name of its task."""
    return {k: v for name, run in runs.items() for k, v in of(run, f"T_{name}").items()}


class TestPositions:
    def rows(self, sign, noise=0.3, d=256):
        generator = np.random.default_rng(0)
        first = generator.normal(size=d)
        return np.stack([first, sign * first + noise * generator.normal(size=d), np.ones(d)])

    def run(self, sign):
        return stand_in(model=SimpleNamespace(W_pos=self.rows(sign)))

    def test_planted(self):
        found = together(embeddings._positions, nanda=self.run(1), miiii=self.run(-1))
        expected = 1 / np.sqrt(1 + 0.3**2)
        assert found["Pearson, T_nanda"] == pytest.approx(expected, abs=0.02)
        assert found["Pearson, T_miiii"] == pytest.approx(-expected, abs=0.02)
        assert verdict("positions", found) is YES

    def test_shuffled(self):
        rows = self.rows(1)
        mixed = np.stack([rows[0], np.random.default_rng(1).permutation(rows[1]), rows[2]])
        run = stand_in(model=SimpleNamespace(W_pos=mixed))
        found = together(embeddings._positions, nanda=run, miiii=run)
        # By chance about 1/16, and the criterion for T_miiii asks for the sign alone.
        assert abs(found["Pearson, T_nanda"]) < 0.25
        assert verdict("positions", found) in (NO, PARTLY)

    def test_pearson_leaves_the_mean_out_and_the_cosine_does_not(self):
        run = stand_in(model=SimpleNamespace(W_pos=self.rows(-1) + 100.0))
        found = embeddings._positions(run, "T_miiii")
        assert found["Pearson, T_miiii"] < -0.9 and found["cosine, T_miiii"] > 0.9


class TestRanks:
    def run(self, frequencies):
        x = np.arange(P)[:, None] * 2 * np.pi * np.array(frequencies) / P
        waves = np.concatenate([np.cos(x), np.sin(x)], axis=1)
        mixed = (
            waves
            @ np.linalg.qr(np.random.default_rng(0).normal(size=(64, 64)))[0][: waves.shape[1]]
        )
        read_out = np.full((1, 64), 9.0)  # of the third token, which is no digit
        return stand_in(model=SimpleNamespace(W_E=np.concatenate([mixed, read_out])))

    def test_planted(self):
        found = together(embeddings._ranks, nanda=self.run([3]), miiii=self.run([1, 2, 5, 7, 10]))
        assert [found[f"ranks for {n} %, T_nanda"] for n in (50, 90)] == [1, 2]
        assert [found[f"ranks for {n} %, T_miiii"] for n in (50, 90)] == [5, 9]
        assert found["the same over p, 90 %, T_miiii"] == 9 / P
        assert verdict("singular-values", found) is YES

    def test_exchanged(self):
        found = together(embeddings._ranks, miiii=self.run([3]), nanda=self.run([1, 2, 5, 7, 10]))
        assert verdict("singular-values", found) is NO


class TestPeriods:
    @pytest.fixture(autouse=True)
    def grids_as_given(self, monkeypatch):
        monkeypatch.setattr(neurons, "neuron_grids", lambda run: run.info["grids"])

    def run(self, grids):
        return Run(Path("nowhere"), {"grids": grids}, Config())

    def waves(self):
        x, pairs = np.arange(P), [(1, 4), (3, 3), (5, 9), (11, 2), (7, 8)]
        angle = 2 * np.pi * x / P
        return np.stack([
            np.maximum(0, np.cos(k * angle)[:, None] + np.cos(m * angle)[None]) for k, m in pairs
        ])  # fmt: skip

    def test_planted(self):
        noise = np.random.default_rng(0).normal(size=(5, P, P))
        runs = {"miiii": self.run(self.waves()), "basis": self.run(noise)}
        found = together(neurons._periods, **runs)
        assert found["best block, T_miiii"] > 0.8 > 0.4 > found["best block, T_basis"]
        assert verdict("periodic-neurons", found) is YES

    def test_shuffled(self):
        mixed = in_random_order(self.waves(), np.random.default_rng(5))
        found = together(neurons._periods, miiii=self.run(mixed), basis=self.run(mixed))
        assert found["best block, T_miiii"] < 2 * found["in random order, T_miiii"]
        assert verdict("periodic-neurons", found) is NO

    def test_a_basis_as_periodic_is_no_contrast(self):
        run = self.run(self.waves())
        assert verdict("periodic-neurons", together(neurons._periods, miiii=run, basis=run)) is NO


class TestSpike:
    WIDE = np.array([0, 1, 3, 15, 62, 250, 500, 1000])  # 1/256 of the last is 3, 1/64 is 15
    TASKS = [100, 120, 140, 160, 300, 400, 500, 600]
    AS_TOLD = [0, 0, 0, 0, 10, 18, 14, 10]

    @pytest.fixture
    def measured(self, monkeypatch):
        def measure(ours, public=None, tasks=self.TASKS, of=neurons._timing):
            counts = {"ours": ours, "public label": ours if public is None else public}
            arrays = {name: np.array(count, float) for name, count in counts.items()}
            monkeypatch.setattr(neurons, "omega", lambda run: arrays)
            return of(recorded(tasks, wide_epoch=self.WIDE))

        return measure

    def test_planted(self, measured):
        found = measured(self.AS_TOLD)
        assert [found[f"at 1/{n} of the epochs"] for n in neurons.PARTS] == [0, 0, 10, 18, 10]
        assert found["peak at epoch, ours"] == 250 and found["learned by then, ours"] == 4
        assert found["peak over final"] == 1.8 and found["before over after"] == 1
        assert found["first task generalises (epoch)"] == 100
        assert found["last task generalises (epoch)"] == 600
        for key in ("spike", "spike-time", "reuse"):
            assert verdict(key, found) is YES, key

    def test_shuffled(self, measured):
        """The same counts in falling order: the most at the first of the epochs that count."""
        found = measured(sorted(self.AS_TOLD, reverse=True))
        assert not found["spike"] and not found["spike, public code"]
        assert verdict("spike", found) is verdict("spike-time", found) is NO

    def test_a_rise_before_any_task_is_a_spike_at_another_time(self, measured):
        early = [0, 1, 18, 18, 12, 11, 10, 8]
        found = measured(early)
        assert verdict("spike", found) is YES and found["learned by then, ours"] == 0
        assert verdict("spike-time", found) is NO
        assert verdict("spike-time", measured(early, self.AS_TOLD)) is PARTLY

    def test_a_peak_outside_the_time_of_learning_does_not_count(self, measured):
        late = [*[260] * 4, 300, 400, 500, 600]
        assert verdict("spike-time", measured(self.AS_TOLD, tasks=late)) is NO
        assert verdict("spike-time", measured(self.AS_TOLD, tasks=[50] * 8)) is NO

    def test_a_task_that_never_generalises_has_no_say_in_the_time(self, measured):
        found = measured(self.AS_TOLD, tasks=[*self.TASKS[:-1], None])
        assert found["last task generalises (epoch)"] == 500
        assert verdict("spike-time", found) is YES
        assert verdict("spike-time", measured(self.AS_TOLD, tasks=[None] * 8)) is OPEN
