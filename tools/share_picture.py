"""Draw the picture that goes with a link to the site, from the run of the front page.

python -m tools.share_picture
"""

from pathlib import Path

import numpy as np

from miiii_book.figures.style import INK, MEMORY, RULE, HouseFigure, look, plain_log
from miiii_core import runs

TARGET = Path(__file__).parent.parent / "book" / "_static" / "share.png"
SIZE = (1200, 630)  # pixels, as sites ask for
HANDS = {2: 8.0, 3: 10.0, 5: 11.5, 7: 13.0, 11: 14.0}  # as in book/_static/mark.svg, at 416


@look()
def share_picture(run: runs.Run) -> HouseFigure:
    """Draw both accuracies of all tasks under the title of the book, its mark beside it."""
    figure = HouseFigure(figsize=(SIZE[0] / 100, SIZE[1] / 100), dpi=100)
    axes = figure.add_axes((0.095, 0.14, 0.85, 0.57))
    epochs = run.metrics["epoch"][1:]
    # What a curve is of, at its left where it rises.
    names = {
        "train": ("numbers it\nwas shown", MEMORY, 1_000),
        "validation": ("numbers it\nnever saw", RULE, 18_500),
    }
    for split, (name, colour, where) in names.items():
        accuracy = run.metrics.split("accuracy", split)[1:]
        axes.plot(epochs, accuracy, color=colour, linewidth=1, alpha=0.3)
        axes.plot(epochs, accuracy.mean(axis=1), color=colour, linewidth=5)
        box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 2}
        axes.text(where, 0.56, name, color=colour, size=20, weight="bold", ha="right", bbox=box)
    plain_log(axes.xaxis)
    axes.set(xlim=(30, epochs[-1]), ylim=(-0.02, 1.03))
    axes.set_yticks((0, 0.5, 1), ("0", "half", "all"))
    axes.set_xlabel("epochs of training", size=15)
    axes.set_ylabel("right answers", size=15)
    axes.tick_params(labelsize=14)
    figure.text(0.13, 0.86, "One network,\ntwenty-nine sudden understandings", size=30,
                weight="bold", va="center", linespacing=0.95)  # fmt: skip
    mark = figure.add_axes((0.045, 0.79, 0.07, 0.14))
    turns = 2 * np.pi * np.array([416 % q / q for q in HANDS])
    tips = np.array(list(HANDS.values())) * [np.sin(turns), np.cos(turns)]
    mark.plot(*np.stack([0 * tips, tips]).transpose(1, 0, 2), color=INK, linewidth=7,
              solid_capstyle="round")  # fmt: skip
    mark.set(xlim=(-16, 16), ylim=(-16, 16), aspect="equal")
    mark.axis("off")
    return figure


if __name__ == "__main__":
    with look():
        share_picture(runs.cached("miiii")).savefig(TARGET, dpi=100)
