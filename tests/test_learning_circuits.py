import json

import numpy as np
import pytest
from tiny import TINY

from benchmarks import learning_circuits as command
from miiii_core.circuits import branching, laboratory, outcomes
from miiii_core.claims import learning_circuits as measured
from miiii_core.claims.ledger import Verdict
from miiii_core.config import Config
from miiii_core.storage.provenance import versions
from miiii_core.storage.saved import RunError
from miiii_core.tasks import primes_below

STORED = sorted(root.glob("*.npz")) if (root := outcomes.results_root()) else []


@pytest.fixture
def tiny_command(monkeypatch, tmp_path):
    """The command on a tiny preset with few settings; counts what is computed."""
    monkeypatch.setattr(command, "preset", lambda name: TINY)
    some = {"filter": {}, "no filter": {"grokfast": "none"}}
    monkeypatch.setattr(command, "settings_of", lambda base: some)
    done = []
    run, train = branching.run_experiment, command.train
    monkeypatch.setattr(
        branching, "run_experiment", lambda *given: done.append("branches") or run(*given)
    )
    monkeypatch.setattr(command, "train", lambda *given: done.append("control") or train(*given))

    def call(*arguments):
        done.clear()
        command.main([*arguments, "--out", str(tmp_path)])
        return sorted(path.name for path in tmp_path.glob("*")), list(done)

    return call


def test_the_command_computes_what_is_missing_and_says_where_it_is_from(tiny_command, tmp_path):
    names = ["branches-miiii-p7-seed1.npz", "controls-miiii-p7-seed1.npz"]
    asked = ("--seeds", "1", "--controls", "1")
    assert tiny_command(*asked) == (names, ["branches", "control", "control"])
    assert tiny_command(*asked) == (names, [])
    (tmp_path / names[0]).unlink()
    assert tiny_command(*asked) == (names, ["branches"])
    header = outcomes.header_of(tmp_path / names[0])
    assert Config.from_json(json.dumps(header["config"])).digest == header["digest"]
    assert header["versions"] == versions()
    assert header["config"]["train"]["seed"] == 1
    assert len(header["results_code_digest"]) == len(header["code_digest"]) == 12
    found, _ = outcomes.load_controls(tmp_path / names[1])
    assert list(found.learned) == ["filter", "no filter"] and found.moduli == (2, 3, 5)


def test_a_control_that_was_stopped_half_way_goes_on_with_the_next_setting(tiny_command, tmp_path):
    tiny_command("--seeds", "1", "--controls", "1")
    path = tmp_path / "controls-miiii-p7-seed1.npz"
    found, header = outcomes.load_controls(path)
    first = outcomes.Controls(found.moduli, {"filter": found.learned["filter"]}, {"filter": 40})
    outcomes.save_controls(path, first, header)
    assert tiny_command("--seeds", "1", "--controls", "1")[1] == ["control"]


def test_results_of_other_settings_are_neither_taken_nor_added_to(tiny_command, tmp_path, capsys):
    asked = ("--seeds", "1", "--controls", "1")
    tiny_command(*asked)
    before = {path: path.read_bytes() for path in tmp_path.glob("*")}
    told = "holds results of other settings: epochs is 40 there and 20 here. Ask for the same"
    other = TINY.replace(**outcomes.RECORDING, seed=1, epochs=20)
    for compute in (command.branches, command.controls):
        with pytest.raises(RunError, match=told):
            compute(tmp_path, other)
    with pytest.raises(SystemExit):
        tiny_command(*asked, "--epochs", "20")
    assert told in capsys.readouterr().err
    assert before == {path: path.read_bytes() for path in tmp_path.glob("*")}


def test_what_other_code_computed_is_kept_and_nothing_is_added_to_it(
    tiny_command, tmp_path, monkeypatch, capsys
):
    asked = ("--seeds", "1", "--controls", "1")
    tiny_command(*asked)
    monkeypatch.setattr(outcomes, "code_digest", lambda modules: "other")
    assert tiny_command(*asked)[1] == []
    assert "branches-miiii-p7-seed1 is there, computed by other code" in capsys.readouterr().out
    monkeypatch.setattr(command, "settings_of", lambda base: {"filter": {}, "a third": {}})
    with pytest.raises(SystemExit):
        tiny_command(*asked)
    assert "computed by other code than this, and settings of one file" in capsys.readouterr().err


def test_controls_change_one_thing_beside_the_filter():
    base = Config()
    settings = command.settings_of(base)
    assert settings["filter"] == {} and len(settings) == 8
    assert settings["no filter, rate × (1 + λ)"]["learning_rate"] == pytest.approx(4.5e-4)
    assert settings["no filter, β1 = α"]["beta1"] == base.optim.grokfast_alpha
    for name, changes in settings.items():
        assert ("grokfast" in changes) == name.startswith("no filter")
        assert len(set(changes) - {"grokfast"}) <= 1
        base.replace(**changes)


class TestStored:
    def test_every_file_can_be_read_and_fits_its_configuration(self):
        assert STORED, "the chapter reads results that travel with the repository"
        for path in STORED:
            header = outcomes.header_of(path)
            p = header["config"]["task"]["p"]
            asked = Config.from_json(json.dumps(header["config"]))
            assert outcomes.check_origin(path, asked) == header
            if path.stem.startswith("branches"):
                found, _ = outcomes.load_experiment(path)
                assert found.reference.accuracy.shape[1] == len(primes_below(p))
                assert len(found.branches) in (0, 6)
            else:
                found, _ = outcomes.load_controls(path)
                assert found.moduli == primes_below(p)

    def test_a_reference_begins_as_it_did(self):
        path = next(path for path in STORED if path.stem.startswith("branches"))
        stored, header = outcomes.load_experiment(path)
        config = Config.from_json(json.dumps(header["config"]))
        lab = laboratory.Laboratory.of(config.replace(epochs=laboratory.EVERY))
        again = laboratory.train_reference(lab)
        assert again.moments.tolist() == stored.reference.moments[:1].tolist()
        np.testing.assert_allclose(again.energy[0], stored.reference.energy[0], rtol=0.1)
        assert again.chance[0] == pytest.approx(stored.reference.chance[0], rel=0.1)
        np.testing.assert_allclose(again.accuracy[0], stored.reference.accuracy[0], atol=0.1)

    def test_a_control_begins_as_it_did_and_as_no_other(self):
        """The epochs at which its first tasks are learned, and those of another setting."""
        path = next(path for path in STORED if path.stem.startswith("controls"))
        stored, header = outcomes.load_controls(path)
        config = Config.from_json(json.dumps(header["config"]))
        third = int(np.sort(stored.learned["filter"])[2])
        again, _ = command.train(config.replace(epochs=third))
        then = np.where(stored.learned["filter"] <= third, stored.learned["filter"], np.inf)
        np.testing.assert_array_equal(again, then)
        assert not np.array_equal(then, stored.learned["no filter"])

    def test_a_branch_starts_from_what_its_reference_had(self):
        for path in STORED:
            if path.stem.startswith("branches"):
                found, _ = outcomes.load_experiment(path)
                whole = found.reference.accuracy[-1]
                assert found.alone["end"].shape == (len(found.split.transient), len(whole))
                weak = found.reference.energy[-1].argsort()[:20]  # what is not there is not missed
                assert np.abs(found.alone["end"][weak] - whole).max() < 0.05
                for branch in found.branches:
                    at = found.reference.moments.tolist().index(branch.start)
                    assert (branch.learned >= branch.start).all()
                    assert len(branch.waves) <= found.split.transient.sum()
                    own = [q for _, q in branch.waves]
                    others = ~np.isin(primes_below(header_p(path)), own)
                    off = branch.once[others] - found.reference.accuracy[at][others]
                    assert np.abs(off).max() < 0.2


def header_p(path):
    return outcomes.header_of(path)["config"]["task"]["p"]


def test_without_results_nothing_can_be_told(monkeypatch, tmp_path):
    monkeypatch.setenv("MIIII_RESULTS", str(tmp_path))
    for claim, values in zip(
        measured.CLAIMS[1:],
        (measured.delay_values([]), measured.gain_values([]), measured.control_values([])),
        strict=True,
    ):
        assert claim.judge(values) is Verdict.OPEN
