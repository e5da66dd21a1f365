"""What every test stands on: shapes are checked, and ranks are never promoted in silence."""

import os
import shutil
import tempfile
from pathlib import Path

# Before NumPy loads: products of several processes at once would wait for each other's cores.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import jax
import matplotlib
import pytest
from jaxtyping import install_import_hook

# Before any test module imports ours: the hook rewrites modules as they load.
install_import_hook("miiii_core", "beartype.beartype")
jax.config.update("jax_numpy_rank_promotion", "raise")
matplotlib.use("Agg")

# Compiled programs are kept between sessions, and shared with the processes that tests start.
COMPILED = Path(tempfile.gettempdir()) / f"miiii-compiled-{jax.__version__}-{os.getuid()}"
for option, value in {
    "jax_compilation_cache_dir": str(COMPILED),
    "jax_persistent_cache_min_compile_time_secs": 0.0,
}.items():
    os.environ[option.upper()] = str(value)
    jax.config.update(option, value)


def pytest_configure(config):
    """A program that another process is just writing there is compiled again; that is no error."""
    config.addinivalue_line("filterwarnings", "ignore:Error reading persistent compilation cache")


@pytest.fixture(scope="module", autouse=True)
def few_programs():
    """Let go of compiled programs in time: each maps memory, and Linux allows 65530 maps."""
    yield
    maps = Path("/proc/self/maps")
    if not maps.exists() or maps.read_bytes().count(b"\n") > 20_000:
        jax.clear_caches()


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """A finished run of T_miiii, for tests that only read."""
    from tiny import TINY

    from miiii_core import runs

    return runs.train(TINY, tmp_path_factory.mktemp("runs") / "tiny", progress=False)


@pytest.fixture(scope="session")
def tiny_addition(tmp_path_factory):
    """A finished run of modular addition, for tests that only read."""
    from tiny import TINY

    from miiii_core import runs

    config = TINY.replace(name="nanda", train_fraction=0.4, n_validation=9)
    return runs.train(config, tmp_path_factory.mktemp("runs") / "addition", progress=False)


@pytest.fixture
def copy(tiny_run, tmp_path):
    """A copy of the tiny run, to be changed."""
    return shutil.copytree(tiny_run.folder, tmp_path / "copy")


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Where runs are kept in a test; shipped ones would be in ``shelf`` beside it."""
    monkeypatch.setenv("MIIII_RUNS", str(tmp_path / "root"))
    monkeypatch.setenv("MIIII_SHIPPED", str(tmp_path / "shelf"))
    return tmp_path / "root"


@pytest.fixture
def command(capsys):
    """Run the command line; gives exit code, what it printed, and what it complained of."""
    from miiii_core import cli

    def call(*arguments):
        with pytest.raises(SystemExit) as left:
            cli.main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return left.value.code or 0, said.out, said.err

    return call
