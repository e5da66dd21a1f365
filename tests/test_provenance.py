import ast
import platform
import shutil
import subprocess

import jax
import pytest

from miiii_core.storage import provenance
from miiii_core.storage.provenance import TRAINING_MODULES, code_revision, device_name, versions


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A copy of the package that may be changed."""
    for name in (*TRAINING_MODULES, "presets"):
        copied = tmp_path / f"{name}.py"
        copied.parent.mkdir(exist_ok=True)
        shutil.copy(provenance.PACKAGE / f"{name}.py", copied)
    monkeypatch.setattr(provenance, "PACKAGE", tmp_path)
    return tmp_path


def digest():
    return provenance.training_code_digest.__wrapped__()


def test_digest_is_that_of_the_package(package):
    assert digest() == provenance.training_code_digest()
    assert len(digest()) == 12 and int(digest(), 16) >= 0


@pytest.mark.parametrize("name", TRAINING_MODULES)
def test_digest_passes_over_words_and_layout(package, name):
    before, path = digest(), package / f"{name}.py"
    path.write_text(path.read_text().replace('"""', '"""Note: ', 1).replace("\n\n\n", "\n\n\n\n"))
    path.write_text(path.read_text() + "\n# a comment\n")
    assert digest() == before


@pytest.mark.parametrize("name", TRAINING_MODULES)
def test_digest_sees_code(package, name):
    before, path = digest(), package / f"{name}.py"
    path.write_text(path.read_text() + "\nADDED = 1\n")
    assert digest() != before


def test_digest_passes_over_modules_that_do_not_train(package):
    before = digest()
    (package / "presets.py").write_text("PRESETS = {}")
    assert digest() == before


def test_docstrings_go_at_every_depth(package):
    path = package / "training" / "optim.py"
    path.write_text('def f():\n    """One."""\n    class A:\n        """Two."""\n        x = 1\n')
    before = digest()
    path.write_text('def f():\n    """1."""\n    class A:\n        """2."""\n        x = 1\n')
    assert digest() == before
    path.write_text('def f():\n    class A:\n        x = "One."\n')
    assert digest() != before


def test_training_modules_are_all_that_train_imports():
    known = {name.replace("/", ".") for name in (*TRAINING_MODULES, "presets")}
    for name in TRAINING_MODULES:
        tree = ast.parse((provenance.PACKAGE / f"{name}.py").read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.level:
                above = name.split("/")[: -node.level]
                origin = ".".join([*above, *filter(None, [node.module])])
                assert all(known & {origin, f"{origin}.{n.name}"} for n in node.names), name


def test_revision_outside_a_repository_is_unknown(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "PACKAGE", tmp_path)
    assert code_revision.__wrapped__() == "unknown"


def test_revision_without_git_is_unknown(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert code_revision.__wrapped__() == "unknown"


@pytest.fixture
def git(tmp_path):
    """Run git in a new repository."""

    def call(*arguments):
        who = ("-c", "user.name=a", "-c", "user.email=a@b")
        command = ["git", "-C", str(tmp_path), *who, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    call("init")
    return call


def test_revision_names_the_commit_and_marks_changes(tmp_path, monkeypatch, git):
    monkeypatch.setattr(provenance, "PACKAGE", tmp_path / "package")
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "train.py").write_text("1")
    git("add", "package")
    git("commit", "-m", "first")
    assert code_revision.__wrapped__() == git("rev-parse", "--short=12", "HEAD")
    (tmp_path / "notes").write_text("of no account")
    assert code_revision.__wrapped__() == git("rev-parse", "--short=12", "HEAD")
    (tmp_path / "package" / "train.py").write_text("2")
    assert code_revision.__wrapped__() == git("rev-parse", "--short=12", "HEAD") + "+"


def test_revision_is_never_that_of_a_repository_that_the_package_is_installed_in(
    tmp_path, monkeypatch, git
):
    installed = tmp_path / ".venv" / "site-packages" / "package"
    installed.mkdir(parents=True)
    git("commit", "--allow-empty", "-m", "theirs")
    monkeypatch.setattr(provenance, "PACKAGE", installed)
    assert code_revision.__wrapped__() == "unknown"


def test_versions_and_device_in_words():
    assert versions()["jax"] == jax.__version__
    assert versions()["python"] == platform.python_version()
    assert device_name(jax.devices("cpu")[0]) == f"cpu {platform.machine()}"
