"""The read-out's attention and some neurons over the full grid, from tables that fit a record.

Attention of the read-out token and all that it moves depend on the inputs through tables of
one row a token: p rows for x0, p for x1, one for the read-out token itself. A record of these
tables is a record of the whole grid, exact and smaller by a factor of about p.
"""

import numpy as np
from jaxtyping import Float


def attention_grid(
    scores: Float[np.ndarray, "token heads"],
) -> Float[np.ndarray, "3 x0 x1 heads"]:
    """Attention of the read-out token on x0, x1 and itself; the first axis sums to 1 (Eq. 8).

    Args:
        scores: Scaled, before the softmax; 2p + 1 tokens as in `Transformer.tables`.
    """
    stacked = np.stack(np.broadcast_arrays(*_per_place(scores)))
    weight = np.exp(stacked - stacked.max(axis=0))
    return weight / weight.sum(axis=0)


def neuron_grids(
    scores: Float[np.ndarray, "token heads"],
    reads: Float[np.ndarray, "token heads neurons"],
    base: Float[np.ndarray, " neurons"],
) -> Float[np.ndarray, "neurons x0 x1"]:
    """Neurons after the ReLU, over all inputs (Eq. 9).

    Args:
        scores: As in `attention_grid`.
        reads: What each neuron reads of a head that attends to this token alone.
        base: What each neuron reads of the read-out token's own embedding.
    """
    attention = attention_grid(scores)[..., None]
    moved = sum(share * part for share, part in zip(attention, _per_place(reads), strict=True))
    return np.moveaxis(np.maximum(np.sum(moved, axis=2) + base, 0), -1, 0)


def _per_place(table: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of x0, of x1 and of the read-out token, with axes (x0, x1, ...) that broadcast."""
    p = len(table) // 2
    return table[:p, None], table[None, p : 2 * p], table[None, 2 * p :]
