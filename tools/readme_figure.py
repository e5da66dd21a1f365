"""Draw the result that the README shows, from the run of the landing page.

python -m tools.readme_figure
"""

from pathlib import Path

from miiii_book import figures
from miiii_core import runs

TARGET = Path(__file__).parent.parent / "book" / "_static" / "grokking.png"

if __name__ == "__main__":
    run = runs.cached("miiii")
    seen, unseen = (run.metrics.split("accuracy", split) for split in ("train", "validation"))
    figure = figures.grokking_figure(run.metrics["epoch"], seen, unseen, run.task.moduli)
    figure.savefig(TARGET, dpi=120)
