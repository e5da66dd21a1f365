"""The same training step as one would first write it in equinox, to measure ours against.

Every position goes through the whole block, inputs are mapped over one at a time,
tokens and labels are looked up by index, and all tasks have as many classes as the
largest, the surplus masked out. It is compiled and looped over as ours is.
"""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from miiii_core.config import Config, ModelConfig
from miiii_core.model import Transformer
from miiii_core.optim import optimiser
from miiii_core.train import Problem


class Plain(eqx.Module):
    """The transformer on whole sequences, with a padded unembedding for each task."""

    W_E: Float[Array, "p+1 d_model"]
    W_pos: Float[Array, "3 d_model"]
    W_Q: Float[Array, "heads d_model d_head"]
    W_K: Float[Array, "heads d_model d_head"]
    W_V: Float[Array, "heads d_model d_head"]
    W_O: Float[Array, "heads d_head d_model"]
    W_in: Float[Array, "d_model d_mlp"]
    W_out: Float[Array, "d_mlp d_model"]
    W_U: Float[Array, "tasks d_model largest"]

    def __call__(
        self, tokens: Int[Array, " 3"], masks: Float[Array, "2 d_model"]
    ) -> Float[Array, "tasks largest"]:
        """Logits of one input, read at its last token; masks for the stream after each add."""
        stream = self.W_E[tokens] + self.W_pos
        stream = (stream + self._attention(stream)) * masks[:1]
        stream = (stream + jax.nn.relu(stream @ self.W_in) @ self.W_out) * masks[1:]
        return jnp.einsum("d,tdc->tc", stream[-1], self.W_U)

    def _attention(self, stream: Float[Array, "3 d_model"]) -> Float[Array, "3 d_model"]:
        query, key, value = (
            jnp.einsum("sd,hde->hse", stream, w) for w in (self.W_Q, self.W_K, self.W_V)
        )
        scores = jnp.einsum("hse,hte->hst", query, key) / query.shape[-1] ** 0.5
        mixed = jnp.einsum("hst,hte->hse", jax.nn.softmax(scores), value)
        return jnp.einsum("hse,hed->sd", mixed, self.W_O)


def plain_of(model: Transformer, class_sizes: Sequence[int]) -> Plain:
    """The same weights in the plain version's shapes, zeros to fill up the unembeddings."""
    weights = {name: jnp.array(w) for name, w in model.weights.items()}
    columns = jnp.split(weights.pop("W_U"), np.cumsum(class_sizes)[:-1].tolist(), axis=1)
    filled = [jnp.pad(w, ((0, 0), (0, max(class_sizes) - w.shape[1]))) for w in columns]
    return Plain(**weights, W_U=jnp.stack(filled))


def packed(
    W_U: Float[np.ndarray, "t d c"], class_sizes: Sequence[int]
) -> Float[np.ndarray, "d classes"]:
    """The columns of classes that tasks really have, side by side, as our model has them."""
    return np.concatenate([w[:, :n] for w, n in zip(W_U, class_sizes, strict=True)], axis=1)


def objective(model: Plain, problem: Problem, key: PRNGKeyArray) -> Float[Array, ""]:
    """The weighted mean of every task's cross-entropy."""
    readout = jnp.full((len(problem.digits), 1), len(model.W_E) - 1, jnp.int32)
    tokens = jnp.concatenate([problem.digits, readout], axis=1)
    masks = dropout_masks(problem.config.model, len(tokens), key)
    # A mask that all inputs share is not mapped over.
    logits = jax.vmap(model, (0, 0 if masks.ndim == 3 else None))(tokens, masks)
    is_class = np.arange(logits.shape[2]) < np.array(problem.class_sizes)[:, None]
    logits = jnp.where(is_class[None], logits, -jnp.inf)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, problem.targets)
    return jnp.mean(losses @ problem.loss_weights)


def dropout_masks(
    config: ModelConfig, n: int, key: PRNGKeyArray
) -> Float[Array, "n 2 d_model"] | Float[Array, "2 d_model"]:
    """The draws that our step makes: one mask for each add, and for each input if asked."""
    keep = 1 - config.dropout
    shape = (config.d_model,) if config.dropout_mask == "shared" else (n, config.d_model)
    # The draw is in float32 for any precision, as ours is.
    draws = [
        jax.random.bernoulli(part, jnp.float32(keep), shape) / keep
        for part in jax.random.split(key)
    ]
    return jnp.stack(draws, axis=-2)


@eqx.filter_jit(donate="all-except-first")
def advance(
    problem: Problem, state: tuple[Plain, PyTree, Array], n_epochs: Int[Array, ""]
) -> tuple[tuple[Plain, PyTree, Array], Float[Array, ""]]:
    """Take steps inside one compiled loop."""
    transformation = optimiser(problem.config.optim, problem.config.train.epochs)

    def step(_: Array, carry: tuple) -> tuple:
        (model, opt_state, epoch), _ = carry
        key = jax.random.fold_in(problem.key, epoch)
        loss, gradient = jax.value_and_grad(objective)(model, problem, key)
        updates, opt_state = transformation.update(gradient, opt_state, model)
        return (optax.apply_updates(model, updates), opt_state, epoch + 1), loss

    return jax.lax.fori_loop(0, n_epochs, step, (state, jnp.zeros((), jnp.float32)))


def initial_state(model: Plain, config: Config) -> tuple[Plain, PyTree, Array]:
    """The state before the first step."""
    return model, optimiser(config.optim, config.train.epochs).init(model), jnp.zeros((), jnp.int32)
