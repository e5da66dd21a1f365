r"""What neurons of modular addition do with waves: phases, products, and what a cluster adds up.

A wave is held as one complex number z, standing for $|z| \cos(w x + \arg z)$, in the
orthonormal Fourier basis, so that $|z|^2$ is its energy over the inputs.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Complex, Float, Int

from ..analysis.spectral import fourier_1d, fourier_2d

Tensor = np.ndarray | Array


class NeuronWaves(NamedTuple):
    """The waves of one frequency in each neuron.

    Attributes:
        digits: In x0 and in x1 alone.
        total: In x0 + x1, which is what cos·cos - sin·sin and sin·cos + cos·sin are.
        difference: In x0 - x1.
        energy: Of all of the neuron but its mean, whatever the frequency.
    """

    digits: Complex[np.ndarray, "neurons 2"]
    total: Complex[np.ndarray, " neurons"]
    difference: Complex[np.ndarray, " neurons"]
    energy: Float[np.ndarray, " neurons"]


def neuron_waves(
    grids: Float[Tensor, "neurons x0 x1"], frequency: Int[Tensor, " neurons"]
) -> NeuronWaves:
    """Take each neuron apart at a frequency of its own, 1 to (p-1)/2.

    Raises:
        ValueError: for a frequency outside that range.
    """
    grids, k = np.asarray(grids, float), _frequencies(frequency, grids.shape[-1])
    components = np.asarray(fourier_2d(grids - grids.mean(axis=(1, 2), keepdims=True)))
    each, cos, sin = np.arange(len(grids)), 2 * k - 1, 2 * k
    zero = np.zeros_like(k)
    alone = [(components[each, i, zero], components[each, zero, i]) for i in (cos, sin)]
    products = [[components[each, i, j] for j in (cos, sin)] for i in (cos, sin)]
    energy = (components**2).sum(axis=(1, 2))
    return joined(np.array(alone), np.array(products), energy)


def joined(
    alone: Float[np.ndarray, "2 2 neurons"],
    products: Float[np.ndarray, "2 2 neurons"],
    energy: Float[np.ndarray, " neurons"],
) -> NeuronWaves:
    """Waves from components along unit cosines and sines.

    Args:
        alone: Along cos and sin (first axis) of x0 and x1 (second axis).
        products: Along cos and sin of x0 (first axis) times cos and sin of x1 (second axis).
        energy: Of all of the neuron but its mean.
    """
    (cc, cs), (sc, ss) = products
    return NeuronWaves(
        digits=(alone[0] - 1j * alone[1]).T,
        total=((cc - ss) - 1j * (sc + cs)) / np.sqrt(2),
        difference=((cc + ss) - 1j * (sc - cs)) / np.sqrt(2),
        energy=energy,
    )


class ProductFit(NamedTuple):
    """How well a product of two waves describes each neuron.

    Attributes:
        share: Of the neuron's variance, in the best sum of the two waves and their product.
        locked: Of the variance in products of waves of both digits (four of them, so that
            unrelated phases would have a quarter), in this one product.
    """

    share: Float[np.ndarray, " neurons"]
    locked: Float[np.ndarray, " neurons"]


def fit_product(
    waves: NeuronWaves, phases: Float[np.ndarray, "neurons 2"] | None = None
) -> ProductFit:
    r"""Fit $a\cos\alpha_0 + b\cos\alpha_1 + c\cos\alpha_0\cos\alpha_1$, $\alpha_i = wx_i + \phi_i$.

    Args:
        waves: Of neurons that vary.
        phases: The two phases of each neuron; by default those of its own waves of one digit,
            so that the product has no freedom left but its size.
    """
    phi = np.angle(waves.digits) if phases is None else phases
    alone = ((waves.digits * np.exp(-1j * phi)).real ** 2).sum(axis=1)
    total = waves.total * np.exp(-1j * phi.sum(axis=1))
    difference = waves.difference * np.exp(-1j * (phi[:, 0] - phi[:, 1]))
    # cos·cos is half a wave of the sum and half one of the difference, each 1/√2 of a unit.
    product = (total.real + difference.real) ** 2 / 2
    products = np.abs(waves.total) ** 2 + np.abs(waves.difference) ** 2
    tiny = np.finfo(float).tiny
    return ProductFit(
        (alone + product) / np.maximum(waves.energy, tiny), product / np.maximum(products, tiny)
    )


def written_waves(
    logit_map: Float[Tensor, "neurons p"], frequency: Int[Tensor, " neurons"]
) -> Complex[np.ndarray, " neurons"]:
    """The wave of its frequency that each neuron writes along the classes.

    Args:
        logit_map: W_out·W_U.
        frequency: Of each neuron, 1 to (p-1)/2.
    """
    columns = np.asarray(logit_map, float)
    k, each = _frequencies(frequency, columns.shape[1]), np.arange(len(columns))
    components = np.asarray(fourier_1d(columns.T))
    return components[2 * k - 1, each] - 1j * components[2 * k, each]


class Patterns(NamedTuple):
    """Shares of what products of waves put into the logits, by what they depend on.

    Attributes:
        wanted: On cos(w(x0 + x1 - c)), largest for the right class.
        turned: On sin(w(x0 + x1 - c)).
        mirrored: On w(x0 + x1 + c).
        difference: On x0 - x1.
    """

    wanted: float
    turned: float
    mirrored: float
    difference: float


def patterns(
    waves: NeuronWaves, written: Complex[np.ndarray, " neurons"], *, together: bool = True
) -> Patterns:
    """What a cluster of neurons of one frequency writes, all added up or each by itself.

    Added up, waves of neurons may cancel: that is how the unwanted go.
    """
    columns = [
        waves.total * written.conj(),
        waves.total * written,
        waves.difference * written.conj(),
        waves.difference * written,
    ]
    parts = [(c.sum(keepdims=True) if together else c) for c in columns]
    energies = [(parts[0].real ** 2).sum(), (parts[0].imag ** 2).sum()]
    energies += [(np.abs(part) ** 2).sum() for part in parts[1:]]
    all_of_it = max(sum(energies), np.finfo(float).tiny)
    wanted, turned, mirrored, *differences = (float(e / all_of_it) for e in energies)
    return Patterns(wanted, turned, mirrored, sum(differences))


def alignment(
    first: Complex[np.ndarray, " neurons"], second: Complex[np.ndarray, " neurons"]
) -> float:
    """Mean cosine of the angle from one wave's phase to the other's: 1 aligned, 0 unrelated."""
    return float(np.cos(np.angle(first) - np.angle(second)).mean()) if len(first) else np.nan


class Cluster(NamedTuple):
    """The neurons of one frequency, and the trigonometry that they do.

    Controls: phases of the next neuron of the cluster, and another frequency.

    Attributes:
        modulus: Of the classes that they write: p, or a prime q below it.
        frequency: k of their waves, k/modulus of a cycle per class.
        neurons: Their numbers.
        fit: Share of each neuron's variance that `fit_product` explains.
        fit_other_phases: The same with another neuron's phases.
        fit_other_frequency: The same at another key frequency; nan if there is none.
        locked: Share of the products in cos·cos with the phases of the neuron's own waves.
        locked_other_phases: The same with another neuron's phases.
        total: Share of the products that are a wave of x0 + x1; the rest is of x0 - x1.
        digits_aligned: Mean cosine between the phases of x0 and of x1.
        sum_aligned: ... between the wave of x0 + x1 and the sum of these two phases.
        written_aligned: ... between the wave of x0 + x1 and the one written along the classes.
        written_aligned_control: ... and the one that another neuron writes.
        phases: Of the wave of x0 + x1, and of the one written, in radians.
        digit_phases: Of the waves of x0 and of x1.
        alone: What single neurons write through their products, cancelling nothing.
        together: What the cluster writes.
    """

    modulus: int
    frequency: int
    neurons: Int[np.ndarray, " neurons"]
    fit: Float[np.ndarray, " neurons"]
    fit_other_phases: Float[np.ndarray, " neurons"]
    fit_other_frequency: Float[np.ndarray, " neurons"]
    locked: Float[np.ndarray, " neurons"]
    locked_other_phases: Float[np.ndarray, " neurons"]
    total: Float[np.ndarray, " neurons"]
    digits_aligned: float
    sum_aligned: float
    written_aligned: float
    written_aligned_control: float
    phases: Float[np.ndarray, "neurons 2"]
    digit_phases: Float[np.ndarray, "neurons 2"]
    alone: Patterns
    together: Patterns


def cluster(
    frequency: int,
    other: int | None,
    neurons: Int[np.ndarray, " neurons"],
    grids: Float[Tensor, "neurons x0 x1"],
    logit_map: Float[Tensor, "neurons p"],
) -> Cluster:
    """Measure the neurons of one key frequency of modular addition.

    Args:
        frequency: Theirs.
        other: Another one, as a control.
        neurons: Their numbers.
        grids: Their activations after the ReLU.
        logit_map: Their rows of W_out·W_U.
    """
    own = np.full(len(grids), frequency)
    wrong = None if other is None else neuron_waves(grids, np.full(len(grids), other))
    waves, written = neuron_waves(grids, own), written_waves(logit_map, own)
    return measured((grids.shape[-1], frequency), neurons, waves, written, wrong)


def measured(
    wave: tuple[int, int],
    neurons: Int[np.ndarray, " neurons"],
    waves: NeuronWaves,
    written: Complex[np.ndarray, " neurons"],
    wrong: NeuronWaves | None,
) -> Cluster:
    """What a cluster does with its waves, of whatever frequencies these are.

    Args:
        wave: Modulus and k.
        neurons: Numbers of the cluster's neurons.
        waves: Theirs.
        written: What each writes along the classes.
        wrong: Waves of another frequency in the same neurons, as a control.
    """
    fit, borrowed = fit_product(waves), fit_product(waves, np.roll(np.angle(waves.digits), 1, 0))
    sums, products = np.abs(waves.total) ** 2, np.abs(waves.difference) ** 2
    return Cluster(
        modulus=wave[0],
        frequency=wave[1],
        neurons=neurons,
        fit=fit.share,
        fit_other_phases=borrowed.share,
        fit_other_frequency=np.full(len(neurons), np.nan)
        if wrong is None
        else fit_product(wrong).share,
        locked=fit.locked,
        locked_other_phases=borrowed.locked,
        total=sums / np.maximum(sums + products, np.finfo(float).tiny),
        digits_aligned=alignment(waves.digits[:, 0], waves.digits[:, 1]),
        sum_aligned=alignment(waves.total, waves.digits.prod(axis=1)),
        written_aligned=alignment(waves.total, written),
        written_aligned_control=alignment(waves.total, np.roll(written, 1)),
        phases=np.angle(np.stack([waves.total, written], axis=1)),
        digit_phases=np.angle(waves.digits),
        alone=patterns(waves, written, together=False),
        together=patterns(waves, written),
    )


def _frequencies(frequency: Tensor, p: int) -> np.ndarray:
    k = np.asarray(frequency)
    if ((k < 1) | (k > (p - 1) // 2)).any():
        raise ValueError(
            f"frequencies from {k.min()} to {k.max()} were given; at p = {p} take 1 to "
            f"{(p - 1) // 2}, one for each neuron"
        )
    return k
