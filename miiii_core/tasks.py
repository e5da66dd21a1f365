"""The data: every number below p squared, its two digits in base p, and its remainders."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Bool, Float, Int, PRNGKeyArray, Shaped

from .config import TaskConfig, is_prime


def primes_below(p: int) -> tuple[int, ...]:
    """Return all primes below p, ascending."""
    return tuple(q for q in range(2, p) if is_prime(q))


def task_columns(class_sizes: Sequence[int]) -> tuple[slice, ...]:
    """Return the columns of each task, given its number of classes, among all packed ones."""
    ends = np.cumsum(class_sizes, dtype=int)
    return tuple(slice(int(e) - size, int(e)) for e, size in zip(ends, class_sizes, strict=True))


@dataclass(frozen=True, kw_only=True, eq=False)
class Task:
    r"""A family of classification tasks over one p x p grid of inputs.

    Row n of every array belongs to the number $n = x_0 + p x_1$, so the units digit $x_0$
    runs fastest. Classes of all tasks are packed side by side: task i has the columns
    ``columns[i]`` of the logits.
    """

    config: TaskConfig  #: The configuration that the task was made from
    digits: Int[np.ndarray, "n 2"]  #: The inputs $(x_0, x_1)$, both below p
    targets: Int[np.ndarray, "n tasks"]  #: Right classes, each in ``range(class_sizes[i])``
    moduli: tuple[int, ...]  #: The number that each task divides by (T_nanda: p itself)
    class_sizes: tuple[int, ...]  #: Number of classes of each task
    #: Weight of each task's cross-entropy, $1 / (T \ln c_i)$ for T tasks with $c_i$ classes; it is
    #: 0 for masked tasks, which do not count in T
    loss_weights: Float[np.ndarray, " tasks"]
    train: Int[np.ndarray, " n_train"]  #: Rows of the inputs trained on
    validation: Int[np.ndarray, " n_validation"]  #: Rows of the inputs watched in training
    test: Int[np.ndarray, " n_test"]  #: Rows of all other inputs; there may be none when p is small

    @property
    def p(self) -> int:
        """The base of the digits."""
        return self.config.p

    @property
    def n_classes(self) -> int:
        """Number of classes of all tasks together, the width of the packed logits."""
        return sum(self.class_sizes)

    @property
    def columns(self) -> tuple[slice, ...]:
        """Packed columns of each task."""
        return task_columns(self.class_sizes)

    @property
    def held_out(self) -> Int[np.ndarray, " n_held_out"]:
        """Rows of all inputs not trained on, validation and test, ascending."""
        return np.sort(np.concatenate([self.validation, self.test]))

    @property
    def split_members(self) -> Bool[np.ndarray, "3 n"]:
        """Whether each input belongs to each of `SPLITS`; it belongs to exactly one."""
        splits, inputs = (self.train, self.validation, self.test), np.arange(len(self.digits))
        return np.stack([np.isin(inputs, rows) for rows in splits])

    def grid(self, values: Shaped[np.ndarray, "n *rest"]) -> Shaped[np.ndarray, "p p *rest"]:
        """Arrange one value of each input as a grid indexed ``[x0, x1]``."""
        return np.swapaxes(values.reshape(self.p, self.p, *values.shape[1:]), 0, 1)


def make_task(config: TaskConfig, key: PRNGKeyArray) -> Task:
    """Build the inputs, the targets and the split that a configuration asks for.

    The key is the source of the split and, for T_basis, of the shuffle of labels.

    Source: Syrkis & Sogaard (2024), Eqs. 1, 2, 11 and 12; the split sizes follow their text,
    the train fraction of T_miiii their code.
    """
    split_key, shuffle_key = jax.random.split(key)
    p, name = config.p, config.name
    numbers = np.arange(p**2, dtype=np.int32)
    digits = np.stack([numbers % p, numbers // p], axis=1)
    moduli = (p,) if name == "nanda" else primes_below(p)
    class_sizes = (2,) * len(moduli) if name == "divisible" else moduli
    targets = numbers[:, None] % np.asarray(moduli, np.int32)
    if name == "nanda":
        targets = digits.sum(axis=1, keepdims=True) % p
    elif name == "divisible":
        targets = (targets == 0).astype(np.int32)
    elif name == "basis":
        alone = config.shuffle == "per-task"
        targets = np.asarray(jax.random.permutation(shuffle_key, targets, independent=alone))
    counted = np.array([name != "masked" or q not in config.masked for q in moduli])
    order = np.asarray(jax.random.permutation(split_key, len(numbers)))
    cuts = [config.n_train, config.n_train + config.n_validation]
    train, validation, test = np.split(order, cuts)
    return Task(
        config=config,
        digits=digits,
        targets=targets,
        moduli=moduli,
        class_sizes=class_sizes,
        loss_weights=(counted / np.log(class_sizes) / counted.sum()).astype(np.float32),
        train=train,
        validation=validation,
        test=test,
    )
