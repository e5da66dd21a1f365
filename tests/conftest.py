"""What every test stands on: shapes are checked, and ranks are never promoted in silence."""

import os
import tempfile
from pathlib import Path

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


@pytest.fixture(scope="module", autouse=True)
def few_programs():
    """Let go of what a module compiled: each program maps memory, and Linux allows 65530 maps."""
    yield
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
def command(capsys):
    """Run the command line; gives exit code, what it printed, and what it complained of."""
    from miiii_core import cli

    def call(*arguments):
        with pytest.raises(SystemExit) as left:
            cli.main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return left.value.code or 0, said.out, said.err

    return call
