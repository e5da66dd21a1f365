"""Our training step beside others: checked to be the same mathematics, then timed in turns."""

import time
from functools import partial
from importlib.util import find_spec
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from miiii_core import train
from miiii_core.config import Config, Precision
from miiii_core.model import Transformer

from . import plain, timing
from .timing import Contender

PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")
TOLERANCE = 1e-9


class Comparison(NamedTuple):
    """What one configuration's steps cost."""

    rates: dict[str, list[float]]  #: Epochs per second of each contender, turn by turn
    products: dict[Precision, str]  #: Share of a large square product's throughput of our step
    differences: dict[str, float]  #: Largest relative difference of a gradient from ours, float64
    evaluations: dict[str, tuple[float, int]]  #: Seconds and number in a whole run, by kind


def compare(config: Config, rounds: int, seconds: float) -> Comparison:
    """Check that all steps agree, then time them.

    Args:
        config: The experiment whose step is timed.
        rounds: Turns that each contender takes.
        seconds: Approximate length of a turn.

    Raises:
        RuntimeError: If a baseline computes another gradient than ours.
    """
    task = train.task_of(config)
    problem, state = train.Problem.of(config, task), train.initial_state(config, task)
    evaluations = evaluation_costs(problem, state)
    others, differences = _baselines(problem, state.model)
    side = 2048 if jax.default_backend() == "cpu" else 8192  # a larger product is no faster
    squares = [square_product(precision, side) for precision in PRECISIONS]
    rates = timing.take_turns([*_ours(config), *others, *squares], rounds, seconds)
    share = step_flops(config, task.n_classes) / (2 * side**3)
    products = {
        p: timing.ratio(rates[f"ours {p}"], rates.pop(f"square {p}"), share) for p in PRECISIONS
    }
    return Comparison(rates, products, differences, evaluations)


def why_no_torch() -> str | None:
    """Why there is no ratio to PyTorch, and what to do about it; None if there is one."""
    if find_spec("torch") is None:
        return "not installed, so no ratio to it; to add it: pip install -e '.[bench]'"
    import torch

    if jax.default_backend() != "cpu" and not torch.cuda.is_available():
        return f"sees no GPU where JAX has a {jax.default_backend()}, so no ratio to it"
    return None


def step_flops(config: Config, n_classes: int) -> int:
    r"""Floating-point operations of one step's products with weights.

    $$3 \cdot \sum 2 \cdot \text{rows} \cdot \text{inner} \cdot \text{columns}$$

    The gradient of a product is two more of its size. Products that only look up or sum are
    not counted.
    """
    n, d, d_mlp = config.task.n_train, config.model.d_model, config.model.d_mlp
    tokens = 2 * config.task.p + 1
    shapes = [
        (1, d, d), (d, d, 1), (tokens, d, config.model.n_heads), (tokens, d, d),
        (n, d, d), (n, d, d_mlp), (n, d_mlp, d), (n, d, n_classes),
    ]  # fmt: skip
    return 3 * sum(2 * rows * inner * columns for rows, inner, columns in shapes)


def square_product(precision: Precision, side: int) -> Contender:
    """A product of two square matrices, to be timed beside the steps."""
    # A GPU left to itself would round the factors of float32.
    kind, how = (jnp.bfloat16, None) if precision == "bfloat16" else (jnp.float32, "highest")
    matrix = jax.random.normal(jax.random.key(0), (side, side)).astype(kind)
    multiply = jax.jit(partial(jnp.matmul, precision=how, preferred_element_type=jnp.float32))

    def steps(n: int) -> float:
        began = time.perf_counter()
        for _ in range(n):
            product = multiply(matrix, matrix)
        jax.block_until_ready(product)
        return time.perf_counter() - began

    return Contender(f"square {precision}", steps)


def evaluation_costs(
    problem: train.Problem, state: train.TrainState
) -> dict[str, tuple[float, int]]:
    """Seconds of each kind of evaluation with its probes, and how often a run does it."""
    config, found = problem.config.train, {}
    for name, epochs in (("narrow", config.ticks), ("wide", config.wide_ticks)):
        measure = partial(train.measure, problem, state, name == "wide")
        found[name] = timing.median_seconds(measure), len(epochs)
    return found


def gradient_difference(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> float:
    """The largest relative difference of two gradients over the matrices.

    Raises:
        RuntimeError: If it exceeds the tolerance: timing would mean nothing.
    """
    apart = {
        name: float(np.linalg.norm(mine - theirs[name]) / np.linalg.norm(mine))
        for name, mine in ours.items()
    }
    worst = max(apart, key=lambda name: apart[name])
    if not apart[worst] <= TOLERANCE:
        raise RuntimeError(
            f"the gradients of {worst} differ by {apart[worst]:.1e} of their size, more than "
            f"{TOLERANCE:.0e}: one of the steps is wrong, so there is nothing to time"
        )
    return apart[worst]


def _ours(config: Config) -> list[Contender]:
    """Our step in each precision."""
    found = []
    for precision in PRECISIONS:
        own = config.replace(precision=precision)
        task = train.task_of(own)
        problem, state = train.Problem.of(own, task), train.initial_state(own, task)
        found.append(timing.contender(f"ours {precision}", train.advance, problem, state))
    return found


def _baselines(
    problem: train.Problem, model: Transformer
) -> tuple[list[Contender], dict[str, float]]:
    """The other steps, and how far each one's gradient is from ours in float64."""
    key, sizes = jax.random.fold_in(problem.key, 0), problem.class_sizes
    ours, other = _gradient(train.objective, model, problem, key), plain.plain_of(model, sizes)
    theirs = _gradient(plain.objective, other, problem, key)
    theirs["W_U"] = plain.packed(theirs["W_U"], sizes)
    differences = {"plain": gradient_difference(ours, theirs)}
    start = plain.initial_state(other, problem.config)
    contenders = [timing.contender("plain float32", plain.advance, problem, start)]
    if why_no_torch() is None and problem.config.optim.update == "adamw":  # its only rule
        from . import torch_step

        with jax.enable_x64(True):
            masks = plain.dropout_masks(problem.config.model, len(problem.digits), key)
        theirs = torch_step.gradient(problem, model, np.asarray(masks, np.float64))
        differences["torch"] = gradient_difference(ours, theirs)
        contenders += [torch_step.contender(problem, model, p) for p in PRECISIONS]
    return contenders, differences


def _gradient(objective: Any, model: Any, problem: Any, key: Array) -> dict[str, np.ndarray]:
    """The gradient of the first step in float64, by matrix."""
    with jax.enable_x64(True):
        model, problem = (
            jax.tree.map(lambda x: x.astype(float) if eqx.is_inexact_array(x) else x, tree)
            for tree in (model, problem)
        )
        found = eqx.filter_jit(jax.grad(objective))(model, problem, key)
    return {n: np.asarray(w) for n, w in vars(found).items() if n.startswith("W_")}
