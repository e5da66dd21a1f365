import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import pytest
from tiny import TINY

from miiii_core.analysis import transients
from miiii_core.analysis.atoms import waves_of
from miiii_core.analysis.transients import Split, strengths
from miiii_core.circuits import branching, delays, laboratory, outcomes
from miiii_core.config import Config
from miiii_core.storage.saved import RunError
from miiii_core.training import train

CONFIG = TINY.replace(epochs=200, learning_rate=1e-2, probes=(), n_snapshots=0)
WAVES = waves_of((2, 3, 5))
BRANCHES, CONTROLS = ({"kind": kind, "format": number} for kind, number in outcomes.FORMATS.items())
UNNAMED = {"kind": "control", "place": "start"}


@pytest.fixture(scope="module", autouse=True)
def patient():
    """References are not given up."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(laboratory, "HOPELESS", 0.0)
        yield


@pytest.fixture(scope="module")
def lab():
    return laboratory.Laboratory.of(CONFIG, rank=4)


@pytest.fixture(scope="module")
def reference(lab):
    return laboratory.train_reference(lab)


def forced(energy, total, chance, moduli, p):
    """A split in which the wave 1/5 goes and 2/5 stays, with most there at the second moment."""
    present = np.zeros(np.shape(energy), bool)
    present[1, 2] = True
    goes, stays = np.eye(len(WAVES.k), dtype=bool)[[2, 3]]
    return Split(WAVES, present, goes, stays)


@pytest.fixture(scope="module")
def experiment(lab):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(laboratory, "split_waves", forced)
        patch.setattr(branching, "WINDOW", 4)
        return branching.run_experiment(lab)


def test_moments_are_log_spaced_up_to_the_end():
    assert laboratory.moments_of(64) == (64,)
    assert laboratory.moments_of(200) == (64, 128, 192)
    many = laboratory.moments_of(8192)
    assert many[0] == 64 and many[-1] == 8192 and all(m % 64 == 0 for m in many)


def test_the_reference_is_the_training_that_it_would_be_by_itself(lab, reference):
    states = {
        now.epoch: np.asarray(now.state.model.W_in)
        for now in train.fit(CONFIG, lab.task, train.initial_state(CONFIG, lab.task))
    }
    assert reference.moments.tolist() == [64, 128, 192, 200]
    mine = np.asarray(reference.states[0].model.W_in)
    np.testing.assert_allclose(mine, states[64], rtol=1e-2, atol=1e-3)
    neurons = reference.states[1].model.activations(jnp.asarray(lab.task.digits)).neurons
    again = strengths(neurons, lab.task.moduli)
    np.testing.assert_allclose(reference.energy[1], again.energy, rtol=1e-5)
    assert reference.total[1] == pytest.approx(again.total)


def test_a_reference_that_learns_too_little_is_given_up_half_way(lab, monkeypatch):
    monkeypatch.setattr(laboratory, "HOPELESS", 2.0)
    assert laboratory.train_reference(lab).moments.tolist() == [64, 128]


def test_a_branch_with_nothing_clamped_goes_where_the_reference_went(lab, reference):
    branch = branching.grow_branch(lab, reference.states[0], [], 192, **UNNAMED)
    assert branch.start == 64 and branch.end <= 192
    np.testing.assert_array_equal(branch.once, reference.accuracy[0])
    late = reference.accuracy[0] < 0.9
    expected = np.where(reference.learned <= branch.end, reference.learned, np.inf)
    np.testing.assert_array_equal(branch.learned[late], expected[late])


def test_a_branch_keeps_its_waves_at_zero_and_its_start_as_it_was(lab, reference):
    state, before = reference.states[0], np.array(reference.states[0].model.W_out)
    branch = branching.grow_branch(lab, state, [(2, 5)], 100, **UNNAMED)
    assert branch.end == 100 and branch.waves == [(2, 5)]
    clamp = lab.clamp([(2, 5)])
    np.testing.assert_array_equal(branch.once, lab.validation(clamp, state))
    np.testing.assert_array_equal(before, state.model.W_out)


def test_an_experiment_has_branches_of_all_kinds_of_equal_size(experiment):
    assert (experiment.onset, experiment.spike) == (0, 1)
    kinds = [(b.kind, b.place, b.start, len(b.waves)) for b in experiment.branches]
    assert kinds == [
        ("transient", "spike", 128, 1), ("persistent", "spike", 128, 1),
        ("random", "spike", 128, 1), ("random", "spike", 128, 1),
        ("transient", "onset", 64, 1), ("random", "onset", 64, 1),
    ]  # fmt: skip
    assert all((1, 5) not in branch.waves for branch in experiment.branches[1:4])
    assert experiment.branches[0].waves == [(1, 5)] and experiment.branches[1].waves == [(2, 5)]
    assert {"onset", "spike"} <= set(experiment.watched)
    shapes = {kind: values.shape for kind, values in experiment.removed.items()}
    draws = branching.ONCE_DRAWS
    assert shapes == {"transient": (1, 3), "persistent": (draws, 3), "random": (draws, 3)}


def test_each_wave_is_taken_out_by_itself(lab, reference, experiment):
    for place, state in {"spike": reference.states[1], "end": reference.states[-1]}.items():
        alone = experiment.alone[place]
        assert alone.shape == (len(WAVES.k), 3)
        for i, wave in enumerate(zip(WAVES.k.tolist(), WAVES.modulus.tolist(), strict=True)):
            np.testing.assert_array_equal(alone[i], lab.validation(lab.clamp([wave]), state))


def test_a_laboratory_makes_room_for_all_its_waves(lab, monkeypatch):
    """There may be more transient waves than the rank that was asked for holds."""
    small = dataclasses.replace(lab, rank=1)
    monkeypatch.setattr(laboratory, "split_waves", forced)
    monkeypatch.setattr(branching, "WINDOW", 4)
    assert len(branching.run_experiment(small).branches) == 6


def test_without_a_transient_wave_there_are_no_branches(lab, monkeypatch):
    def none(*given):
        return forced(*given)._replace(transient=np.zeros(4, bool))

    monkeypatch.setattr(laboratory, "split_waves", none)
    found = branching.run_experiment(lab)
    assert found.branches == [] and (found.onset, found.spike) == (-1, -1)
    assert delays.testable([found]) == []


def test_midway_half_of_the_tasks_are_left():
    accuracy = np.array([[0.1, 0.2], [0.95, 0.2], [0.95, 0.3], [1, 1]])
    assert laboratory.midway_of(accuracy) == 2
    assert laboratory.midway_of(np.ones((2, 3))) == 0


def test_tasks_without_waves_are_refused():
    for name in ("divisible", "nanda"):
        with pytest.raises(ValueError, match="has no waves of n mod q to clamp"):
            laboratory.Laboratory.of(CONFIG.replace(name=name))


def made_up(learned, branches):
    """An experiment of three tasks, of which those of 3 and 5 are late, with these epochs."""
    reference = laboratory.Reference(
        np.array([64.0, 256, learned]),
        np.array([64, 128, 1024]),
        [],
        np.array([[1, 0.1, 0.1], [1, 0.2, 0.2], [1, 1, 1]]),
        np.ones((3, 4)),
        np.ones(3),
        np.ones(3),
    )
    split = forced(reference.energy, reference.total, reference.chance, (2, 3, 5), 7)
    return branching.Experiment(reference, split, 1, 0, {}, {}, branches, {})


def branch(kind, start, *epochs, end=1024, place="spike", waves=((1, 5),)):
    learned = np.array([start, *epochs])
    return branching.Branch(kind, place, start, list(waves), np.zeros(3), learned, end)


def test_the_strongest_wave_that_went_is_measured_by_the_level_of_presence():
    found = made_up(256, []).reference
    energy = np.ones((3, 4))
    energy[:, 1], energy[:, 2] = [1, 8, 1], [1, 40, 39]  # one goes, a stronger one stays
    share = transients.chance_share((2, 3, 5), 7)[1]
    one = dataclasses.replace(
        found, energy=energy, chance=np.array([9.0, 4, 1]), total=np.full(3, 100.0)
    )
    assert delays.strongest_gone(one, (2, 3, 5), 7) == pytest.approx(8 / (4 * 100 * share))
    energy[:, 3] = [1, 500, 20]  # it has lost nearly all, and is still there
    there = dataclasses.replace(one, energy=energy)
    assert delays.strongest_gone(there, (2, 3, 5), 7) == pytest.approx(8 / (4 * 100 * share))
    flat = dataclasses.replace(one, energy=np.ones((3, 4)))
    assert delays.strongest_gone(flat, (2, 3, 5), 7) == 0


class TestDelays:
    def test_a_delay_is_the_median_late_task_in_octaves(self):
        found = made_up(256, [branch("transient", 128, 512.0, 512.0)])
        assert delays.delay_of(found, found.branches[0]) == 1
        assert delays.late_in(found, found.branches[0]).tolist() == [False, True, True]

    def test_what_was_not_learned_counts_as_learned_at_the_end(self):
        found = made_up(256, [branch("transient", 128, np.inf, np.inf)])
        assert delays.delay_of(found, found.branches[0]) == 2

    def test_kinds_and_starts_are_kept_apart_and_draws_averaged(self):
        found = made_up(
            256,
            [
                branch("transient", 128, 512.0, 512.0),
                branch("random", 128, 256.0, 256.0),
                branch("random", 128, 512.0, 512.0),
                branch("transient", 64, 1024.0, 1024.0, place="onset"),
            ],
        )
        each = delays.delays([found, found])
        assert each.transient.tolist() == [1, 1] and each.random.tolist() == [0.5, 0.5]
        assert each.early.tolist() == [2, 2]

    def test_a_branch_that_there_is_not_has_no_delay(self):
        """Nor has one that clamps nothing, for want of waves of its kind."""
        found = made_up(
            256,
            [
                branch("transient", 128, 512.0, 512.0),
                branch("transient", 128, 256.0, 256.0, place="onset"),
                branch("persistent", 128, 512.0, 512.0, waves=()),
            ],
        )
        each = delays.delays([found])
        assert np.isnan([*each.persistent, *each.random, *each.early_random]).all()
        assert (each.transient.tolist(), each.early.tolist()) == ([1], [0])

    def test_a_reference_that_learned_little_tells_nothing(self):
        found = made_up(np.inf, [branch("transient", 128, 512.0, 512.0)])
        assert delays.testable([found]) == []
        assert delays.delays([found]).transient.tolist() == []

    def test_the_sign_test_is_that_of_a_fair_coin(self):
        assert delays.by_accident([True] * 5) == pytest.approx(1 / 32)
        assert delays.by_accident([True] * 7 + [False]) == pytest.approx(9 / 256)
        assert delays.by_accident([]) == 1

    def test_gains_are_compared_among_tasks_that_are_left_to_learn(self):
        found = made_up(256, [branch("transient", 128, 512.0, 512.0)])
        # Waves are 1/2, 1/3, 1/5 and 2/5; the last stays, and 1/2 belongs to a task learned before.
        raw = np.ones(4)
        gradient = branching.GradientWaves(raw, raw / 2, raw, np.array([9.0, 2, 1, 4]))
        found = branching.Experiment(
            *(getattr(found, name) for name in found.__dataclass_fields__ if name != "watched"),
            watched={"midway": gradient, "onset": gradient._replace(filtered=np.ones(4))},
        )
        assert delays.amplified([found]).tolist() == [1]
        assert delays.amplified([found], "onset").tolist() == [0.5]
        assert delays.amplified([found], "spike").tolist() == []

    def test_controls_are_compared_by_the_median_task(self):
        one = outcomes.Controls((2, 3, 5), {"filter": np.array([1.0, 5, np.inf])}, {"filter": 9})
        two = outcomes.Controls(
            (2, 3, 5),
            {"filter": np.array([1.0, np.inf, np.inf]), "no filter": np.ones(3)},
            {"filter": 9, "no filter": 9},
        )
        assert {k: v.tolist() for k, v in delays.control_epochs([one, two]).items()} == {
            "filter": [5, 9]
        }


class TestFiles:
    def test_an_experiment_comes_back_from_its_file(self, experiment, tmp_path, monkeypatch):
        monkeypatch.setattr(laboratory, "split_waves", forced)
        path = tmp_path / "new" / "one.npz"
        header = {**BRANCHES, "config": {"task": {"p": 7}}, "seconds": 1}
        outcomes.save_experiment(path, experiment, header)
        found, origin = outcomes.load_experiment(path)
        assert origin["seconds"] == 1
        for name in ("learned", "moments", "accuracy", *outcomes.MEASURED):
            np.testing.assert_array_equal(
                getattr(found.reference, name), getattr(experiment.reference, name)
            )
        assert (found.spike, found.onset) == (experiment.spike, experiment.onset)
        for mine, theirs in zip(found.branches, experiment.branches, strict=True):
            for name in outcomes.LISTED:
                assert getattr(mine, name) == getattr(theirs, name)
            np.testing.assert_array_equal(mine.learned, theirs.learned)
        np.testing.assert_array_equal(found.watched["spike"].raw, experiment.watched["spike"].raw)
        for several in ("alone", "removed"):
            assert set(getattr(found, several)) == set(getattr(experiment, several))
            for name, values in getattr(found, several).items():
                np.testing.assert_array_equal(values, getattr(experiment, several)[name])

    def test_results_are_found_by_settings_whatever_the_seed(self, tmp_path, monkeypatch):
        monkeypatch.setenv("MIIII_RESULTS", str(tmp_path))
        root = outcomes.results_root()
        made = outcomes.Controls((2, 3, 5), {"filter": np.ones(3)}, {"filter": 9})
        for changes in (
            {"seed": 3},
            {"seed": 1, "epochs": 7},
            {"seed": 2, "weight_decay": 0.5},
            {"p": 5, "seed": 9},
        ):
            config = CONFIG.replace(**changes)
            header = {**CONTROLS, "config": json.loads(config.to_json())}
            outcomes.save_controls(outcomes.place_of(root, "controls", config), made, header)
        found = [path.stem for path in outcomes.stored("controls", CONFIG)]
        names = ("p5-seed9", "p7-seed1", "p7-seed3")
        assert found == [f"controls-miiii-{name}" for name in names]
        assert len(outcomes.control_trainings(CONFIG)) == 3
        assert outcomes.experiments(CONFIG) == outcomes.control_trainings(Config()) == []

    @pytest.mark.parametrize("content", [b"", b"not a zip"])
    def test_damaged_files_are_refused(self, content, tmp_path):
        path = tmp_path / "bad.npz"
        path.write_bytes(content)
        for load in (outcomes.load_experiment, outcomes.load_controls):
            with pytest.raises(RunError, match="compute it again"):
                load(path)

    def test_another_format_and_missing_parts_are_refused(self, tmp_path):
        path, made = tmp_path / "x.npz", outcomes.Controls((2,), {}, {})
        outcomes.save_controls(path, made, {**CONTROLS, "format": 0})
        with pytest.raises(RunError, match="is of format 0"):
            outcomes.load_controls(path)
        outcomes.save_controls(path, made, {"kind": "colours", "format": 1})
        with pytest.raises(RunError, match="this version reads None"):
            outcomes.load_controls(path)
        outcomes.save_controls(path, made, {**BRANCHES, "config": {"task": {}}})
        with pytest.raises(RunError, match="is damaged"):
            outcomes.load_experiment(path)

    def test_without_a_book_there_are_no_results(self, tmp_path, monkeypatch):
        monkeypatch.delenv("MIIII_RESULTS", raising=False)
        monkeypatch.chdir(tmp_path)
        assert outcomes.results_root() is None and outcomes.experiments(CONFIG) == []
