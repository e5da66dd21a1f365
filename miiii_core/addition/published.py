"""What others have published, and how near a measurement must come to count as agreeing.

The bounds were fixed before our runs were measured. They are wide on purpose: another seed and
another length of training make other numbers, and what is asked is whether the same kind of
network comes out, not the same network.
"""

import math
from typing import NamedTuple


class Published(NamedTuple):
    """One number and the interval that agrees with it.

    Attributes:
        what: The quantity, with its unit.
        value: As published.
        low: Least value that agrees.
        high: Largest value that agrees.
    """

    what: str
    value: float
    low: float = -math.inf
    high: float = math.inf

    def agrees(self, low: float, high: float | None = None) -> bool:
        """Whether a value, or one known to lie from low to high, can be within the bounds."""
        return low <= self.high and (low if high is None else high) >= self.low


# Nanda et al. (2023), "Progress measures for grokking via mechanistic interpretability",
# arXiv 2301.05217: addition modulo 113. Names are those of `survey.AdditionMeasures`.
NANDA = {
    # Five in the run they take apart, three or four for other seeds.
    "key_frequencies": Published("key frequencies", 5, low=3, high=5),
    "neurons_explained": Published(
        "share of neurons with over 85 % of their variance at one frequency", 433 / 512, low=0.75
    ),
    "heads_explained": Published(
        "least share of a head's weights at one frequency", 0.979, low=0.95
    ),
    "map_residual": Published(
        "norm of W_L outside the key directions, over that of W_L", 0.0055, high=0.05
    ),
    "sums_explained": Published(
        "least share of a key direction of the neurons in its wave of x0 + x1", 0.93, low=0.9
    ),
    "logits_explained": Published(
        "share of the logits' variance in cos(w(x0 + x1 - c)) of key frequencies", 0.95, low=0.9
    ),
    # All frequencies but the key ones removed, their loss fell by 70 %.
    "restricted_ratio": Published("restricted loss over loss", 0.3, high=1.0),
    "complement_ratio": Published(
        "loss outside the key directions of the classes, over that of guessing",
        5.27 / math.log(113),
        low=1.0,
    ),
    # An epoch agrees within a factor of two.
    "memorised": Published("memorisation ends (epoch)", 1400, low=700, high=2800),
    "formed": Published("circuit formation ends (epoch)", 9400, low=4700, high=18800),
    "cleaned": Published("cleanup ends (epoch)", 14000, low=7000, high=28000),
}

# Standard deviations of the first weights in the public code of Syrkis & Søgaard (2024), at
# d = 256, 4 heads, p = 113 and 29 tasks.
FIRST_WEIGHTS = {
    "W_E": 0.1325,
    "W_pos": 0.816,
    "W_Q": 0.044,
    "W_K": 0.044,
    "W_V": 0.044,
    "W_O": 0.088,
    "W_in": 0.088,
    "W_out": 0.044,
    "W_U": 0.0164,
}
