"""Build the site from executed chapters, and only when something has changed."""

import hashlib
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ..storage.files import FileDamaged, load_json, save_json
from .book import SECONDS, execute_chapters, folder_digest, package_digest
from .repository import find_repository

SPHINX = "from jupyter_book.cli.main import main; main()"
SHIPPED = "runs"  # folder of shipped runs in the book's: megabytes, and no pages
NOTEBOOKS = "notebooks"  # folder of the chapters as notebooks without outputs
DOWNLOADS = "downloads"  # folder, while the pages are built, of what readers may download
TIMES = "```{nb-exec-table}\n```"  # what a page has where the table of execution times goes
OPTIONS = ("-W", "-n", "--keep-going", "-q")


class SiteError(RuntimeError):
    """Sphinx had something to complain about."""


def make_book(
    root: Path,
    names: Sequence[str] | None = None,
    parameters: Mapping[str, Any] | None = None,
    run: str | None = None,
) -> Path:
    """Execute what is stale, build the site, and return the page to open.

    Args:
        root: folder of the book.
        names: chapters that the parameters are for; all if None. The others keep their own.
        parameters: values by name, each for the chapters that have it.
        run: value of ``run`` for the chapters that have it.

    Raises:
        ValueError: for an unknown chapter or parameter, or a value of the wrong kind.
        ChapterError: when a chapter fails.
        SiteError: when Sphinx warns.
    """
    return build_site(root, execute_chapters(root, names, parameters, run))


def build_site(root: Path, executed: Mapping[str, Path]) -> Path:
    """Build ``_build/html`` from executed chapters, unless it is there already.

    The pages are built in a folder of their own, where the executed notebooks
    stand in the place of the chapters, and are moved into place when complete.

    Args:
        root: folder of the book.
        executed: page name to executed notebook.

    Returns:
        The page to open.

    Raises:
        SiteError: when Sphinx warns; the earlier site is left as it was.
    """
    html, record = root / "_build" / "html", root / "_run" / "site.json"
    source = site_key(root, executed)
    if not _is_current(html, record, source):
        print("building the site", file=sys.stderr)
        record.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=record.parent, prefix="site-") as folder:
            stage(root, executed, Path(folder))
            _run_sphinx(Path(folder))
            _move_into_place(Path(folder) / "_build" / "html", html)
        save_json(record, {"source": source, "html": _fingerprint(html)})
    return html / "index.html"


def stage(root: Path, executed: Mapping[str, Path], folder: Path) -> None:
    """Lay out what Sphinx reads: the pages, executed where they run code, and execution off."""
    no_pages = shutil.ignore_patterns(".*", SHIPPED)
    shutil.copytree(root / "book", folder / "book", ignore=no_pages, dirs_exist_ok=True)
    shutil.copy(root / "_toc.yml", folder)
    (folder / "_config.yml").write_text(yaml.safe_dump(_configuration(root)))
    (folder / DOWNLOADS).mkdir()
    for page, notebook in executed.items():
        _offer(root, page, folder / DOWNLOADS / "_sources")
        (folder / f"{page}.md").unlink()
        shutil.copy(notebook, folder / f"{page}.ipynb")
    for text_page in (folder / "book").glob("*.md"):
        if TIMES in (text := text_page.read_text()):
            text_page.write_text(text.replace(TIMES, execution_times(executed)))


def _offer(root: Path, page: str, folder: Path) -> None:
    """Lay out what readers of a chapter may download: its source, and its notebook if it has one.

    Without this they would get the executed copy that stands in its place.
    """
    target = folder / page
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(root / f"{page}.md", target.with_suffix(".md"))
    if (notebook := root / NOTEBOOKS / f"{target.name}.ipynb").is_file():
        shutil.copy(notebook, target.with_suffix(".ipynb"))


def _configuration(root: Path) -> dict[str, Any]:
    """The configuration of the book, execution off, with links to where it is published."""
    config = yaml.safe_load((root / "_config.yml").read_text())
    config["execute"] = {**config.get("execute", {}), "execute_notebooks": "off"}
    config["sphinx"]["config"]["html_extra_path"] = [DOWNLOADS]
    if repository := find_repository(root):
        config["repository"] = {"url": repository.url, "branch": repository.branch}
        buttons = ("use_repository_button", "use_edit_page_button", "use_issues_button")
        config["html"] |= dict.fromkeys(buttons, True)
    return config


def execution_times(executed: Mapping[str, Path]) -> str:
    """A table of what each chapter took to run; Sphinx has none, as it runs none of them."""
    lines = ["| chapter | seconds |", "|---|---:|"]
    for page, notebook in executed.items():
        seconds = json.loads(notebook.read_text())["metadata"][SECONDS]
        lines.append(f"| {{doc}}`{Path(page).name}` | {seconds:.0f} |")
    return "\n".join(lines)


def site_key(root: Path, executed: Mapping[str, Path]) -> str:
    """Digest of all that the pages depend on: sources, notebooks, address, packages, this one too.

    Shipped runs reach the pages through the chapters that read them.
    """
    installed = sorted(f"{d.name} {d.version}" for d in importlib.metadata.distributions())
    notebooks = {
        page: hashlib.sha256(path.read_bytes()).hexdigest() for page, path in executed.items()
    }
    texts = [(root / name).read_text() for name in ("_config.yml", "_toc.yml")]
    sources = folder_digest(root / "book", without=root / "book" / SHIPPED)
    offered = [folder_digest(root / NOTEBOOKS), find_repository(root)]
    parts = json.dumps(
        [texts, sources, notebooks, offered, package_digest(), installed], sort_keys=True
    )
    return hashlib.sha256(parts.encode()).hexdigest()


def _is_current(html: Path, record: Path, source: str) -> bool:
    """Whether the pages are those last built, untouched since, from the same sources."""
    try:
        return load_json(record) == {"source": source, "html": _fingerprint(html)}
    except FileDamaged:
        return False


def _fingerprint(folder: Path) -> str:
    """Digest of names, sizes and times of all files, which any rewriting changes."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        status = path.stat()
        digest.update(f"{path.relative_to(folder)}\0{status.st_size}\0".encode())
        if path.is_file():
            digest.update(str(status.st_mtime_ns).encode())
    return digest.hexdigest()


def _run_sphinx(folder: Path) -> None:
    command = [sys.executable, "-c", SPHINX, "build", str(folder), *OPTIONS]
    plain = {**os.environ, "NO_COLOR": "1"}
    done = subprocess.run(command, cwd=folder, env=plain, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr + done.stdout).replace(f"{folder}/", "")
        raise SiteError(f"the site was not built; Sphinx said\n\n{said.strip()}")


def _move_into_place(built: Path, html: Path) -> None:
    """Put the new pages where the old ones were.

    Beside the pages, a plain ``jupyter-book build .`` keeps notes of what it
    wrote there; they go too, or it would take these pages for its own.
    """
    for stale in (html, html.parent / ".doctrees", html.parent / "jupyter_execute"):
        shutil.rmtree(stale, ignore_errors=True)
    html.parent.mkdir(exist_ok=True)
    built.rename(html)
