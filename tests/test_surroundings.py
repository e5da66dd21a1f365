"""The same run, anywhere: what is around the program changes no result, and fails in one line."""

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from miiii_core import files, runs

HERE = Path(__file__).parent
# A run with dropout and with shuffled labels: every draw there is.
TRAIN = ["train", "--preset", "basis-small", "--p", "11", "--epochs", "40", "--d-model", "16",
         "--n-snapshots", "2"]  # fmt: skip
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
# All at once: what is around a run shall change nothing, so that together they change nothing too.
FLAGS = {
    "JAX_THREEFRY_PARTITIONABLE": "0",
    "JAX_DEFAULT_PRNG_IMPL": "rbg",
    "JAX_RANDOM_SEED_OFFSET": "7",
    "JAX_ENABLE_X64": "1",
    "JAX_DEFAULT_MATMUL_PRECISION": "bfloat16",
    "JAX_SOFTMAX_CUSTOM_JVP": "1",
}
STRICT = {
    "JAX_NUMPY_DTYPE_PROMOTION": "strict",
    "JAX_ENABLE_CHECKS": "1",
    "JAX_DEBUG_NANS": "1",
    "JAX_ENABLE_COMPILATION_CACHE": "0",
    "PYTHONOPTIMIZE": "1",
}
ELSEWHERE = ASCII | {"TZ": "Pacific/Auckland", "PYTHONHASHSEED": "3", "MPLBACKEND": "svg"}


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
    "variables",
    [FLAGS | ELSEWHERE, pytest.param(STRICT, marks=pytest.mark.thorough)],
    ids=["flags, and another place", "strict"],
)
def test_a_run_is_the_same_to_the_bit(plain, tmp_path, variables):
    done = miiii(*TRAIN, "--out", tmp_path / "run", variables=variables)
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "run") == contents(plain)


STOPPED = """
import signal, sys
from miiii_core import cli, stored

number = signal.Signals[sys.argv[1]]
# Not as the parent has it: a shell's background jobs ignore SIGINT, and `nohup` ignores SIGHUP.
usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
signal.signal(number, usual)
take = stored.Recorder.take

def take_and_stop(self, now):
    kept = take(self, now)
    if now.epoch == 16:
        signal.raise_signal(number)
    return kept

stored.Recorder.take = take_and_stop
cli.main(sys.argv[2:])
"""


def stopped(folder, name="SIGTERM"):
    """Begin the run, and stop it on the way by a signal."""
    command = [sys.executable, "-c", STOPPED, name, *TRAIN, "--out", folder]
    done = subprocess.run(command, capture_output=True, text=True, cwd=HERE.parent)
    assert done.returncode == 128 + signal.Signals[name]
    last = done.stderr.strip().splitlines()[-1]
    assert last == f"miiii: stopped at epoch 16; go on with: miiii resume {folder}"
    assert "Traceback" not in done.stderr
    assert runs.load(folder).info["status"] == "interrupted"
    runs.verify(runs.load(folder))
    return folder


@pytest.mark.parametrize("name", ["SIGINT", "SIGHUP"])
def test_a_signal_saves_and_it_is_said_how_to_resume(tmp_path, name):
    stopped(tmp_path / "run", name)


def test_a_run_is_resumed_to_the_same_bits_in_other_surroundings(plain, tmp_path):
    done = miiii("resume", stopped(tmp_path / "run"), variables=FLAGS)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().startswith(f"{tmp_path / 'run'}: finished at epoch 40")
    assert b"100%" in done.stderr
    assert contents(tmp_path / "run") == contents(plain)


def test_a_run_whose_split_is_drawn_anew_and_comes_out_otherwise_is_refused(tiny_run):
    info = tiny_run.info | {"data": "0" * 64}
    with pytest.raises(runs.RunError, match="another split than JAX .* versions in its run.json"):
        _ = runs.Run(tiny_run.folder, info, tiny_run.config).task


def test_reading_a_run_does_not_depend_on_flags(tiny_run):
    script = (
        "import sys; from miiii_core import runs; run = runs.load(sys.argv[1]);"
        "print(run.task.train.tolist(), run.activations().logits.tolist())"
    )
    command = [sys.executable, "-c", script, str(tiny_run.folder)]
    done = subprocess.run(command, capture_output=True, env=os.environ | FLAGS, check=True)
    here = tiny_run.task.train.tolist(), tiny_run.activations().logits.tolist()
    assert done.stdout.decode().split() == f"{here[0]} {here[1]}".split()


@pytest.mark.parametrize("command", [TRAIN, ["show"]])
def test_a_platform_that_is_not_there_is_named(plain, tmp_path, command):
    where = ["--out", tmp_path / "run"] if command is TRAIN else [plain]
    done = miiii(*command, *where, variables={"JAX_PLATFORMS": "cuda"})
    if done.returncode == 0:
        pytest.skip("there is a GPU")
    assert "choose auto or cpu, unset JAX_PLATFORMS=cuda, or install" in one_line(done, 2)


@pytest.mark.parametrize("arguments", [["--help"], ["runs"]])
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
    done = miiii("show", tmp_path / "Läufe", variables=ASCII)
    assert "there is no run in" in one_line(done, 1) and "L??ufe" in done.stderr.decode()


def failing(monkeypatch, call, number, only=lambda *_: True):
    """Let a call of the system fail where its first argument is such."""
    original = getattr(os, call)

    def fail(first, *rest, **options):
        if only(first):
            raise OSError(number, os.strerror(number))
        return original(first, *rest, **options)

    monkeypatch.setattr(os, call, fail)


def is_folder(place):
    return os.path.isdir(f"/proc/self/fd/{place}" if isinstance(place, int) else place)


@pytest.mark.parametrize(
    "call, number",
    [("chmod", errno.EPERM), ("open", errno.EACCES), ("fsync", errno.EINVAL)],
    ids=["without modes", "that opens no folders, as Windows", "that syncs no folders"],
)
def test_a_file_system_is_written_to(tmp_path, monkeypatch, call, number):
    only = is_folder if call != "chmod" else lambda _: True
    failing(monkeypatch, call, number, only)
    files.write_atomic(tmp_path / "file", b"whole")
    assert (tmp_path / "file").read_bytes() == b"whole"
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_an_error_of_the_disk_names_the_file(tmp_path, monkeypatch):
    failing(monkeypatch, "fsync", errno.EIO)
    with pytest.raises(OSError, match=f"Input/output error: '{tmp_path / 'file'}'"):
        files.write_atomic(tmp_path / "file", b"whole")
    assert not list(tmp_path.iterdir())


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
