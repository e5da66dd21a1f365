"""Build the site from executed chapters, and only when something has changed."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import yaml

from .build import PACKAGES, BuildError, digest_of
from .kernel import environment

SPHINX = "from jupyter_book.cli.main import main; main()"
OPTIONS = ("-W", "-n", "--keep-going", "-q")
NOTEBOOKS = "notebooks"  # folder of the chapters as notebooks without outputs
DOWNLOADS = "downloads"  # folder, while the pages are built, of what readers may download
VARIABLE = "MIIII_REPOSITORY"
# https, ssh or git, with or without a user, a port or .git; or git@github.com:owner/name
ADDRESS = re.compile(
    r"(?i)(?:(?:https?|ssh|git)://)?(?:[^@/\s]+@)?(?:www\.|ssh\.)?github\.com(?::\d+/|[:/])"
    r"/?(?P<owner>[\w-]+)/(?P<name>[\w.-]+?)(?:\.git)?/?"
)


class Repository(NamedTuple):
    """A public repository on GitHub, and the branch that links lead to."""

    owner: str
    name: str
    branch: str = "main"

    @property
    def url(self) -> str:
        """Address of its page."""
        return f"https://github.com/{self.owner}/{self.name}"


def build_site(root: Path, executed: Mapping[str, Path]) -> Path:
    """Build ``_build/html`` from executed chapters, unless it is there; return the page to open.

    When Sphinx warns, the earlier site is left as it was. Executed notebooks are given by page.
    """
    index, record = root / "_build" / "html" / "index.html", root / "_run" / "site.json"
    key = site_key(root, executed)
    if not (record.is_file() and record.read_text("utf-8") == _stamp(index, key)):
        print("building the site", file=sys.stderr)
        record.parent.mkdir(exist_ok=True)
        with TemporaryDirectory(dir=record.parent, prefix="site-") as folder:
            stage(root, executed, Path(folder))
            _run_sphinx(Path(folder))
            # A plain `jupyter-book build .` would take the new pages for its own by its notes.
            for name in ("html", ".doctrees", "jupyter_execute"):
                shutil.rmtree(root / "_build" / name, ignore_errors=True)
            index.parent.parent.mkdir(exist_ok=True)
            Path(folder, "_build", "html").rename(index.parent)
        record.write_text(_stamp(index, key), "utf-8")
    return index


def stage(root: Path, executed: Mapping[str, Path], folder: Path) -> None:
    """Lay out what Sphinx reads: executed notebooks in the place of chapters, execution off.

    Readers may download a chapter's source, and its notebook if it has one, not the executed copy.
    """
    no_pages = shutil.ignore_patterns(".*", "runs")
    shutil.copytree(root / "book", folder / "book", ignore=no_pages, dirs_exist_ok=True)
    shutil.copy(root / "_toc.yml", folder)
    (folder / "_config.yml").write_text(yaml.safe_dump(_configuration(root)), "utf-8")
    (folder / DOWNLOADS).mkdir()
    for page, notebook in executed.items():
        offered = folder / DOWNLOADS / "_sources" / f"{page}.md"
        offered.parent.mkdir(parents=True, exist_ok=True)
        (folder / f"{page}.md").replace(offered)
        shutil.copy(notebook, folder / f"{page}.ipynb")
        if (pair := root / NOTEBOOKS / f"{offered.stem}.ipynb").is_file():
            shutil.copy(pair, offered.with_suffix(".ipynb"))


def site_key(root: Path, executed: Mapping[str, Path]) -> str:
    """Return a digest of all that the pages depend on: sources, notebooks, address, packages."""
    runs = root / "book" / "runs"  # whose parts reach pages through chapters, or by name
    folders = (runs.parent, root / NOTEBOOKS, PACKAGES / "miiii_core", PACKAGES / "miiii_book")
    found = [path for folder in folders for path in folder.rglob("*") if path.suffix != ".pyc"]
    files = [path for path in found if runs not in path.parents]
    files += [root / "_config.yml", root / "_toc.yml", *executed.values()]
    installed = sorted(f"{d.name} {d.version}" for d in importlib.metadata.distributions())
    return digest_of([find_repository(root), installed], files)


def parse_address(address: str, branch: str = "main") -> Repository | None:
    """Return the repository that the address of a git remote means; None if not on GitHub."""
    found = ADDRESS.fullmatch(address.strip())
    return Repository(found["owner"], found["name"], branch) if found else None


def find_repository(root: Path) -> Repository | None:
    """Return what ``$MIIII_REPOSITORY`` or the remote ``origin`` names, on the current branch."""
    branch, given = _git(root, "branch", "--show-current") or "main", os.environ.get(VARIABLE)
    if given is None:
        # As it was set, since get-url may name a mirror; but it knows what a short form stands for.
        asked = (["config", "--get", "remote.origin.url"], ["remote", "get-url", "origin"])
        found = (parse_address(_git(root, *words), branch) for words in asked)
        return next(filter(None, found), None)
    known = parse_address(given, branch) or parse_address(f"github.com/{given}", branch)
    if given and not known:
        raise ValueError(
            f"{VARIABLE}={given!r} will not do; give a repository on GitHub, such as "
            "OWNER/NAME, or nothing for a site without links to one"
        )
    return known


def _configuration(root: Path) -> dict[str, Any]:
    """Return the book's configuration, execution off, with links to where it is published."""
    config = yaml.safe_load((root / "_config.yml").read_text("utf-8"))
    config["execute"]["execute_notebooks"] = "off"
    config["sphinx"]["config"]["html_extra_path"] = [DOWNLOADS]
    if repository := find_repository(root):
        config["repository"] = {"url": repository.url, "branch": repository.branch}
        buttons = [f"use_{name}_button" for name in ("repository", "edit_page", "issues")]
        config["html"] |= dict.fromkeys(buttons, True)
    elif VARIABLE not in os.environ:
        said = "pages without links to a repository, as `git remote -v` names none on GitHub;"
        print(f"{said} {VARIABLE}=OWNER/NAME names one, {VARIABLE}= asks for none", file=sys.stderr)
    return config


def _stamp(index: Path, key: str) -> str:
    """Return what is noted of pages built by us, which others may have replaced."""
    return f"{key} {index.stat().st_mtime_ns}" if index.is_file() else ""


def _run_sphinx(folder: Path) -> None:
    command = [sys.executable, "-c", SPHINX, "build", str(folder), *OPTIONS]
    plain = environment() | {"NO_COLOR": "1"}
    done = subprocess.run(command, cwd=folder, env=plain, capture_output=True, encoding="utf-8")
    if done.returncode:
        said = (done.stderr + done.stdout).replace(f"{folder}/", "")
        raise BuildError(f"the site was not built; Sphinx said\n\n{said.strip()}")


def _git(root: Path, *words: str) -> str:
    """Return what git says of a clone; nothing of a folder inside one, or where there is no git."""
    if not (root / ".git").exists() or not shutil.which("git"):
        return ""
    command = ["git", "-C", str(root), *words]
    return subprocess.run(command, encoding="utf-8", capture_output=True).stdout.strip()
