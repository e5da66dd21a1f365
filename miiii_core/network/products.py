"""Matrix products in a chosen precision, as fast backward as forward."""

from functools import partial

import jax
import jax.numpy as jnp
from jax.experimental.layout import Layout, with_layout_constraint
from jaxtyping import Array, Float

from ..config import Precision


def product(
    x: Float[Array, "n d_in"], weight: Float[Array, "d_in d_out"], precision: Precision
) -> Float[Array, "n d_out"]:
    """``x @ weight``; in bfloat16 only the operands are rounded, and sums are float32.

    Args:
        x: Activations.
        weight: A matrix of weights.
        precision: ``"bfloat16"`` rounds what is multiplied, here and in the backward
            pass; others multiply in the operands' own type, on a GPU too, which left
            to itself would round float32 to TF32's eleven digits.
    """
    if precision == "bfloat16":
        return _bfloat16_product(x, weight)
    return jnp.matmul(x, weight, precision="highest")


@jax.custom_vjp
def _bfloat16_product(
    x: Float[Array, "n d_in"], weight: Float[Array, "d_in d_out"]
) -> Float[Array, "n d_out"]:
    return _forward(x, weight)[0]


def _forward(x: Array, weight: Array) -> tuple[Array, tuple[Array, Array]]:
    x, weight = x.astype(jnp.bfloat16), weight.astype(jnp.bfloat16)
    return _multiply(x, weight), (x, weight)


def _backward(saved: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    x, weight = saved
    gradient = gradient.astype(jnp.bfloat16)
    return _multiply(gradient, _transposed(weight)), _multiply(_transposed(x), gradient)


_bfloat16_product.defvjp(_forward, _backward)

_multiply = partial(jnp.matmul, preferred_element_type=jnp.float32)


def _transposed(matrix: Float[Array, "rows columns"]) -> Float[Array, "columns rows"]:
    """The transpose, on a CPU as a row-major copy.

    XLA would fold a plain transpose into the product, which on a CPU is slower than
    the copy and the product together; a GPU reads either way equally fast.
    """
    return jax.lax.platform_dependent(matrix, cpu=_row_major_transpose, default=jnp.transpose)


def _row_major_transpose(matrix: Array) -> Array:
    return with_layout_constraint(
        jax.lax.optimization_barrier(matrix.T), Layout(major_to_minor=(0, 1))
    )
