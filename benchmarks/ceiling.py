"""How much of a device's matrix-product throughput a training step makes use of."""

import time
from functools import partial

import jax
import jax.numpy as jnp

from miiii_core.config import Config, Precision

from .timing import Contender

SIDE = {"cpu": 2048}  # of the square product; large enough that a larger one is no faster
ACCELERATOR_SIDE = 8192


def step_flops(config: Config, n_classes: int) -> int:
    r"""Floating-point operations of one step's products with weights.

    $$3 \cdot \sum 2 \cdot \text{rows} \cdot \text{inner} \cdot \text{columns}$$

    The gradient of a product is two more of its size. Not counted are products that
    only look up or sum: those with one-hot digits, and with the matrix of classes and
    tasks.

    Args:
        config: The experiment.
        n_classes: Classes of all tasks together.
    """
    shapes = product_shapes(config, n_classes)
    return 3 * sum(2 * rows * inner * columns for rows, inner, columns in shapes)


def product_shapes(config: Config, n_classes: int) -> list[tuple[int, int, int]]:
    """Rows, inner size and columns of each product in a forward pass."""
    n, d, d_mlp = config.task.n_train, config.model.d_model, config.model.d_mlp
    tokens = 2 * config.task.p + 1
    return [
        (1, d, d),  # query of the read-out token
        (d, d, 1),  # query and W_K: what each head looks for in the stream
        (tokens, d, config.model.n_heads),  # scores
        (tokens, d, d),  # values
        (n, d, d),  # W_O
        (n, d, d_mlp),  # W_in
        (n, d_mlp, d),  # W_out
        (n, d, n_classes),  # W_U
    ]


def square_product(precision: Precision, side: int) -> Contender:
    """A product of two square matrices, to be timed beside the steps."""
    # As in `products`: a GPU left to itself would round the factors of float32.
    kind, how = (jnp.bfloat16, None) if precision == "bfloat16" else (jnp.float32, "highest")
    matrix = jax.random.normal(jax.random.key(0), (side, side)).astype(kind)
    multiply = jax.jit(partial(jnp.matmul, precision=how, preferred_element_type=jnp.float32))

    def steps(n: int) -> float:
        began = time.perf_counter()
        for _ in range(n):
            product = multiply(matrix, matrix)
        jax.block_until_ready(product)
        return time.perf_counter() - began

    return Contender(f"ceiling {precision}", steps)


def square_side(device: jax.Device) -> int:
    """Side of the square product for a device."""
    return SIDE.get(device.platform, ACCELERATOR_SIDE)


def square_flops(side: int) -> int:
    """Floating-point operations of one square product."""
    return 2 * side**3
