"""Draw the result that the README shows, from the run of the landing page.

python -m tools.readme_figure
"""

from pathlib import Path

from miiii_core import figures, runs

TARGET = Path(__file__).parent.parent / "book" / "_static" / "grokking.png"


def main() -> None:
    """Write the figure.

    Raises:
        RunError: if the run is not here; says how to train it.
    """
    run = runs.cached("miiii")
    seen, unseen = (run.metrics.split("accuracy", split) for split in ("train", "validation"))
    figure = figures.grokking_figure(run.metrics["epoch"], seen, unseen, run.task.moduli)
    figure.savefig(TARGET, dpi=120, facecolor="white")
    print(f"wrote {TARGET}")


if __name__ == "__main__":
    main()
