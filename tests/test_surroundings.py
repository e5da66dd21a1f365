"""The same run, anywhere: what is around the program changes no result, and fails in one line."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from miiii_core import files, runs

HERE = Path(__file__).parent
PYTHONS = ("python3.11", "python3.12", "python3.13")
# A run with dropout and with shuffled labels: every draw there is.
TRAIN = ["train", "--preset", "basis-small", "--p", "11", "--epochs", "40", "--d-model", "16",
         "--n-snapshots", "2"]  # fmt: skip
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
SURROUNDINGS = {
    "another layout of random bits": {"JAX_THREEFRY_PARTITIONABLE": "0"},
    "another generator": {"JAX_DEFAULT_PRNG_IMPL": "rbg"},
    "an offset to seeds": {"JAX_RANDOM_SEED_OFFSET": "7"},
    "64-bit types": {"JAX_ENABLE_X64": "1"},
    "coarse products": {"JAX_DEFAULT_MATMUL_PRECISION": "bfloat16"},
    "strict types": {"JAX_NUMPY_DTYPE_PROMOTION": "strict"},
    "another softmax": {"JAX_SOFTMAX_CUSTOM_JVP": "1"},
    "checks of JAX": {"JAX_ENABLE_CHECKS": "1", "JAX_DEBUG_NANS": "1"},
    "no compiled programs kept": {"JAX_ENABLE_COMPILATION_CACHE": "0"},
    "no UTF-8": ASCII,
    "another time zone and hash seed": {"TZ": "Pacific/Auckland", "PYTHONHASHSEED": "3"},
    "another backend of figures": {"MPLBACKEND": "svg"},
    "no assertions": {"PYTHONOPTIMIZE": "1"},
}
QUICK = ("another layout of random bits", "64-bit types")


def miiii(*arguments, variables=None, **options):
    command = [sys.executable, "-m", "miiii_core", *map(str, arguments)]
    surroundings = os.environ | {"PYTHONPATH": str(HERE.parent)} | (variables or {})
    return subprocess.run(command, capture_output=True, env=surroundings, **options)


def one_line(done, code):
    """What a command that failed said, in one line."""
    said = done.stderr.decode(errors="replace")
    assert done.returncode == code and said.count("\n") == 1 and said.startswith("miiii: "), said
    return said


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plain") / "run"
    done = miiii(*TRAIN, "--out", folder)
    assert done.returncode == 0, done.stderr
    return folder


def contents(folder):
    """All that a run is, but when and where it was trained."""
    found = {path.name: path.read_bytes() for path in folder.rglob("*.npz")}
    info = json.loads((folder / "run.json").read_text("utf-8"))
    return found | {name: info[name] for name in ("data", "digest", "files")}


@pytest.mark.parametrize(
    "name",
    [n if n in QUICK else pytest.param(n, marks=pytest.mark.thorough) for n in SURROUNDINGS],
)
def test_a_run_is_the_same_to_the_bit(plain, tmp_path, name):
    done = miiii(*TRAIN, "--out", tmp_path / "run", variables=SURROUNDINGS[name])
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "run") == contents(plain)


STOPPED = """
import signal, sys
from miiii_core import cli, runs

take = runs._Recorder.take

def take_and_stop(self, now):
    kept = take(self, now)
    if now.epoch >= 16:
        signal.raise_signal(signal.SIGTERM)
    return kept

runs._Recorder.take = take_and_stop
cli.main(sys.argv[1:])
"""


def stopped(folder):
    """Begin the run, and stop it on the way."""
    command = [sys.executable, "-c", STOPPED, *TRAIN, "--out", folder]
    done = subprocess.run(command, capture_output=True, cwd=HERE.parent)
    assert done.returncode == 143, done.stderr
    return folder


def test_a_run_is_resumed_to_the_same_bits(plain, tmp_path):
    variables = SURROUNDINGS["64-bit types"] | SURROUNDINGS["another generator"]
    done = miiii("resume", stopped(tmp_path / "run"), variables=variables)
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "run") == contents(plain)


@pytest.mark.thorough
@pytest.mark.parametrize("python", PYTHONS)
def test_another_python_trains_and_resumes_to_the_same_bits(plain, tmp_path, python):
    """Where it has the libraries in the versions that are here."""
    names = ("jax", "jaxlib", "equinox", "optax", "numpy")
    versions = f"from importlib.metadata import version; print(*map(version, {names}))"
    found, here = (
        subprocess.run([command, "-c", versions], capture_output=True, check=False)
        for command in (python, sys.executable)
    )
    if found.returncode or found.stdout != here.stdout:
        pytest.skip(f"{python} with the same libraries is not here")
    for arguments in ([*TRAIN, "--out", tmp_path / "new"], ["resume", stopped(tmp_path / "old")]):
        command = [python, "-m", "miiii_core", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, cwd=HERE.parent)
        assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "new") == contents(tmp_path / "old") == contents(plain)


def test_a_run_whose_split_is_drawn_anew_and_comes_out_otherwise_is_refused(tiny_run):
    info = tiny_run.info | {"data": "0" * 64}
    with pytest.raises(runs.RunError, match="another split than JAX .* versions in its run.json"):
        _ = runs.Run(tiny_run.folder, info, tiny_run.config).task


def test_reading_a_run_does_not_depend_on_flags(tiny_run):
    script = (
        "import sys; from miiii_core import runs; run = runs.load(sys.argv[1]);"
        "print(run.task.train.tolist(), run.activations().logits.tolist())"
    )

    def read(**variables):
        command = [sys.executable, "-c", script, str(tiny_run.folder)]
        done = subprocess.run(command, capture_output=True, env=os.environ | variables, check=True)
        return done.stdout

    assert read() == read(JAX_THREEFRY_PARTITIONABLE="0", JAX_ENABLE_X64="1")


@pytest.mark.parametrize("command", [TRAIN, ["show"]])
def test_a_platform_that_is_not_there_is_named(plain, tmp_path, command):
    where = ["--out", tmp_path / "run"] if command is TRAIN else [plain]
    done = miiii(*command, *where, variables={"JAX_PLATFORMS": "cuda"})
    if done.returncode == 0:
        pytest.skip("there is a GPU")
    assert "choose auto or cpu, unset JAX_PLATFORMS=cuda, or install" in one_line(done, 2)


@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_other_signals_save_as_ctrl_c_does(tmp_path, number, code):
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "miiii_core", *TRAIN, "--epochs", "1000000", "--out", folder]
    # Into a file: a pipe that nobody reads fills up with XLA's messages, and the child waits.
    with (tmp_path / "said").open("w") as said_to:
        child = subprocess.Popen(command, stderr=said_to, cwd=HERE.parent)
        began = time.monotonic()
        while not (folder / "state.eqx").exists():  # the first save comes early
            if child.poll() is not None or time.monotonic() > began + 180:
                child.kill()
                raise AssertionError((tmp_path / "said").read_text())
            time.sleep(0.1)
        child.send_signal(number)
        child.wait(timeout=60)
    said = (tmp_path / "said").read_text()
    assert child.returncode == code and f"go on with: miiii resume {folder}" in said
    run = runs.load(folder)
    assert run.info["status"] == "interrupted" and run.epoch > 0
    runs.verify(run)


def test_a_terminal_that_closes_costs_the_bar_alone(tmp_path):
    read, write = os.pipe()
    os.close(read)  # whoever writes gets EPIPE
    command = [sys.executable, "-m", "miiii_core", *TRAIN, "--out", tmp_path / "run"]
    child = subprocess.Popen(command, stderr=write, stdout=subprocess.PIPE, cwd=HERE.parent)
    os.close(write)
    assert child.communicate(timeout=120)[0].decode().startswith(f"{tmp_path / 'run'}: finished")
    assert child.returncode == 0


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["runs"]])
def test_a_full_device_is_one_line(arguments, tmp_path):
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    with open("/dev/full", "wb") as full:
        command = [sys.executable, "-m", "miiii_core", *arguments]
        variables = os.environ | {"MIIII_RUNS": str(tmp_path)}
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, cwd=HERE.parent, env=variables
        )
    assert "No space left" in one_line(done, 1)


def test_what_a_terminal_has_no_letters_for_is_replaced(tmp_path):
    done = miiii(*TRAIN, "--quiet", "--p", 12, "--out", tmp_path / "Läufe", variables=ASCII)
    assert "p=12 is not accepted" in one_line(done, 2)
    done = miiii("show", tmp_path / "Läufe", variables=ASCII)
    assert "there is no run in" in one_line(done, 1) and "L??ufe" in done.stderr.decode()


def failing(call, error, monkeypatch):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(f"os.{call}", fail)


def test_a_file_system_without_modes_is_written_to(tmp_path, monkeypatch):
    failing("chmod", PermissionError(errno.EPERM, "Operation not permitted"), monkeypatch)
    files.write_atomic(tmp_path / "file", b"whole")
    assert (tmp_path / "file").read_bytes() == b"whole"


def test_an_error_of_the_disk_names_the_file(tmp_path, monkeypatch):
    failing("fsync", OSError(errno.EIO, "Input/output error"), monkeypatch)
    with pytest.raises(OSError, match=f"Input/output error: '{tmp_path / 'file'}'"):
        files.write_atomic(tmp_path / "file", b"whole")
    assert not list(tmp_path.iterdir())


def test_a_system_that_opens_no_folders_is_written_to(tmp_path, monkeypatch):
    opened = os.open

    def refuse(path, *arguments, **options):
        if os.path.isdir(path):  # as on Windows
            raise PermissionError(errno.EACCES, "Permission denied")
        return opened(path, *arguments, **options)

    monkeypatch.setattr("os.open", refuse)
    files.write_atomic(tmp_path / "file", b"whole")
    assert (tmp_path / "file").read_bytes() == b"whole"


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_a_file_system_that_syncs_no_folders_is_written_to(tmp_path, monkeypatch, number):
    sync = os.fsync

    def fsync(descriptor):
        if not os.path.isfile(f"/proc/self/fd/{descriptor}"):
            raise OSError(number, os.strerror(number))
        sync(descriptor)

    monkeypatch.setattr("os.fsync", fsync)
    files.write_atomic(tmp_path / "file", b"whole")
    assert (tmp_path / "file").read_bytes() == b"whole"
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_memory_that_the_system_does_not_tell_is_not_refused(monkeypatch, tmp_path):
    monkeypatch.delattr("os.sysconf")  # as on Windows
    monkeypatch.setattr(runs, "CONTAINER_LIMITS", ())
    assert runs._available_memory(runs.find_device("cpu")) > 2**40


def test_metrics_that_are_another_file_of_ours_are_refused(tmp_path, tiny_run, monkeypatch):
    import shutil

    folder = shutil.copytree(tiny_run.folder, tmp_path / "run")
    shutil.copy(folder / "weights.npz", folder / "metrics.npz")
    with pytest.raises(runs.RunError, match="metrics.npz was altered"):
        _ = runs.load(folder).metrics
    unsigned = runs.Run(folder, tiny_run.info | {"files": {}}, tiny_run.config)
    with pytest.raises(runs.RunError, match="metrics.npz is damaged: it lacks or adds"):
        _ = unsigned.metrics


def test_ctrl_c_before_anything_is_loaded_is_silent():
    script = (
        "import os, signal, sys, miiii_core.__main__ as start\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'miiii_core.cli': os.kill(os.getpid(), signal.SIGINT)\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "start.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, cwd=HERE.parent)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")


def test_weights_do_not_change_with_the_precision_that_jax_may_use_elsewhere(plain):
    run = runs.load(plain)
    assert all(np.asarray(weight).dtype == np.float32 for weight in run.model.weights.values())
