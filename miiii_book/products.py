r"""Clusters of neurons that multiply two waves and write the wave of the sum of both angles.

A wave is one complex number z, which stands for $|z| \cos(w x + \arg z)$ in an orthonormal basis.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Complex, Float, Int

from miiii_core.addition import EXPLAINED, AdditionMeasures
from miiii_core.model import logit_map
from miiii_core.runs import Run
from miiii_core.shares import TINY, digit_waves, purity, unit_grids
from miiii_core.tasks import Task
from miiii_core.waves import turns, waves_of

from .rules import Tensor, remainder_moduli

Phasors = Complex[np.ndarray, " neurons"]
PURE = 0.5  # share of a neuron's interaction part in one pair, so that it belongs to no second one


class Patterns(NamedTuple):
    """Shares of what products of waves put into the logits, by what they depend on."""

    wanted: float  #: Share on the cosine of the sum of both angles less the class
    turned: float  #: Share on the sine of it
    mirrored: float  #: Share on the sum of both angles plus the class
    difference: float  #: Share on the difference of both angles


class Cluster(NamedTuple):
    """The neurons of one wave, and the waves in each."""

    modulus: int  #: Number of the classes that they write: p, or a prime below it
    frequency: int  #: Cycles k of their wave over the classes
    neurons: Int[np.ndarray, " neurons"]  #: Numbers of the neurons
    digits: Complex[np.ndarray, "neurons 2"]  #: Waves in x0 and in x1 alone
    total: Phasors  #: Wave in the sum of both angles, cos·cos - sin·sin and sin·cos + cos·sin
    difference: Phasors  #: Wave in the difference of both angles
    written: Phasors  #: Wave that the neuron writes along the classes

    def aligned(self, shift: int = 0) -> float:
        """Average the cosine from the phase computed to that written by so many neurons on."""
        return alignment(self.total, np.roll(self.written, shift))

    def locked(self, shift: int = 0) -> Float[np.ndarray, " neurons"]:
        """Return the share of each neuron's products that is cos·cos of its two digits' phases.

        The phases are those of so many neurons on; unrelated ones have a quarter on average.
        """
        first, second = np.exp(-1j * np.angle(np.roll(self.digits, shift, axis=0))).T
        # cos·cos is half a wave of the sum and half one of the difference, each 1/√2 of a unit.
        along = (first * (self.total * second + self.difference * second.conj())).real
        energy = np.abs(self.total) ** 2 + np.abs(self.difference) ** 2
        return along**2 / 2 / np.maximum(energy, TINY)

    def patterns(self, *, together: bool) -> Patterns:
        """Measure what the products write: added up, so that waves cancel, or each alone."""
        ways = self.written.conj(), self.written
        each = np.stack([wave * way for wave in (self.total, self.difference) for way in ways])
        own, *others = each.sum(axis=1, keepdims=True) if together else each
        mirrored, *differences = (np.abs(others) ** 2).sum(axis=1)
        energies = (own.real**2).sum(), (own.imag**2).sum(), mirrored, sum(differences)
        return Patterns(*(float(energy / max(sum(energies), TINY)) for energy in energies))


def alignment(first: Phasors, second: Phasors) -> float:
    """Average the cosine of the angle from one wave's phase to the other's; NaN for no waves."""
    return float(np.cos(np.angle(first) - np.angle(second)).mean()) if len(first) else np.nan


def cluster(
    modulus: int,
    frequency: int,
    neurons: Int[np.ndarray, " neurons"],
    grids: Float[np.ndarray, "all x0 x1"],
    writes: Float[Tensor, "all classes"],
    weight: int = 1,
) -> Cluster:
    """Take some neurons of one wave of x0 + weight·x1 apart, by the grids and writes of all."""
    values, p = np.asarray(grids[neurons], float), grids.shape[1]
    turns = frequency * np.array([1, weight]) % modulus / modulus  # a step of x0, of x1
    first, second = _phasors(p, turns)
    (along,) = _phasors(modulus, turns[:1])
    halves = first @ values  # the wave in x0, at each x1
    digits = np.stack([halves.mean(axis=1), values.mean(axis=1) @ second], axis=1) * np.sqrt(p)
    total, difference = (halves @ each / np.sqrt(2) for each in (second, second.conj()))
    written = np.asarray(writes[neurons], float) @ along
    return Cluster(modulus, frequency, neurons, digits, total, difference, written)


def _phasors(p: int, frequencies: Float[np.ndarray, " waves"]) -> Complex[np.ndarray, "waves p"]:
    """Return the cosine of each frequency less i times its sine, of length 1 and mean 0 each."""
    return digit_waves(p, frequencies) @ np.array([1, -1j])


def shares_at(
    table: Float[np.ndarray, "p columns"], frequencies: Float[np.ndarray, " waves"]
) -> Float[np.ndarray, " waves"]:
    """Return the share of a table's energy along the wave of each frequency, its mean row left out.

    The waves are no basis: their shares may add up to more than 1.
    """
    rows = np.asarray(table, float) - table.mean(axis=0)
    return (np.abs(_phasors(len(rows), frequencies) @ rows) ** 2).sum(axis=1) / (rows**2).sum()


def addition_clusters(run: Run, found: AdditionMeasures) -> list[Cluster]:
    """Take apart the neurons of each key frequency of a run of T_nanda, by its measures."""
    grids, writes = unit_grids(run.task, run.activations().neurons), logit_map(run.model)
    own = np.where(found.share > EXPLAINED, found.frequency, 0)
    return [cluster(run.task.p, k, np.flatnonzero(own == k), grids, writes) for k in found.key]


def remainder_clusters(
    task: Task, neurons: Float[Tensor, "n neurons"], writes: Float[Tensor, "neurons n_classes"]
) -> list[Cluster]:
    """Find the neurons that multiply two waves of one n mod q, by q and k.

    There is a cluster for each wave with two neurons or more that have half of their interaction
    part in its products, but for q = 2, which has no phase. Neurons are after the ReLU, over all
    inputs, and write W_out·W_U.
    """
    (_, *moduli), grids, clusters = remainder_moduli(task), unit_grids(task, neurons), []
    columns = dict(zip(task.moduli, task.columns, strict=True))
    (found,) = purity(grids, *turns(waves_of(moduli), np.array([1, task.p])))
    own = np.where(found.both >= PURE, found.pair, -1)
    for i, (q, k) in enumerate(zip(*waves_of(moduli), strict=True)):
        mine = np.flatnonzero(own == i)
        if len(mine) > 1:
            clusters.append(cluster(int(q), int(k), mine, grids, writes[:, columns[q]], task.p))
    return clusters
