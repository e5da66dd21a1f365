"""Whether two training steps are the same mathematics: compared before anything is timed."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float

from miiii_core.network.model import Transformer
from miiii_core.training import train

from . import baseline

TOLERANCE = 1e-9


class Result(NamedTuple):
    """A loss and its gradient for each matrix, W_U packed as ours is."""

    loss: float
    gradient: dict[str, np.ndarray]


def our_result(problem: train.Problem, model: Transformer) -> Result:
    """Our first training step in float64."""
    with jax.enable_x64(True):
        model, problem = doubled(model), doubled(problem)
        loss, gradient = _loss_and_gradient(train.objective, model, problem, first_key(problem))
        return Result(float(loss), {k: np.asarray(w) for k, w in gradient.weights.items()})


def plain_result(problem: baseline.BaselineProblem, model: baseline.Baseline) -> Result:
    """The plain version's first training step in float64."""
    with jax.enable_x64(True):
        model, problem = doubled(model), doubled(problem)
        loss, gradient = _loss_and_gradient(baseline.objective, model, problem, first_key(problem))
        names = [name for name in vars(gradient) if name != "W_U"]
        packed = baseline.packed(gradient.W_U, problem.is_class)
        weights = {name: np.asarray(getattr(gradient, name)) for name in names}
        return Result(float(loss), weights | {"W_U": np.asarray(packed)})


def first_masks(problem: train.Problem) -> Float[np.ndarray, "*n 2 d_model"]:
    """The dropout masks of our first step, in float64."""
    with jax.enable_x64(True):
        config, key = problem.config.model, first_key(problem)
        return np.asarray(baseline.dropout_masks(config, len(problem.digits), key), np.float64)


def first_key(problem: train.Problem | baseline.BaselineProblem) -> Array:
    """What our first step draws its masks from."""
    return jax.random.fold_in(problem.key, 0)


def check_equal(name: str, ours: Result, theirs: Result) -> dict[str, float]:
    """Relative differences of the two losses, and of the gradients where they differ most.

    In float32 a neuron within rounding of zero can be on in one and off in the
    other; among millions there are some, and a gradient made of many terms that
    nearly cancel shows it. In float64 only a real difference is left.

    Raises:
        RuntimeError: if one is larger than the tolerance: the timing would mean nothing.
    """
    apart = {key: _apart(w, theirs.gradient[key]) for key, w in ours.gradient.items()}
    found = {"loss": abs(ours.loss - theirs.loss) / abs(theirs.loss)} | apart
    largest = max(found, key=lambda key: found[key])
    if not all(value <= TOLERANCE for value in found.values()):
        raise RuntimeError(
            f"our step and the {name} one differ: {largest} by {found[largest]:.1e} of its "
            f"size, more than {TOLERANCE:.0e}; one of them is wrong, so there is nothing to time"
        )
    return {"loss": found["loss"], "gradient": max(apart.values())}


def doubled(tree: Any) -> Any:
    """The same in float64."""
    return jax.tree.map(lambda x: x.astype(float) if eqx.is_inexact_array(x) else x, tree)


def _apart(mine: np.ndarray, other: np.ndarray) -> float:
    return float(np.linalg.norm((mine - other).ravel()) / np.linalg.norm(other.ravel()))


@eqx.filter_jit
def _loss_and_gradient(objective: Any, model: Any, problem: Any, key: Array) -> Any:
    return jax.value_and_grad(objective)(model, problem, key)
