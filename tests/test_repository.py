"""The repository's address: what a remote means, and where a clone says it comes from."""

import subprocess

import pytest

from miiii_core.publishing.repository import VARIABLE, Repository, find_repository, parse_address


@pytest.fixture(autouse=True)
def unset(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)


def git(folder, *words):
    subprocess.run(["git", "-C", folder, *words], check=True, capture_output=True)


@pytest.fixture
def clone(tmp_path):
    folder = tmp_path / "clone"
    git(tmp_path, "init", "--quiet", "--initial-branch", "trunk", folder)
    git(folder, "remote", "add", "origin", "git@github.com:ada/engine.git")
    return folder


@pytest.mark.parametrize(
    "address",
    [
        "https://github.com/ada/engine",
        "https://github.com/ada/engine.git",
        "https://github.com/ada/engine/\n",
        "https://user:secret@github.com/ada/engine.git",
        "http://www.github.com/ada/engine",
        "git@github.com:ada/engine.git",
        "git@github.com:ada/engine",
        "ssh://git@github.com/ada/engine.git",
        "ssh://git@ssh.github.com:443/ada/engine.git",
        "git://github.com/ada/engine.git",
        "github.com/ada/engine",
    ],
)
def test_an_address_on_github_is_read(address):
    assert parse_address(address) == Repository("ada", "engine", "main")


def test_names_may_hold_dots_and_dashes():
    assert parse_address("git@github.com:a-b/c.d-e_f.git") == Repository("a-b", "c.d-e_f")


@pytest.mark.parametrize(
    "address",
    [
        "",
        "/srv/git/engine.git",
        "../engine",
        "https://gitlab.com/ada/engine.git",
        "git@example.org:ada/engine.git",
        "https://notgithub.com/ada/engine",
        "https://github.com.example.org/ada/engine",
        "https://example.org/github.com/ada/engine",
        "https://github.com/ada",
        "https://github.com/ada/engine/tree/main",
    ],
)
def test_any_other_address_is_none(address):
    assert parse_address(address) is None


def test_links_lead_to_a_notebook_on_the_branch():
    engine = Repository("ada", "engine", "trunk")
    assert engine.url == "https://github.com/ada/engine"
    assert engine.colab("notebooks/x.ipynb") == (
        "https://colab.research.google.com/github/ada/engine/blob/trunk/notebooks/x.ipynb"
    )
    assert engine.binder("notebooks/x.ipynb") == (
        "https://mybinder.org/v2/gh/ada/engine/trunk?urlpath=lab/tree/notebooks/x.ipynb"
    )


def test_a_clone_knows_its_remote_and_branch(clone):
    assert find_repository(clone) == Repository("ada", "engine", "trunk")


def test_a_clone_of_another_host_or_of_none_has_no_address(clone):
    git(clone, "remote", "set-url", "origin", "https://example.org/ada/engine.git")
    assert find_repository(clone) is None
    git(clone, "remote", "remove", "origin")
    assert find_repository(clone) is None


def test_no_branch_is_main(clone):
    git(clone, "-c", "user.name=A", "-c", "user.email=a@b.c", "commit", "--allow-empty", "-mx")
    git(clone, "checkout", "--quiet", "--detach")
    assert find_repository(clone) == Repository("ada", "engine", "main")


def test_a_copy_inside_another_repository_is_not_that_one(clone):
    (clone / "copy").mkdir()
    assert find_repository(clone / "copy") is None


def test_outside_a_clone_and_without_git_there_is_none(tmp_path, monkeypatch):
    (tmp_path / "bare").mkdir()
    assert find_repository(tmp_path / "bare") is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_repository(tmp_path / "bare") is None


@pytest.mark.parametrize("given", ["ada/engine", "https://github.com/ada/engine.git"])
def test_the_variable_comes_first(clone, tmp_path, monkeypatch, given):
    git(clone, "remote", "set-url", "origin", "https://example.org/x/y.git")
    monkeypatch.setenv(VARIABLE, given)
    assert find_repository(clone) == Repository("ada", "engine", "trunk")
    assert find_repository(tmp_path) == Repository("ada", "engine", "main")


def test_an_empty_variable_means_none(clone, monkeypatch):
    monkeypatch.setenv(VARIABLE, "")
    assert find_repository(clone) is None


@pytest.mark.parametrize("given", ["engine", "https://gitlab.com/ada/engine", "a/b/c"])
def test_a_variable_that_names_no_repository_is_refused(clone, monkeypatch, given):
    monkeypatch.setenv(VARIABLE, given)
    with pytest.raises(ValueError, match="OWNER/NAME") as caught:
        find_repository(clone)
    assert given in str(caught.value)
