"""What every test stands on: shapes are checked, ranks are never promoted in silence."""

import atexit
import os
import shutil
import signal
import tempfile

import jax
import matplotlib
import pytest
from jaxtyping import install_import_hook

# Before any test module imports ours: the hook rewrites modules as they load.
install_import_hook("miiii_core", "beartype.beartype")
jax.config.update("jax_numpy_rank_promotion", "raise")
matplotlib.use("Agg")

# What one test compiled, neither the next nor the processes it starts compile again.
COMPILED = tempfile.mkdtemp(prefix="miiii-compiled-")
atexit.register(shutil.rmtree, COMPILED, ignore_errors=True)
for option, value in {
    "jax_compilation_cache_dir": COMPILED,
    "jax_persistent_cache_min_compile_time_secs": 0.0,
}.items():
    os.environ[option.upper()] = str(value)
    jax.config.update(option, value)


@pytest.fixture(scope="module", autouse=True)
def few_programs():
    """Let go of what a module compiled: each program maps memory, and Linux allows 65530 maps.

    A worker that has run most of the tests would reach that, and die of it.
    """
    yield
    jax.clear_caches()


def pytest_terminal_summary(terminalreporter):
    """Say how many checks of the built site were left out, and why, in one line."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = [report.longrepr[2] for report in skipped if "test_browser.py" in report.nodeid]
    for reason in dict.fromkeys(reasons):
        count, why = reasons.count(reason), reason.removeprefix("Skipped: ")
        terminalreporter.write_line(f"{count} checks of the site were left out: {why}", yellow=True)


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """A finished run, for tests that only read."""
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
def stop(monkeypatch):
    """Send signals from inside training, at the first record from an epoch on."""
    from miiii_core.storage.recorder import Recorder

    record = Recorder.record
    # A shell starts its background jobs with SIGINT ignored; here it must count.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def at(epoch, times=1):
        def record_and_stop(self, now):
            record(self, now)
            if now.epoch >= epoch:
                monkeypatch.setattr(Recorder, "record", record)
                for _ in range(times):
                    signal.raise_signal(signal.SIGINT)

        monkeypatch.setattr(Recorder, "record", record_and_stop)

    yield at
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def run(capsys):
    """Run the command line; gives exit code, what it printed, and what it complained of."""
    from miiii_core import cli

    def call(*arguments):
        with pytest.raises(SystemExit) as left:
            cli.main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return left.value.code or 0, said.out, said.err

    return call
