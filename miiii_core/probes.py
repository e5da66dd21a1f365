"""Named quantities recorded while training, computed inside the compiled evaluation."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .losses import split_means
from .model import WEIGHT_NAMES, Activations, Transformer
from .spectral import active_frequencies, frequency_power_2d


class View(NamedTuple):
    """What a probe may look at.

    Attributes:
        model: The weights.
        activations: Over the full grid, dropout off.
        losses: In nats, for each input and task.
        split_members: Which inputs belong to train, validation and test.
        gradients: Computes the raw and the filtered gradient of the step to come.
    """

    model: Transformer
    activations: Activations
    losses: Float[Array, "n tasks"]
    split_members: Bool[Array, "3 n"]
    gradients: Callable[[], tuple[Transformer, Transformer]]


class Probe(NamedTuple):
    """A function from a `View` to named arrays, and the axes of each beside the epoch."""

    measure: Callable[[View], dict[str, Array]]
    axes: dict[str, tuple[str, ...]]


def _norms(view: View) -> dict[str, Array]:
    """L2 norm of each matrix, of its gradient, and of its filtered gradient."""
    raw, filtered = view.gradients()
    return {
        "weight_norm": _matrix_norms(view.model),
        "grad_norm": _matrix_norms(raw),
        "filtered_grad_norm": _matrix_norms(filtered),
    }


def _matrix_norms(model: Transformer) -> Float[Array, " matrix"]:
    return jnp.stack([jnp.linalg.norm(model.weights[name].ravel()) for name in WEIGHT_NAMES])


def _zero_loss(view: View) -> dict[str, Array]:
    """Share of inputs whose loss is exactly 0: float32 has no gradient left for them."""
    exactly_zero = (view.losses == 0).astype(view.losses.dtype)
    return {"zero_loss_share": split_means(exactly_zero, view.split_members)}


def _neuron_spectrum(view: View) -> dict[str, Array]:
    """Where on the p-DFT the post-ReLU neurons have their variance.

    Each neuron's power map is divided by its sum, so that every neuron that
    varies counts alike; one that is constant counts as zero everywhere.
    """
    p = view.model.p
    grids = jnp.swapaxes(view.activations.neurons.T.reshape(-1, p, p), 1, 2)
    energy = jnp.asarray(frequency_power_2d(grids))
    active = active_frequencies(energy)
    power = energy.at[:, 0, 0].set(0.0)
    total = power.sum(axis=(1, 2), keepdims=True)
    share = jnp.where(total > 0, power / jnp.where(total > 0, total, 1.0), 0.0)
    return {
        "neuron_power": share.mean(axis=0),
        "neuron_power_spread": share.std(axis=0),
        "first_neuron_power": power[0],
        "active_per_neuron": active.sum(axis=(1, 2)).astype(jnp.float32).mean(),
        "active_share": active.mean(axis=0),
    }


PROBES = {
    "norms": Probe(
        _norms,
        {name: ("matrix",) for name in ("weight_norm", "grad_norm", "filtered_grad_norm")},
    ),
    "zero_loss": Probe(_zero_loss, {"zero_loss_share": ("split", "task")}),
    "neuron_spectrum": Probe(
        _neuron_spectrum,
        {
            "neuron_power": ("k0", "k1"),
            "neuron_power_spread": ("k0", "k1"),
            "first_neuron_power": ("k0", "k1"),
            "active_per_neuron": (),
            "active_share": ("k0", "k1"),
        },
    ),
}
