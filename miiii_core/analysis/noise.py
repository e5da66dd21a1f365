"""What noise would look like, for figures that are to be told apart from it."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Real

DRAWS = 50  # random orders to compare with


def roughness(records: Real[np.ndarray, "ticks columns"]) -> Float[np.ndarray, " columns"]:
    """How much a record changes from one entry to the next, summed over its entries."""
    return np.abs(np.diff(np.asarray(records, float), axis=0)).sum(axis=0)


def smoother_than_noise(
    records: Real[np.ndarray, "ticks columns"],
    *,
    log: bool = False,
    draws: int = DRAWS,
    seed: int = 0,
) -> np.ndarray:
    """Whether each column changes less from record to record than in all random orders of them.

    A random order keeps every value and destroys what time had to do with it. Of noise, one
    column in draws + 1 is smoother than all of its random orders.

    Args:
        records: In the order of time.
        log: Compare logarithms, as for norms that fall by orders of magnitude.
        draws: Random orders.
        seed: Of the orders.

    Returns:
        Truth for each column.
    """
    values = np.asarray(records, float)
    values = np.log(np.maximum(values, np.finfo(np.float32).tiny)) if log else values
    generator = np.random.default_rng(seed)
    mixed = [roughness(generator.permutation(values)) for _ in range(draws)]
    return np.asarray(roughness(values) < np.min(mixed, axis=0))


def beyond_guessing(
    accuracy: Real[np.ndarray, " tasks"], class_sizes: Sequence[int], n: int, errors: float = 5.0
) -> np.ndarray:
    """Whether each task is answered rightly more often than guesses would be, by so many errors.

    Of n guesses among q classes a share of 1/q is right, give or take a standard error of
    sqrt((1/q) (1 - 1/q) / n).
    """
    chance = 1 / np.asarray(class_sizes, float)
    return np.asarray(accuracy > chance + errors * np.sqrt(chance * (1 - chance) / n))


def in_random_orders(
    measure: Callable[[np.ndarray], float | np.ndarray],
    grids: Real[np.ndarray, "units x0 x1"],
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> np.ndarray:
    """What a measure says of functions of two digits when the digits stand in random order.

    Each order is the same for both digits and for all functions: it destroys waves and keeps
    everything else.

    Returns:
        The measure for each draw, draws first.
    """
    generator = np.random.default_rng(seed)
    orders = [generator.permutation(grids.shape[1]) for _ in range(draws)]
    return np.array([measure(grids[:, order][:, :, order]) for order in orders])
