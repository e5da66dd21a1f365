import dataclasses
import json
import shutil
import threading
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from tiny import TINY, contents

from miiii_core.analysis.spectral import frequency_power, frequency_power_2d
from miiii_core.circuits import history
from miiii_core.network.losses import split_means, task_accuracies, task_losses
from miiii_core.network.model import WEIGHT_NAMES
from miiii_core.runs import find_runs
from miiii_core.storage import parcels, shipped
from miiii_core.storage.saved import RunError, load, save_info, verify
from miiii_core.storage.shipped import (
    MANIFEST,
    RUN_BYTES,
    SHELF_BYTES,
    find_shipped,
    pack,
    place_for,
    relatives,
    shipped_root,
    verify_manifest,
)

SHELF = Path(__file__).parent.parent / "book" / "runs"
SHIPPED = sorted(path.parent for path in SHELF.glob("[!.]*/run.json"))


@pytest.fixture(scope="module")
def packed(tiny_run, tmp_path_factory):
    """The tiny run, packed on a shelf of its own, for tests that only read."""
    return pack(tiny_run, tmp_path_factory.mktemp("shelf") / "tiny")


@pytest.fixture
def shelf(packed, tmp_path, monkeypatch):
    """A copy of that shelf, to break, where shipped runs are looked for."""
    monkeypatch.setenv("MIIII_SHIPPED", str(tmp_path / "shelf"))
    return shutil.copytree(packed.folder.parent, tmp_path / "shelf")


# What is shipped is what was trained: a packed tiny run, and all that lies in book/runs


@pytest.fixture(scope="module")
def measured(tiny_run, tmp_path_factory):
    """The tiny run, packed with what was measured at its snapshots, and few of these."""
    folder = tmp_path_factory.mktemp("shelf") / "measured"
    return pack(tiny_run, folder, room=80_000, measure=history.measure)


KINDS = ["packed", "measured", *SHIPPED]


@pytest.fixture(scope="module", params=KINDS, ids=lambda folder: Path(folder).name)
def run(request):
    shipped = isinstance(request.param, Path)
    return load(request.param) if shipped else request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def activations(run):
    return run.model.activations(jnp.asarray(run.task.digits))


def test_every_file_of_a_shipped_run_is_whole_and_listed(run):
    verify(run)
    assert verify_manifest(run.folder.parent) == []
    assert run.finished and run.packed


def test_a_shipped_run_keeps_within_the_budget(run):
    assert sum(map(len, contents(run.folder).values())) <= RUN_BYTES
    assert sum(map(len, contents(run.folder.parent).values())) <= SHELF_BYTES + 100_000


def test_a_shipped_run_says_where_it_comes_from(run):
    assert run.info["digest"] == run.config.digest and run.info["code_revision"] != "unknown"
    assert run.info["device"] and run.info["versions"]["jax"] and run.info["wall_seconds"] > 0
    errors = [
        *run.packed["recorded"]["rounded"].values(),
        *run.packed["snapshots_rounded"].values(),
    ]
    assert all(0 < error < 0.02 for error in errors)


def test_loss_and_accuracy_follow_from_the_weights(run, activations):
    targets, members = jnp.asarray(run.task.targets), jnp.asarray(run.task.split_members)
    sizes = np.maximum(run.task.split_members.sum(axis=1), 1)
    losses = task_losses(activations.logits, targets, run.task.class_sizes)
    accuracies = task_accuracies(activations.logits, targets, run.task.class_sizes)
    assert run.metrics["epoch"][-1] == run.epoch
    np.testing.assert_allclose(
        run.metrics["loss"][-1], split_means(losses, members), rtol=3e-3, atol=1e-6
    )
    off = np.abs(run.metrics["accuracy"][-1] - np.asarray(split_means(accuracies, members)))
    assert (np.nan_to_num(off) * sizes[:, None] < 1.5).all(), "more than one input on the edge"


def test_norms_follow_from_the_weights(run):
    weights = [np.asarray(run.model.weights[name], np.float64) for name in WEIGHT_NAMES]
    norms = [np.linalg.norm(weight) for weight in weights]
    np.testing.assert_allclose(run.metrics["weight_norm"][-1], norms, rtol=1e-3)


def test_spectra_of_the_embedding_follow_from_the_weights(run):
    digits = np.asarray(run.model.W_E, np.float64)[: run.config.task.p]
    power = np.asarray(frequency_power(digits)).sum(axis=1)
    np.testing.assert_allclose(run.metrics["embedding_power"][-1], power, rtol=2e-3)
    singular = np.linalg.svd(digits, compute_uv=False)
    found = run.metrics["embedding_singular"][-1]
    np.testing.assert_allclose(found, singular, rtol=2e-3, atol=1e-5 * singular[0])


def test_spectra_of_the_neurons_follow_from_the_weights(run, activations):
    grids = run.task.grid(np.asarray(activations.neurons)).transpose(2, 0, 1)
    power = np.array(frequency_power_2d(grids))
    power[:, 0, 0] = 0
    alive = power.sum(axis=(1, 2)) > 0
    share = power[alive] / power[alive].sum(axis=(1, 2), keepdims=True)
    mean = share.sum(axis=0) / len(power)
    assert run.metrics["wide_epoch"][-1] == run.epoch
    np.testing.assert_allclose(run.metrics["neuron_power"][-1], mean, rtol=3e-3, atol=1e-6)


def test_snapshots_lie_on_the_way_to_the_weights(run):
    """Norms were recorded at each, so even rounded ones can be told from others'."""
    epochs = list(run.metrics["epoch"])
    for epoch in run.snapshot_epochs:
        weights = run.snapshot(epoch).weights
        norms = [np.linalg.norm(np.asarray(weights[name], np.float64)) for name in WEIGHT_NAMES]
        recorded = run.metrics["weight_norm"][epochs.index(epoch)]
        np.testing.assert_allclose(recorded, norms, rtol=5e-3)


def test_what_was_measured_at_snapshots_follows_from_those_that_are_there(run):
    if not run.packed.get("measured"):
        pytest.skip("all of its snapshots travelled")
    for epoch in run.snapshot_epochs:
        last = epoch == run.epoch  # the weights of others are rounded
        weights = run.model if last else run.snapshot(epoch)
        neurons = weights.activations(run.task.digits).neurons
        for part in ("strengths", "purity", "rule") if last else ("strengths", "rule"):
            if epoch not in history.known_epochs(run, part) or not came_along(run, part):
                continue
            found = history.recall(run, part, [epoch])
            again = history.PARTS[part].measure(weights, run.task, lambda there=neurons: there)
            for name, values in again.items():
                off = np.linalg.norm(found[name][0] - values)
                assert off <= (1e-2 if last else 5e-2) * np.linalg.norm(values), (part, name)


def came_along(run, part):
    return any(name.startswith(f"{part}/") for name in run.metrics)


def test_nothing_but_runs_and_their_manifest_is_shipped():
    if SHELF.is_dir():
        assert verify_manifest(SHELF) == []
        assert {path.suffix for path in SHELF.rglob("*") if path.is_file()} <= {".json", ".npz"}


# Where shipped runs are


def test_shipped_runs_lie_beside_the_table_of_contents(tmp_path, monkeypatch):
    monkeypatch.delenv("MIIII_SHIPPED", raising=False)
    (tmp_path / "book").mkdir()
    monkeypatch.chdir(tmp_path / "book")
    assert shipped_root() is None, "as after a bare pip install"
    (tmp_path / "_toc.yml").touch()
    assert shipped_root() == tmp_path / "book" / "runs"
    monkeypatch.setenv("MIIII_SHIPPED", str(tmp_path / "elsewhere"))
    assert shipped_root() == tmp_path / "elsewhere"


def test_a_run_is_found_by_its_configuration(shelf):
    found = find_shipped(TINY)
    assert found.folder == shelf / "tiny" and found.config == TINY
    assert find_shipped(TINY.replace(seed=1)) is None


def test_another_precision_will_do_where_it_may(shelf, tiny_run):
    asked = TINY.replace(precision="bfloat16")
    assert find_shipped(asked) is None
    assert find_shipped(asked, rounded=True).config == TINY
    assert find_shipped(asked.replace(seed=1), rounded=True) is None


def test_without_a_shelf_nothing_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("MIIII_SHIPPED", str(tmp_path / "none"))
    assert find_shipped(TINY) is None
    monkeypatch.delenv("MIIII_SHIPPED")
    monkeypatch.chdir(tmp_path)
    assert find_shipped(TINY) is None


def test_runs_are_called_like_their_preset_or_their_folder(tiny_run, tmp_path):
    from miiii_core.presets import preset

    assert place_for(tiny_run, tmp_path) == tmp_path / "tiny"
    nanda = dataclasses.replace(tiny_run, config=preset("nanda"))
    assert place_for(nanda, tmp_path) == tmp_path / "nanda"
    assert place_for(nanda, tmp_path, "mine") == tmp_path / "mine"
    for name in ("..", ".hidden", "a/b", "/abs", MANIFEST):
        with pytest.raises(ValueError, match="will not do; it takes a plain name such as nanda"):
            place_for(nanda, tmp_path, name)


# Damage, each kind named


def alter(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "name", ["run.json", "metrics.npz", "weights.npz", "snapshots/00000001.npz"]
)
@pytest.mark.parametrize(
    ("how", "words"),
    [
        (alter, "was altered"),
        (lambda path: path.write_bytes(path.read_bytes()[:-20]), "was altered"),
        (lambda path: path.write_bytes(b""), "was altered"),
        (Path.unlink, "is missing"),
    ],
    ids=["altered", "truncated", "empty", "missing"],
)
def test_every_broken_file_is_named(shelf, name, how, words):
    how(shelf / "tiny" / name)
    (problem,) = verify_manifest(shelf)
    assert str(shelf / "tiny" / name) in problem and words in problem
    with pytest.raises(RunError, match=f"{name} {words}.* restore it with: git checkout -- "):
        find_shipped(TINY)


def test_a_foreign_file_is_named(shelf):
    (shelf / "tiny" / "notes.txt").write_text("mine")
    (shelf / "README").write_text("mine")
    problems = verify_manifest(shelf)
    assert problems == [
        f"{shelf / 'README'} is not listed",
        f"{shelf / 'tiny' / 'notes.txt'} is not listed",
    ]


def test_a_run_that_is_not_listed_is_named(shelf):
    shutil.copytree(shelf / "tiny", shelf / "stowaway")
    assert all("stowaway" in p and "is not listed" in p for p in verify_manifest(shelf))
    (shelf / MANIFEST).unlink()
    assert len(verify_manifest(shelf)) == len(contents(shelf))


def test_a_missing_folder_is_named(shelf):
    shutil.rmtree(shelf / "tiny")
    problems = verify_manifest(shelf)
    assert problems and all("is missing" in problem for problem in problems)


def test_files_of_another_run_are_named(shelf, tiny_run):
    """Whole and listed, but of another configuration than the manifest says."""
    listed = json.loads((shelf / MANIFEST).read_text())
    listed["runs"]["tiny"]["digest"] = "0" * 12
    (shelf / MANIFEST).write_text(json.dumps(listed))
    (problem,) = verify_manifest(shelf)
    assert f"has digest {TINY.digest}, and the manifest lists 000000000000" in problem


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"runs": 3}', '{"runs": {"tiny": {}}}',
                '{"runs": {"tiny": {"digest": "0", "files": {"run.json": {"bytes": 3}}}}}']
)  # fmt: skip
def test_a_damaged_manifest_is_named(shelf, content):
    (shelf / MANIFEST).write_text(content)
    (problem,) = verify_manifest(shelf)
    assert f"{shelf / MANIFEST} is damaged" in problem
    with pytest.raises(RunError, match="manifest.json is damaged: .* restore it with git"):
        find_shipped(TINY)


def test_hidden_files_do_not_count(shelf):
    (shelf / ".DS_Store").touch()
    (shelf / ".tiny.new.part").mkdir()
    (shelf / ".tiny.new.part" / "run.json").touch()
    assert verify_manifest(shelf) == []
    assert [found.folder.name for found in find_runs(shelf)] == ["tiny"]


def test_what_is_too_large_is_named(shelf, monkeypatch):
    monkeypatch.setattr(shipped, "RUN_BYTES", 10_000)
    monkeypatch.setattr(shipped, "SHELF_BYTES", 20_000)
    run, whole = verify_manifest(shelf)
    assert "tiny is" in run and "more than the 0.01 MB that may be shipped" in run
    assert f"{shelf} is" in whole and "more than the 0.02 MB" in whole


# Packing onto the shelf


def test_packing_again_changes_nothing(shelf, tiny_run):
    before = contents(shelf)
    pack(tiny_run, shelf / "tiny")
    assert contents(shelf) == before


def test_an_older_packing_of_the_same_run_is_replaced(shelf, tiny_run):
    whole = contents(shelf)
    alter(shelf / "tiny" / "weights.npz")
    (shelf / "tiny" / "snapshots" / "00000001.npz").unlink()
    pack(tiny_run, shelf / "tiny")
    assert contents(shelf) == whole and verify_manifest(shelf) == []


@pytest.fixture(scope="module")
def other_run(tmp_path_factory):
    from miiii_core import runs

    config = TINY.replace(seed=1, probes=())
    return runs.train(config, tmp_path_factory.mktemp("runs") / "other", progress=False)


def test_relatives_are_those_that_differ_in_nothing_else(shelf, tiny_run, tmp_path):
    from miiii_core import runs

    def ship(name, **changes):
        pack(runs.train(TINY.replace(**changes), tmp_path / name, progress=False), shelf / name)

    ship("again", seed=2)
    ship("longer", seed=3, epochs=48)
    ship("base", p=11)

    def names(config, *fields):
        return [run.folder.name for run in relatives(config, *fields)]

    assert names(TINY, "seed") == ["again"]
    assert names(TINY.replace(seed=2), "seed") == ["tiny"]
    assert names(TINY.replace(p=13), "seed") == []
    assert names(TINY, "p", "seed") == ["again", "base"]
    assert names(TINY.replace(seed=5), "p") == []
    alter(shelf / "again" / "weights.npz")
    with pytest.raises(RunError, match=r"again/weights\.npz was altered"):
        relatives(TINY, "seed")


def test_a_second_run_joins_the_first_whose_damage_stays_seen(shelf, other_run):
    alter(shelf / "tiny" / "weights.npz")
    pack(other_run, shelf / "other")
    (problem,) = verify_manifest(shelf)
    assert "tiny/weights.npz was altered" in problem
    assert find_shipped(other_run.config).folder == shelf / "other"


def test_a_run_that_was_taken_off_the_shelf_leaves_the_manifest(shelf, other_run):
    shutil.rmtree(shelf / "tiny")
    pack(other_run, shelf / "other")
    assert verify_manifest(shelf) == [] and find_shipped(TINY) is None


def test_a_name_that_is_taken_is_refused(shelf, other_run):
    before = contents(shelf)
    with pytest.raises(
        RunError, match=f"holds another run .digest {TINY.digest}, not .* another name"
    ):
        pack(other_run, shelf / "tiny")
    (shelf / "taken").mkdir()
    with pytest.raises(RunError, match="taken is there and holds no run; choose another name"):
        pack(other_run, shelf / "taken")
    assert contents(shelf) == before


@pytest.mark.parametrize(
    ("name", "limit", "value", "room"),
    [("taken", "RUN_BYTES", RUN_BYTES, None), ("other", "SHELF_BYTES", 50_000, None),
     ("other", "RUN_BYTES", RUN_BYTES, 11_000)],
)  # fmt: skip
def test_nothing_is_measured_for_what_will_be_refused(
    shelf, other_run, monkeypatch, name, limit, value, room
):
    def measure(run):
        raise AssertionError("minutes were spent in vain")

    (shelf / "taken").mkdir()
    monkeypatch.setattr(shipped, limit, value)
    with pytest.raises(RunError, match="holds no run|more than the"):
        pack(other_run, shelf / name, room, measure)


def test_a_damaged_run_is_refused_before_anything_is_measured(shelf, tiny_run, tmp_path):
    copy = shutil.copytree(tiny_run.folder, tmp_path / "copy")
    alter(copy / "snapshots" / "00000040.npz")
    with pytest.raises(RunError, match=r"00000040\.npz is damaged"):
        pack(load(copy), shelf / "copy", measure=history.measure)


def test_two_packings_at_once_are_both_listed(shelf, tiny_run, other_run, monkeypatch):
    """The second begins while the first is about to rewrite the manifest, and waits."""
    write, second = shipped._write_manifest, threading.Thread(
        target=lambda: pack(other_run, shelf / "other")
    )  # fmt: skip

    def write_late(root, listed):
        if not second.ident:
            second.start()
            second.join(1)
        write(root, listed)

    monkeypatch.setattr(shipped, "_write_manifest", write_late)
    pack(tiny_run, shelf / "again")
    second.join(60)
    assert set(shipped.read_manifest(shelf)) == {"tiny", "again", "other"}
    assert verify_manifest(shelf) == []


def test_an_unfinished_run_is_refused(shelf, tiny_run, tmp_path):
    copy = shutil.copytree(tiny_run.folder, tmp_path / "copy")
    save_info(copy, tiny_run.info | {"status": "interrupted"})
    with pytest.raises(RunError, match="is interrupted at epoch 40: only a finished run"):
        pack(load(copy), shelf / "copy")
    assert not (shelf / "copy").exists()


def test_a_run_over_the_budget_is_refused_in_figures(shelf, other_run, monkeypatch):
    before = contents(shelf)
    monkeypatch.setattr(shipped, "RUN_BYTES", 11_000)
    with pytest.raises(RunError, match=r"takes 0\.\d+ MB more than the 0.011 MB"):
        pack(other_run, shelf / "other")
    monkeypatch.setattr(shipped, "RUN_BYTES", RUN_BYTES)
    monkeypatch.setattr(parcels, "ROOM_FOR_INFO", -RUN_BYTES)
    monkeypatch.setattr(shipped, "RUN_BYTES", 10)
    with pytest.raises(RunError, match=r"other is 0\.\d+ MB, 0\.\d+ MB more than the 1e-05 MB"):
        pack(other_run, shelf / "other")
    assert contents(shelf) == before and not (shelf / "other").exists()


def test_with_less_room_fewer_snapshots_travel(tiny_run, tmp_path):
    whole = pack(tiny_run, tmp_path / "whole")
    needed = [len((whole.folder / f"{name}.npz").read_bytes()) for name in ("metrics", "weights")]
    room = sum(needed) + parcels.ROOM_FOR_INFO
    spare = pack(tiny_run, tmp_path / "spare", room)
    assert sum(map(len, contents(spare.folder).values())) <= room
    assert spare.packed["snapshots_left_out"] and not whole.packed["snapshots_left_out"]
    assert pack(tiny_run, tmp_path / "more", RUN_BYTES + 1).packed == whole.packed


def test_a_full_shelf_is_refused_in_figures(shelf, other_run, tiny_run, monkeypatch):
    before = contents(shelf)
    full = sum(map(len, contents(shelf / "tiny").values()))
    monkeypatch.setattr(shipped, "SHELF_BYTES", full)
    with pytest.raises(RunError, match=r"with other would be 0\.\d+ MB, 0\.\d+ MB more than the"):
        pack(other_run, shelf / "other")
    pack(tiny_run, shelf / "tiny")
    assert contents(shelf) == before


@pytest.mark.parametrize("error", [OSError("disk is full"), KeyboardInterrupt()])
@pytest.mark.parametrize("step", ["save_info", "write_atomic"])
def test_a_failure_leaves_the_shelf_as_it_was(shelf, tiny_run, other_run, monkeypatch, step, error):
    def fail(*_):
        raise error

    before = contents(shelf)
    monkeypatch.setattr(shipped, step, fail)
    for run, name in ((tiny_run, "tiny"), (other_run, "other")):
        with pytest.raises(type(error)):
            pack(run, shelf / name)
    assert contents(shelf) == before and {p.name for p in shelf.iterdir()} == {"tiny", MANIFEST}


@pytest.mark.parametrize("renamed", [0, 1])
def test_a_failed_rename_puts_the_old_run_back(shelf, tiny_run, monkeypatch, renamed):
    done, rename = [], Path.rename

    def fail(self, target):
        if self.parent == shelf and len(done) == renamed:
            done.append(target)
            raise OSError("gone")
        done.append(target)
        return rename(self, target)

    before = contents(shelf)
    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(OSError, match="gone"):
        pack(tiny_run, shelf / "tiny")
    assert contents(shelf) == before


def test_what_a_killed_packing_left_is_put_right(shelf, tiny_run):
    before = contents(shelf)
    (shelf / "tiny").rename(shelf / ".tiny.old.part")
    (shelf / ".tiny.new.part").mkdir()
    (shelf / ".tiny.new.part" / "weights.npz").touch()
    pack(tiny_run, shelf / "tiny")
    assert contents(shelf) == before


def test_a_shelf_is_made_for_the_first_run(tiny_run, tmp_path):
    pack(tiny_run, tmp_path / "new" / "shelf" / "tiny")
    assert verify_manifest(tmp_path / "new" / "shelf") == []
    assert (tmp_path / "new" / "shelf" / MANIFEST).is_file()
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="cannot write to"):
        pack(tiny_run, tmp_path / "file" / "tiny")


def test_the_budget_is_what_was_agreed():
    assert (RUN_BYTES, SHELF_BYTES) == (8_000_000, 90_000_000)
