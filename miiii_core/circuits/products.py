r"""Products of waves in T_miiii: clusters of neurons that write one wave of one n mod q.

What `addition.trigonometry` finds in modular addition, asked of remainders. There the waves have
$k/q$ cycles per step of $x_0$ and $(pk \bmod q)/q$ per step of $x_1$, so the product of two has
a wave of $x_0 k/q + x_1 pk/q$, which is a wave of $n$, and one of the difference, which is of no
use. For q = 2 the two are one wave, and there is nothing to tell apart.
"""

import numpy as np
from jaxtyping import Float

from ..addition.trigonometry import Cluster, NeuronWaves, joined, measured, written_waves
from ..analysis.atoms import waves_of
from ..analysis.blocks import Grids, unit_grids
from ..analysis.pairs import Pairs, digit_waves, nearest_pair, remainder_pairs
from ..tasks import Task
from .exam import Tensor
from .formula import remainder_moduli

PURE = 0.5  # of a neuron's interaction part, in one pair: so that it belongs to no second one


def remainder_clusters(
    task: Task, neurons: Float[Tensor, "n neurons"], logit_map: Float[Tensor, "neurons n_classes"]
) -> list[Cluster]:
    """The neurons that multiply two waves of one n mod q, by q and k.

    Args:
        task: Of remainders.
        neurons: After the ReLU, over all inputs.
        logit_map: W_out·W_U, packed as the logits are.

    Returns:
        A cluster for each wave with two neurons or more that have half of their interaction part
        in its products; k up to q/2, as k and q - k are one wave. The control of another
        frequency is the wave of the next cluster.

    Raises:
        ValueError: for a task whose classes are no remainders of n.
    """
    moduli = remainder_moduli(task)
    q, k = (each.astype(int) for each in waves_of(moduli))
    kept = (2 * k < q).nonzero()[0]
    q, k = q[kept], k[kept]
    pairs = Pairs(*(each[kept] for each in remainder_pairs(moduli, task.p)))
    grids = unit_grids(task, neurons)
    nearest = nearest_pair(grids, pairs)
    own = np.where(nearest.share >= PURE, nearest.pair, -1)
    there = [i for i in range(len(q)) if (own == i).sum() > 1]
    writes = np.asarray(logit_map, float)
    clusters = []
    for i, other in zip(there, np.roll(there, -1), strict=True):
        mine = (own == i).nonzero()[0]
        column = task.columns[moduli.index(q[i])]
        waves, alien = (pair_waves(grids[mine], *(e[j] for e in pairs)) for j in (i, other))
        written = written_waves(writes[mine][:, column], np.full(len(mine), k[i]))
        wave = int(q[i]), int(k[i])
        clusters.append(measured(wave, mine, waves, written, alien if other != i else None))
    return clusters


def pair_waves(neurons: Grids, first: float, second: float) -> NeuronWaves:
    """Take neurons apart at a frequency for each digit, in cycles per step, below a half."""
    p = neurons.shape[1]
    grids = np.asarray(neurons, float)
    grids = grids - grids.mean(axis=(1, 2), keepdims=True)
    one, other = digit_waves(p, np.array([first, second]))
    rows, columns = (grids.sum(axis=axis) / np.sqrt(p) for axis in (2, 1))
    alone = np.stack([(rows @ one).T, (columns @ other).T], axis=1)
    products = np.einsum("nab,ai,bj->ijn", grids, one, other, optimize=True)
    return joined(alone, products, (grids**2).sum(axis=(1, 2)))
