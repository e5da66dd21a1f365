"""The chapters as notebooks without outputs, for Colab, Binder and any Jupyter.

``python -m tools.notebooks`` writes them, one beside the other in ``notebooks``; with ``--check``
it says which are out of step with their chapters. Each begins with a cell that installs the
package where it is missing. The repository's address in that cell is the one that the clone
knows when the notebooks are written, and is left as it stands by a clone that knows none.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from miiii_book.chapters import read_chapters, read_pages
from miiii_book.site import find_repository
from tools.plain_markdown import Places, figure_of, find_places, plain

FOLDER = "notebooks"
ADDRESS = re.compile(r'"repository.* = \\"(.*?)\\"')  # as JSON has it
NOTE = """\
*A chapter of miiii, the book, as a notebook; it is written in [book/{page}.md](../book/{page}.md).
What the book's pages compute and set into a sentence stands here as its name, `like_this`; the cell
that publishes that name has computed it.*"""
SETUP = r"""# Run this first. On Colab and elsewhere it installs the book's package; where that
# is, it does nothing. On Colab it takes the repository and the branch that this was opened from.
repository, branch = "{address}", ""

import os
import re
import subprocess
import sys
from importlib import invalidate_caches, metadata, util
from urllib import parse, request

if not util.find_spec("miiii_core"):
    try:
        sessions = f"http://{os.environ['COLAB_JUPYTER_IP']}:9000/api/sessions"
        opened = parse.unquote(parse.unquote(request.urlopen(sessions, timeout=9).read().decode()))
        place = r'(https://github\.com/[\w.-]+/[\w.-]+)(?:/blob/([^\s"]+)/notebooks/)?'
        repository, branch = re.search(place, opened).groups("")
    except (KeyError, OSError, AttributeError):
        pass  # not Colab, or not opened from GitHub
    advice = (
        "miiii_core is not installed: write the address of the book's repository into this cell, "
        "and its branch, or, in a clone of it, say `make install` and `.venv/bin/jupyter lab`"
    )
    if not repository:
        raise SystemExit(advice)
    names = "jax|jaxlib|numpy|scipy|equinox|optax|jaxtyping|matplotlib|optuna|myst-nb"
    fetch = f"-C miiii fetch --quiet --depth=1 {repository} {branch or 'HEAD'}"
    try:
        for words in ("init --quiet miiii", fetch, "-C miiii checkout --quiet FETCH_HEAD"):
            subprocess.run(["git", *words.split()], check=True)
        with open("miiii/requirements.lock", encoding="utf-8") as lock:
            tried = re.findall(rf"^({names})==([^\s;]+)", lock.read(), re.M)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "./miiii[search]", "myst-nb"]
        subprocess.run([*pip, *map("<=".join, tried)], check=True)  # none newer than was tried
    except (OSError, subprocess.CalledProcessError) as error:
        raise SystemExit(f"{error}; {advice}")
    invalidate_caches()
for name in ("numpy", "scipy", "jax", "jaxlib", "matplotlib"):
    loaded = getattr(sys.modules.get(name), "__version__", None)
    if loaded and loaded != metadata.version(name):
        raise SystemExit(f"{name} {loaded} is still loaded: restart the runtime, run this again")
if os.path.isdir("miiii/notebooks"):
    os.chdir("miiii/notebooks")  # the book's own runs are found from there"""


def pairs(root: Path, address: str = "") -> dict[Path, str]:
    """Return each chapter's notebook and its text, for a repository at an address.

    Without one a notebook keeps the address that it has.
    """
    sources = {Path(p).name: (root / f"{p}.md").read_text("utf-8") for p in read_pages(root)}
    read = {chapter.name: chapter.notebook() for chapter in read_chapters(root)}
    places, found = find_places(sources, read, root / "book" / "references.bib"), {}
    for name, notebook in read.items():
        path = root / FOLDER / f"{name}.ipynb"
        written = ADDRESS.search(path.read_text("utf-8")) if path.is_file() else None
        own = address or (written[1] if written else "")
        opening = [new_markdown_cell(NOTE.format(page=name)),
                   new_code_cell(SETUP.replace("{address}", own))]  # fmt: skip
        cells = [*opening, *_cells(name, notebook, places)]
        for i, cell in enumerate(cells):
            cell.id = f"cell-{i}"  # else random, and every writing would change every file
        metadata = {"kernelspec": notebook.metadata.kernelspec}
        found[path] = nbformat.writes(new_notebook(cells=cells, metadata=metadata)) + "\n"
    return found


def out_of_step(root: Path) -> list[str]:
    """Return the names of notebooks that are missing, differ from their chapter, or have none."""
    wanted = pairs(root)
    stray = set((root / FOLDER).glob("*.ipynb")) - set(wanted)
    differ = [p for p, text in wanted.items() if not p.is_file() or p.read_text("utf-8") != text]
    return sorted(path.name for path in (*differ, *stray))


def write(root: Path) -> None:
    """Write the notebook of every chapter, and remove those of chapters that are gone."""
    repository = find_repository(root)
    wanted = pairs(root, repository.url if repository else "")
    (root / FOLDER).mkdir(exist_ok=True)
    for stray in set((root / FOLDER).glob("*.ipynb")) - set(wanted):
        stray.unlink()
    for path, text in wanted.items():
        path.write_text(text, encoding="utf-8")


def main() -> int:
    """Write the notebooks, or with ``--check`` say which are out of step."""
    root = Path(__file__).parent.parent
    if "--check" not in sys.argv[1:]:
        write(root)
    elif faults := out_of_step(root):
        print(f"out of step with their chapters: {', '.join(faults)}; run: make notebooks")
        return 1
    return 0


def _cells(page: str, notebook: NotebookNode, places: Places) -> Iterator[NotebookNode]:
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            yield new_markdown_cell(plain(cell.source, page, places))
            continue
        tags = cell.metadata.get("tags", [])
        yield new_code_cell(cell.source, metadata={"tags": tags} if tags else {})
        if figure := figure_of(cell):
            number, caption = places.numbers[figure["name"]][1], figure["caption"].strip()
            yield new_markdown_cell(f"**{number}.** {plain(caption, page, places)}")


if __name__ == "__main__":
    sys.exit(main())
