"""The transformer: one block, no biases, no layer norm, read at the last token."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ..config import ModelConfig
from .products import product

WEIGHT_NAMES = ("W_E", "W_pos", "W_Q", "W_K", "W_V", "W_O", "W_in", "W_out", "W_U")


def weight_type(config: ModelConfig) -> jnp.dtype:
    """The type of weights, sums and losses in training."""
    return jnp.dtype(jnp.float64 if config.precision == "float64" else jnp.float32)


class Activations(eqx.Module):
    """What the network computes at the read-out position, for n inputs.

    Attributes:
        attention: Share of attention on x0, x1 and the read-out token; rows sum to 1.
        resid_pre: Embedding of the read-out token.
        head_out: What each head adds to the stream.
        resid_mid: The stream after attention.
        neurons_pre: Neurons before the ReLU.
        neurons: Neurons after the ReLU.
        resid_post: The stream after the neurons.
        logits: Packed over all tasks.
    """

    attention: Float[Array, "n heads 3"]
    resid_pre: Float[Array, " d_model"]
    head_out: Float[Array, "n heads d_model"]
    resid_mid: Float[Array, "n d_model"]
    neurons_pre: Float[Array, "n d_mlp"]
    neurons: Float[Array, "n d_mlp"]
    resid_post: Float[Array, "n d_model"]
    logits: Float[Array, "n n_classes"]


class Tables(NamedTuple):
    """Everything that the read-out token can see, one row a token.

    Rows: every x0 at position 0, every x1 at position 1, the read-out token at position 2.

    Attributes:
        scores: Of the read-out token's query, scaled, before the softmax.
        values: What each head would move.
        resid_pre: Embedding of the read-out token.
    """

    scores: Float[Array, "2*p+1 heads"]
    values: Float[Array, "2*p+1 heads d_head"]
    resid_pre: Float[Array, " d_model"]


class Transformer(eqx.Module):
    r"""One transformer block over the three tokens $[x_0, x_1, \hat y]$.

    $$z = W_E[x] + W_{pos}, \quad r = z + \sum_h A_h z W_V^h W_O^h, \quad
    \text{logits} = (r + \text{ReLU}(r W_{in}) W_{out}) W_U$$

    Only the last token $\hat y$ (index p) is read, and its query is the same for
    every input, so keys and values are tables of p rows per digit position and
    everything after attention is computed for that token alone. That is exact:
    with one block, no other position's output is ever used.

    Source: Syrkis & Sogaard (2024), Eqs. 7-11; heads are added as in Nanda et
    al. (2023). Dropout follows each residual add and acts on the whole stream.
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
        r"""Draw weights from normal distributions.

        With ``init="he"`` their variance is $2 / \text{fan-in}$, and leading axes count into
        the fan-in, as in the paper's public code: heads for W_Q, W_K and W_V, tasks for W_U.
        Its W_pos outweighs W_E so far that most neurons are on, or off, for every input.
        With ``init="nanda"`` it is $1 / d_{model}$, and one over the classes for W_U.

        Args:
            config: Widths and dropout.
            p: Base of the digits; tokens run from 0 to p.
            n_tasks: Tasks that share W_U.
            n_classes: Classes of all tasks together.
            key: Source of the weights, one independent key for each matrix.

        Source: He et al. (2015), Eq. 10; Nanda et al. (2023), whose code has it.
        """
        d, heads, d_head, d_mlp = config.d_model, config.n_heads, config.d_head, config.d_mlp
        shapes_and_fans = {
            "W_E": ((p + 1, d), p + 1),
            "W_pos": ((3, d), 3),
            "W_Q": ((heads, d, d_head), heads * d),
            "W_K": ((heads, d, d_head), heads * d),
            "W_V": ((heads, d, d_head), heads * d),
            "W_O": ((heads, d_head, d), d),
            "W_in": ((d, d_mlp), d),
            "W_out": ((d_mlp, d), d_mlp),
            "W_U": ((d, n_classes), n_tasks * d),
        }
        keys = jax.random.split(key, len(WEIGHT_NAMES))
        for name, subkey in zip(WEIGHT_NAMES, keys, strict=True):
            shape, fan_in = shapes_and_fans[name]
            if config.init == "nanda":
                fan_in = 2 * (n_classes if name == "W_U" else d)
            # Drawn in float32 for any precision, so that all start from the same weights.
            weight = jax.random.normal(subkey, shape, jnp.float32) * (2 / fan_in) ** 0.5
            setattr(self, name, weight.astype(weight_type(config)))
        self.config = config

    @property
    def p(self) -> int:
        """Base of the digits, and index of the read-out token."""
        return self.W_E.shape[0] - 1

    @property
    def weights(self) -> dict[str, Float[Array, "..."]]:
        """The nine matrices by name, in the order the input meets them."""
        return {name: getattr(self, name) for name in WEIGHT_NAMES}

    def __call__(
        self,
        digits: Int[Array, "n 2"],
        *,
        key: PRNGKeyArray | None = None,
        keep: Float[Array, ""] | None = None,
    ) -> Float[Array, "n n_classes"]:
        """Packed logits of n inputs.

        Args:
            digits: The pairs (x0, x1), both in ``range(p)``.
            key: Draws the dropout masks; without one nothing is dropped.
            keep: Share of the stream that dropout keeps, in (0, 1]; the configuration's
                ``1 - dropout`` if not given.
        """
        mid_key, post_key = (None, None) if key is None else jax.random.split(key)
        _, mixed, resid_pre = self._attend(digits)
        heads_to_stream = self.W_O.reshape(-1, self.config.d_model)
        out = self._times(mixed.reshape(len(digits), -1), heads_to_stream)
        resid_mid = self._drop(resid_pre[None] + out, mid_key, keep)
        neurons = jax.nn.relu(self._times(resid_mid, self.W_in))
        resid_post = resid_mid + self._times(neurons, self.W_out)
        return self._times(self._drop(resid_post, post_key, keep), self.W_U)

    @eqx.filter_jit
    def activations(self, digits: Int[Array, "n 2"]) -> Activations:
        """Everything the network computes on the way, with nothing dropped.

        Args:
            digits: The pairs (x0, x1), both in ``range(p)``.
        """
        with jax.default_matmul_precision("highest"):
            attention, mixed, resid_pre = self._attend(digits)
            head_out = jnp.einsum("nhe,hed->nhd", mixed, self.W_O)
            resid_mid = resid_pre[None] + head_out.sum(axis=1)
            neurons_pre, neurons, resid_post = self.mlp(resid_mid)
            logits = self.unembed(resid_post)
        return Activations(
            attention=attention,
            resid_pre=resid_pre,
            head_out=head_out,
            resid_mid=resid_mid,
            neurons_pre=neurons_pre,
            neurons=neurons,
            resid_post=resid_post,
            logits=logits,
        )

    def mlp(
        self, resid_mid: Float[Array, "n d_model"]
    ) -> tuple[Float[Array, "n d_mlp"], Float[Array, "n d_mlp"], Float[Array, "n d_model"]]:
        """Neurons before and after the ReLU, and the stream they are added to (Eq. 9)."""
        neurons_pre = resid_mid @ self.W_in
        neurons = jax.nn.relu(neurons_pre)
        return neurons_pre, neurons, resid_mid + neurons @ self.W_out

    def unembed(self, resid_post: Float[Array, "n d_model"]) -> Float[Array, "n n_classes"]:
        """Packed logits of a residual stream (Eq. 10)."""
        return resid_post @ self.W_U

    def tables(self) -> Tables:
        """What the read-out token can attend to, token by token (Eq. 8)."""
        p, d_head = self.p, self.config.d_head
        resid_pre = self.W_E[p] + self.W_pos[2]
        tokens = jnp.concatenate(
            [self.W_E[:p] + self.W_pos[:1], self.W_E[:p] + self.W_pos[1:2], resid_pre[None]]
        )
        query = jnp.einsum("d,hde->he", resid_pre, self.W_Q)
        # Contracting query and W_K first leaves one d_model vector a head to meet the tokens.
        scores = tokens @ jnp.einsum("hde,he->dh", self.W_K, query) / d_head**0.5
        return Tables(scores, jnp.einsum("td,hde->the", tokens, self.W_V), resid_pre)

    def _attend(
        self, digits: Int[Array, "n 2"]
    ) -> tuple[Float[Array, "n heads 3"], Float[Array, "n heads d_head"], Float[Array, " d_model"]]:
        """Attention of the read-out token, the values it mixes, and its own embedding (Eq. 8)."""
        p, heads, d_head = self.p, self.config.n_heads, self.config.d_head
        scores, values, resid_pre = self.tables()
        values = values.reshape(-1, heads * d_head)
        x0, x1 = digits[:, 0], digits[:, 1]
        score0, score1 = _lookup(scores[:p], x0), _lookup(scores[p : 2 * p], x1)
        at_end = jnp.broadcast_to(scores[2 * p], score0.shape)
        attention = jax.nn.softmax(jnp.stack([score0, score1, at_end], axis=2), axis=2)
        value0, value1, value_end = (
            value.reshape(-1, heads, d_head)
            for value in (_lookup(values[:p], x0), _lookup(values[p : 2 * p], x1), values[2 * p])
        )
        share0, share1, share_end = (attention[:, :, place, None] for place in range(3))
        mixed = share0 * value0 + share1 * value1 + share_end * value_end
        return attention, mixed, resid_pre

    def _times(
        self, x: Float[Array, "n d_in"], weight: Float[Array, "d_in d_out"]
    ) -> Float[Array, "n d_out"]:
        """A product in the precision that training was asked for."""
        return product(x, weight, self.config.precision)

    def _drop(
        self,
        stream: Float[Array, "n d_model"],
        key: PRNGKeyArray | None,
        keep: Float[Array, ""] | None = None,
    ) -> Float[Array, "n d_model"]:
        """Zero a share of the stream and scale up the rest (inverted dropout)."""
        if key is None or (keep is None and self.config.dropout == 0):
            return stream
        share = 1 - self.config.dropout if keep is None else keep
        shape = (1, stream.shape[1]) if self.config.dropout_mask == "shared" else stream.shape
        return stream * (jax.random.bernoulli(key, jnp.float32(share), shape) / share)


@jax.custom_vjp
def _lookup(table: Float[Array, "p d"], index: Int[Array, " n"]) -> Float[Array, "n d"]:
    """Rows of a table. Its gradient is a one-hot product: quick, and the same every time.

    A scatter, the gradient of plain indexing, adds in no fixed order on a GPU.
    """
    return table[index]


def _lookup_forward(table: Array, index: Array) -> tuple[Array, tuple[Array, int]]:
    return table[index], (index, len(table))


def _lookup_backward(saved: tuple[Array, int], gradient: Array) -> tuple[Array, None]:
    index, rows = saved
    one_hot = jax.nn.one_hot(index, rows, dtype=gradient.dtype, axis=0)
    return jnp.matmul(one_hot, gradient, precision="highest"), None


_lookup.defvjp(_lookup_forward, _lookup_backward)
