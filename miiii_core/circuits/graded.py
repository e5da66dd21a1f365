"""Graded ablation: a few units taken out, then more, each time against random others."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ..tasks import Task
from .ablation import Scores, mean_scores

Tensor = np.ndarray | Array


class Graded(NamedTuple):
    """Scores as more and more units are taken out.

    Attributes:
        doses: How many are taken out.
        chosen: The first of the given order, axes (dose, task).
        controls: As many drawn at random from the others, axes (draw, dose, task).
    """

    doses: Int[np.ndarray, " dose"]
    chosen: Scores
    controls: Scores


def graded_ablation(
    ablate: Callable[[Bool[Array, " units"]], Float[Array, "rows n_classes"]],
    order: Int[Tensor, " units"],
    doses: Sequence[int],
    task: Task,
    *,
    rows: Int[Tensor, " rows"] | None = None,
    draws: int = 20,
    seed: int = 0,
) -> Graded:
    """Take out the first few units of an order, then more, against random sets of equal size.

    A set that holds most of the network cannot be told from a random one of that size, so
    each control is drawn from the units that are not in the set, of which there must be
    enough: no dose exceeds half of the units.

    Args:
        ablate: Logits of those rows for a mask of the units taken out.
        order: All units, the first to go first.
        doses: How many to take out.
        task: The targets.
        rows: Inputs over which scores are averaged; all by default.
        draws: Random sets for each dose.
        seed: Of the draws.

    Raises:
        ValueError: for an order that does not name each unit once, no doses or one beyond half
            of the units, less than one draw, no rows, or logits of other rows.
    """
    targets = jnp.asarray(task.targets if rows is None else task.targets[np.asarray(rows)])
    if not len(targets):
        raise ValueError("no rows were given to average over; give at least one, or None for all")

    def scored(removed: Bool[Array, " units"]) -> Scores:
        logits = ablate(removed)
        if logits.shape != (len(targets), task.n_classes):
            raise ValueError(
                f"ablate gave logits of shape {logits.shape}; those of the rows have "
                f"{(len(targets), task.n_classes)}"
            )
        return mean_scores(logits, targets, task.class_sizes)

    masks = _graded_masks(np.asarray(order), list(doses), draws, seed)
    flat = jnp.asarray(masks.reshape(-1, masks.shape[-1]))
    scores = jax.lax.map(scored, flat)
    loss, accuracy = (np.asarray(s).reshape(*masks.shape[:2], -1) for s in scores)
    return Graded(np.asarray(doses), Scores(loss[0], accuracy[0]), Scores(loss[1:], accuracy[1:]))


def _graded_masks(
    order: np.ndarray, doses: list[int], draws: int, seed: int
) -> Bool[np.ndarray, "sets dose units"]:
    """Masks of the chosen sets (first row) and of their controls."""
    units = len(order)
    if sorted(order.tolist()) != list(range(units)):
        raise ValueError(f"order must name each of its {units} units once, as 0 to {units - 1}")
    wrong = [dose for dose in doses if not 0 <= dose <= units // 2]
    if wrong or not doses or draws < 1:
        raise ValueError(
            f"doses={doses}, draws={draws} will not do; give doses from 0 to {units // 2}, half "
            "of the units, so that as many others are left to draw from, and at least 1 draw"
        )
    generator = np.random.default_rng(seed)
    masks = np.zeros((1 + draws, len(doses), units), bool)
    for column, dose in enumerate(doses):
        masks[0, column, order[:dose]] = True
        for row in masks[1:, column]:
            row[generator.permutation(order[dose:])[:dose]] = True
    return masks
