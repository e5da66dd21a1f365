"""The transformer: one block, no biases, no layer norm, read at the last token."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.layout import Layout, with_layout_constraint
from jaxtyping import Array, Float, Int, PRNGKeyArray

from .config import ModelConfig, Precision

WEIGHT_NAMES = ("W_E", "W_pos", "W_Q", "W_K", "W_V", "W_O", "W_in", "W_out", "W_U")
# The arrays of a forward pass that can be edited, in the order in which they are computed.
SITES = ("attention", "head_out", "resid_mid", "neurons_pre", "neurons", "resid_post")
Keep = Float[Array, ""] | None
Stream = Float[Array, "n d_model"]
Edit = Mapping[str, Callable[[Array], Any]]
Tables = tuple[
    Float[Array, "tokens heads"], Float[Array, "tokens heads d_head"], Float[Array, " d_model"]
]


def weight_type(config: ModelConfig) -> jnp.dtype:
    """Return the type of weights, sums and losses in training."""
    return jnp.dtype(jnp.float64 if config.precision == "float64" else jnp.float32)


@contextmanager
def numerics(config: ModelConfig) -> Iterator[None]:
    """Let JAX compute as a configuration says, whatever its flags and variables say.

    Types of numbers, random bits and the rounding of products are those that every run is made
    with, so that a run is the same run wherever it is trained, resumed or read.
    """
    with (
        jax.enable_x64(config.precision == "float64"),
        jax.threefry_partitionable(True),
        jax.default_matmul_precision(None),
        jax.numpy_dtype_promotion("standard"),
        jax.softmax_custom_jvp(False),
        jax.debug_nans(False),  # of an empty split the accuracy is NaN
    ):
        yield


class Activations(eqx.Module):
    """What the network computes at the read-out position, for n inputs."""

    attention: Float[Array, "n heads 3"]  #: Shares on x0, x1 and the read-out token; sum 1
    resid_pre: Float[Array, " d_model"]  #: Embedding of the read-out token
    head_out: Float[Array, "n heads d_model"]  #: What each head adds to the residual stream
    resid_mid: Float[Array, "n d_model"]  #: The residual stream after attention
    neurons_pre: Float[Array, "n d_mlp"]  #: Neurons before the ReLU
    neurons: Float[Array, "n d_mlp"]  #: Neurons after the ReLU
    resid_post: Float[Array, "n d_model"]  #: The residual stream after the neurons
    logits: Float[Array, "n n_classes"]  #: Logits of all tasks, packed side by side


class Transformer(eqx.Module):
    r"""One transformer block over the three tokens $[x_0, x_1, \hat y]$.

    $$z = W_E[x] + W_{pos}, \quad r = z + \sum_h A_h z W_V^h W_O^h, \quad
    \text{logits} = (r + \text{ReLU}(r W_{in}) W_{out}) W_U$$

    Only the last token $\hat y$ (index p) is read, and its query is the same for every input,
    so keys and values are tables of p rows per digit position, and everything after attention
    is computed for that token alone. That is exact: with one block, no other position's
    output is ever used.

    Source: Syrkis & Sogaard (2024), Eqs. 7-11; heads are added as in Nanda et al. (2023).
    Dropout follows each residual add and acts on the whole stream.
    """

    W_E: Float[Array, "p+1 d_model"]
    W_pos: Float[Array, "3 d_model"]
    W_Q: Float[Array, "heads d_model d_head"]
    W_K: Float[Array, "heads d_model d_head"]
    W_V: Float[Array, "heads d_model d_head"]
    W_O: Float[Array, "heads d_head d_model"]
    W_in: Float[Array, "d_model d_mlp"]
    W_out: Float[Array, "d_mlp d_model"]
    W_U: Float[Array, "d_model n_classes"]
    config: ModelConfig = eqx.field(static=True)

    def __init__(
        self, config: ModelConfig, *, p: int, n_tasks: int, n_classes: int, key: PRNGKeyArray
    ):
        r"""Draw weights from normal distributions, each matrix by a key of its own.

        Tokens run from 0 to p; all tasks share W_U, and have ``n_classes`` together. With
        ``init="he"`` the variance is $2 / \text{fan-in}$, and leading axes count into the
        fan-in, as in the paper's public code: heads for W_Q, W_K and W_V, tasks for W_U. Its
        W_pos outweighs W_E so far that most neurons are on, or off, for every input. With
        ``init="nanda"`` it is $1 / d_{model}$, and one over the classes for W_U.

        Source: He et al. (2015), Eq. 10; Nanda et al. (2023), their code.
        """
        d, heads, d_head, d_mlp = config.d_model, config.n_heads, config.d_head, config.d_mlp
        read = ((heads, d, d_head), heads * d)
        shapes_and_fans = {
            "W_E": ((p + 1, d), p + 1), "W_pos": ((3, d), 3),
            "W_Q": read, "W_K": read, "W_V": read, "W_O": ((heads, d_head, d), d),
            "W_in": ((d, d_mlp), d), "W_out": ((d_mlp, d), d_mlp),
            "W_U": ((d, n_classes), n_tasks * d),
        }  # fmt: skip
        largest = max(math.prod(shape) for shape, _ in shapes_and_fans.values())
        keys = jax.random.split(key, len(WEIGHT_NAMES))
        for name, subkey in zip(WEIGHT_NAMES, keys, strict=True):
            shape, fan_in = shapes_and_fans[name]
            if config.init == "nanda":
                fan_in = 2 * (n_classes if name == "W_U" else d)
            # Drawn in float32 for any precision, so that all start from the same weights. A draw
            # depends on its key and place alone: one length for all needs one compiled program.
            drawn = jax.random.normal(subkey, (largest,), jnp.float32)[: math.prod(shape)]
            weight = drawn.reshape(shape) * (2 / fan_in) ** 0.5
            setattr(self, name, weight.astype(weight_type(config)))
        self.config = config

    @property
    def p(self) -> int:
        """Base of the digits, and index of the read-out token."""
        return self.W_E.shape[0] - 1

    @property
    def weights(self) -> dict[str, Float[Array, "..."]]:
        """The nine matrices by name, in the order in which the input meets them."""
        return {name: getattr(self, name) for name in WEIGHT_NAMES}

    def __call__(
        self, digits: Int[Array, "n 2"], *, key: PRNGKeyArray | None = None, keep: Keep = None
    ) -> Float[Array, "n n_classes"]:
        """Compute the packed logits of n inputs, in the precision of the configuration.

        Digits are both in ``range(p)``. The key is the source of the dropout masks; without one
        nothing is dropped. Dropout keeps the share ``keep`` of the stream, in (0, 1], or, if that
        is not given, ``1 - dropout``.
        """
        return self._forward(digits, self.config.precision, {}, key, keep)["logits"]

    def activations(
        self, digits: Int[np.ndarray | Array, "n 2"], edit: Edit | None = None
    ) -> Activations:
        """Compute everything on the way to the logits, with nothing dropped.

        Products are in float32, or in float64 if the weights are. An edit has, for some of `SITES`,
        a function from the site's array to one of the same shape, from which all that follows is
        computed. A ``jax.tree_util.Partial`` of a function and arrays compiles once for all arrays
        of their shapes, a lambda each time. ValueError for digits that are no pairs, or not in
        ``range(p)``; and if an edit names no site, or changes a shape.
        """
        right = digits.ndim == 2 and digits.shape[1] == 2
        if right and digits.size and not isinstance(digits, jax.core.Tracer):
            right = bool(0 <= digits.min() <= digits.max() < self.p)
        if not right:
            raise ValueError(
                f"digits of shape {digits.shape} were given; give pairs of shape (n, 2), all in "
                f"range({self.p})"
            )
        with numerics(self.config):
            return _activations(self, jnp.asarray(digits), edit or {})

    def tables(self) -> Tables:
        """Compute all that the read-out token can attend to (Eq. 8).

        Returns:
            Of each token, the read-out token's scaled score before the softmax, and what each
            head would move of it; then the embedding of the read-out token. The 2p + 1 tokens
            are every x0 at position 0, every x1 at position 1, the read-out token at 2.
        """
        p, d_head = self.p, self.config.d_head
        resid_pre = self.W_E[p] + self.W_pos[2]
        tokens = jnp.concatenate(
            [self.W_E[:p] + self.W_pos[:1], self.W_E[:p] + self.W_pos[1:2], resid_pre[None]]
        )
        query = jnp.einsum("d,hde->he", resid_pre, self.W_Q)
        # Contracting query and W_K first leaves one d_model vector a head to meet the tokens.
        scores = tokens @ jnp.einsum("hde,he->dh", self.W_K, query) / d_head**0.5
        return scores, jnp.einsum("td,hde->the", tokens, self.W_V), resid_pre

    def _forward(
        self,
        digits: Int[Array, "n 2"],
        precision: Precision,
        edit: Edit,
        key: PRNGKeyArray | None = None,
        keep: Keep = None,
        per_head: bool = False,
    ) -> dict[str, Array]:
        """The one forward pass: every array of `Activations` by name.

        Without ``per_head``, as in training, one product writes all heads to the stream.
        """
        if unknown := set(edit) - set(SITES):
            raise ValueError(f"no site is called {sorted(unknown)}; edit any of {', '.join(SITES)}")
        times = partial(product, precision=precision)
        mid_key, post_key = (None, None) if key is None else jax.random.split(key)
        found: dict[str, Array] = {}

        def at(site: str, value: Array) -> Array:
            found[site] = jnp.asarray(edit[site](value), value.dtype) if site in edit else value
            if (shape := found[site].shape) != value.shape:
                raise ValueError(f"the edit of {site} gave shape {shape}; give {value.shape}")
            return found[site]

        mixed, resid_pre = self._attend(digits, at)
        if per_head:
            each = jnp.einsum("nhe,hed->nhd", mixed, self.W_O, precision="highest")
            out = at("head_out", each).sum(axis=1)
        else:
            out = times(mixed.reshape(len(digits), -1), self.W_O.reshape(-1, self.config.d_model))
        resid_mid = self._drop(at("resid_mid", resid_pre[None] + out), mid_key, keep)
        neurons = at("neurons", jax.nn.relu(at("neurons_pre", times(resid_mid, self.W_in))))
        resid_post = at("resid_post", resid_mid + times(neurons, self.W_out))
        logits = times(self._drop(resid_post, post_key, keep), self.W_U)
        return found | {"resid_pre": resid_pre, "logits": logits}

    def _attend(
        self, digits: Int[Array, "n 2"], at: Callable[[str, Array], Array]
    ) -> tuple[Float[Array, "n heads d_head"], Float[Array, " d_model"]]:
        """What attention mixes for the read-out token, and that token's embedding (Eq. 8)."""
        p, (x0, x1) = self.p, digits.T
        with jax.default_matmul_precision("highest"):  # a GPU would round float32 to TF32
            scores, values, resid_pre = self.tables()

        def per_place(table: Float[Array, "tokens *rest"]) -> tuple[Array, Array, Array]:
            return _lookup(table[:p], x0), _lookup(table[p : 2 * p], x1), table[2 * p :]

        score0, score1, score_end = per_place(scores)
        stacked = jnp.stack([score0, score1, jnp.broadcast_to(score_end, score0.shape)], axis=2)
        attention = at("attention", jax.nn.softmax(stacked, axis=2))
        value0, value1, value_end = per_place(values)
        share0, share1, share_end = (attention[:, :, place, None] for place in range(3))
        return share0 * value0 + share1 * value1 + share_end * value_end, resid_pre

    def _drop(self, stream: Stream, key: PRNGKeyArray | None, keep: Keep) -> Stream:
        """Zero a share of the stream and scale up the rest (inverted dropout)."""
        if key is None or (keep is None and self.config.dropout == 0):
            return stream
        share = 1 - self.config.dropout if keep is None else keep
        shape = (1, stream.shape[1]) if self.config.dropout_mask == "shared" else stream.shape
        return stream * (jax.random.bernoulli(key, jnp.float32(share), shape) / share)


@eqx.filter_jit
def _activations(model: Transformer, digits: Int[Array, "n 2"], edit: Edit) -> Activations:
    return Activations(**model._forward(digits, "float32", edit, per_head=True))


def logit_map(model: Transformer) -> Float[np.ndarray, "neurons n_classes"]:
    """Return W_out·W_U, what each neuron adds to the logits, in double precision."""
    return np.asarray(model.W_out, float) @ np.asarray(model.W_U, float)


def product(
    x: Float[Array, "n d_in"], weight: Float[Array, "d_in d_out"], precision: Precision
) -> Float[Array, "n d_out"]:
    """Return ``x @ weight``; in bfloat16 only the operands are rounded, and sums are float32.

    The gradient's operands are rounded alike. Other precisions multiply in the operands' own
    type, on a GPU too, which left to itself would round float32 to TF32's eleven digits.
    """
    if precision == "bfloat16":
        return _bfloat16_product(x, weight)
    return jnp.matmul(x, weight, precision="highest")


def _bfloat16_forward(x: Array, weight: Array) -> tuple[Array, tuple[Array, Array]]:
    x, weight = x.astype(jnp.bfloat16), weight.astype(jnp.bfloat16)
    return _multiply(x, weight), (x, weight)


def _bfloat16_backward(saved: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    x, weight = saved
    gradient = gradient.astype(jnp.bfloat16)
    return _multiply(gradient, _transposed(weight)), _multiply(_transposed(x), gradient)


_bfloat16_product = jax.custom_vjp(lambda x, weight: _bfloat16_forward(x, weight)[0])
_bfloat16_product.defvjp(_bfloat16_forward, _bfloat16_backward)
_multiply = partial(jnp.matmul, preferred_element_type=jnp.float32)


def _transposed(matrix: Float[Array, "rows columns"]) -> Float[Array, "columns rows"]:
    """The transpose, on a CPU as a row-major copy.

    A transpose folded into the product is slower there than copy and product; not so on a GPU.
    """

    def copied(matrix: Array) -> Array:
        rows_first = Layout(major_to_minor=(0, 1))
        return with_layout_constraint(jax.lax.optimization_barrier(matrix.T), rows_first)

    return jax.lax.platform_dependent(matrix, cpu=copied, default=jnp.transpose)


@jax.custom_vjp
def _lookup(table: Float[Array, "p *rest"], index: Int[Array, " n"]) -> Float[Array, "n *rest"]:
    """Rows of a table, with a one-hot product for a gradient.

    A scatter, the gradient of plain indexing, adds in no fixed order on a GPU.
    """
    return table[index]


def _lookup_backward(saved: tuple[Array, int], gradient: Array) -> tuple[Array, None]:
    index, rows = saved
    one_hot = jax.nn.one_hot(index, rows, dtype=gradient.dtype, axis=0)
    return jnp.tensordot(one_hot, gradient, axes=1, precision="highest"), None


_lookup.defvjp(lambda table, index: (table[index], (index, len(table))), _lookup_backward)
