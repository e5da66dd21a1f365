r"""The network as a detector of primes: n is prime if no other prime q divides it.

Every composite below $p^2$ has a prime factor below p, so the remainders by all primes q < p
decide. A prime below p has remainder 0 by itself, which does not count against it; 0 and 1
are not prime whatever their remainders.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from ..tasks import task_columns
from .exam import Tensor


class Confusion(NamedTuple):
    """How a detector does on some numbers.

    Attributes:
        found: Primes that it calls prime.
        missed: Primes that it calls composite.
        slipped: Composites, 0 and 1 among them, that it calls prime.
        refused: Composites that it calls composite.
    """

    found: int
    missed: int
    slipped: int
    refused: int

    @property
    def precision(self) -> float:
        """Share of primes among what it calls prime; 0 if it calls nothing prime."""
        return self.found / max(self.found + self.slipped, 1)

    @property
    def recall(self) -> float:
        """Share of the primes that it finds."""
        return self.found / max(self.found + self.missed, 1)


def said_to_divide(
    logits: Float[Tensor, "n n_classes"], class_sizes: Sequence[int]
) -> Bool[np.ndarray, "n moduli"]:
    """Which moduli a network says divide each number: those whose answer is remainder 0."""
    values = np.asarray(logits)
    columns = task_columns(class_sizes)
    return np.stack([values[:, o.start] >= values[:, o].max(axis=1) for o in columns], axis=1)


def called_prime(
    divides: Bool[np.ndarray, "n moduli"], numbers: Int[np.ndarray, " n"], moduli: Sequence[int]
) -> Bool[np.ndarray, " n"]:
    """Which numbers are prime, if these moduli divide them and no others.

    Args:
        divides: By each modulus.
        numbers: Which are divided.
        moduli: All primes up to the root of the largest number, or more.

    Raises:
        ValueError: unless the shapes agree.
    """
    if divides.shape != (len(numbers), len(moduli)):
        raise ValueError(
            f"answers of shape {divides.shape} were given for {len(numbers)} numbers and "
            f"{len(moduli)} moduli; give one row for each number and a column for each modulus"
        )
    others = divides & (numbers[:, None] != np.asarray(moduli)[None])
    return (numbers > 1) & ~others.any(axis=1)


def sieve(numbers: Int[np.ndarray, " n"], moduli: Sequence[int]) -> Bool[np.ndarray, " n"]:
    """Which numbers are prime, by their true remainders."""
    return called_prime(_divides(numbers, moduli), numbers, moduli)


def confusion(called: Bool[np.ndarray, " called"], prime: Bool[np.ndarray, " n"]) -> Confusion:
    """Count what a detector calls prime against what is.

    Raises:
        ValueError: unless both are of the same numbers.
    """
    if called.shape != prime.shape:
        raise ValueError(
            f"{len(called)} numbers were called and {len(prime)} are known; give as many"
        )
    counts = (called & prime, ~called & prime, called & ~prime, ~called & ~prime)
    return Confusion(*(int(c.sum()) for c in counts))


def guarded_by(
    numbers: Int[np.ndarray, " n"], moduli: Sequence[int]
) -> Bool[np.ndarray, "moduli n"]:
    """Composites that one modulus alone refuses: those that call prime without it.

    No other of the moduli divides them. They are its powers and its products with primes that
    are not among the moduli.
    """
    truth, divides = sieve(numbers, moduli), _divides(numbers, moduli)
    without = (divides & (np.asarray(moduli) != q) for q in moduli)
    return np.stack([called_prime(rest, numbers, moduli) & ~truth for rest in without])


def _divides(numbers: Int[np.ndarray, " n"], moduli: Sequence[int]) -> Bool[np.ndarray, "n moduli"]:
    return numbers[:, None] % np.asarray(moduli) == 0
