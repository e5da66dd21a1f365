r"""Waves of n mod q taken out in three places: the embedding, the neurons, and the stream's end.

These are three experiments. The embedding is a table over one digit, and both digits read it: a
wave $e^{2\pi i k n/q}$ is there as one at $k/q$ for $x_0$ and one at $pk/q$ for $x_1$, the two
cannot be told apart, and waves of other primes are nearly parallel to them. All after it is
computed again. In the neurons and at the end of the stream the same wave is one function of both
digits, and what follows is linear.
"""

from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ..network.model import Activations, Transformer
from ..tasks import Task
from .ablation import with_weights
from .exam import Exam, Selectivity, Tensor, check_rows
from .formula import DRAWS, Formula, task_waves, unused_waves

PLACES = ("embedding", "neurons", "stream")
Waves = Sequence[tuple[int, int]]  # k and q of each


def digit_waves(p: int, waves: Waves) -> Float[np.ndarray, "p columns"]:
    """Cos and sin of each wave over one digit, as x0 has it and as x1 has it, means removed.

    Raises:
        ValueError: for a k outside 1..q//2, or no waves.
    """
    columns = _columns(waves, np.arange(p)) + _columns(waves, p * np.arange(p))
    found = np.concatenate(columns, axis=1)
    return found - found.mean(axis=0)


def number_waves(n: int, waves: Waves) -> Float[np.ndarray, "n columns"]:
    """Orthonormal columns that span cos and sin of each wave over 0..n-1, means removed.

    Raises:
        ValueError: for a k outside 1..q//2, no waves, or more columns than numbers.
    """
    found = np.concatenate(_columns(waves, np.arange(n)), axis=1)
    if found.shape[1] >= n:
        raise ValueError(
            f"{found.shape[1]} columns over {n} numbers leave nothing; give fewer waves"
        )
    return np.linalg.qr(found - found.mean(axis=0))[0]


def without_waves(model: Transformer, waves: Waves) -> Transformer:
    """The model with waves taken out of its digits' embedding W_E[:p], by least squares.

    Each goes from one table as both digits have it, at k/q and at pk/q: that table does not know
    which digit asks. The mean over the digits stays, and so does the read-out token's row.

    Raises:
        ValueError: for a k outside 1..q//2, or no waves.
    """
    p = model.p
    table, columns = np.asarray(model.W_E, float).copy(), digit_waves(model.p, waves)
    table[:p] -= columns @ np.linalg.lstsq(columns, table[:p], rcond=None)[0]
    return with_weights(model, W_E=table)


def logits_without_waves(
    place: str,
    activations: Activations,
    model: Transformer,
    task: Task,
    waves: Waves,
    rows: Int[Tensor, " rows"],
) -> Float[np.ndarray, "rows n_classes"]:
    """Logits with waves taken out in one place.

    Args:
        place: One of `PLACES`: W_E, the neurons after the ReLU, or the residual stream that the
            logits are read from. In the last two the waves are fitted over all inputs.
        activations: Over all inputs.
        model: Whose they are.
        task: Whose inputs they are over.
        waves: k and q of each.
        rows: Inputs whose logits are wanted.

    Raises:
        ValueError: for another place, a row without an input, or waves that there are not.
    """
    check_rows(rows, len(task.digits))
    if place == "embedding":
        return np.asarray(_logits(without_waves(model, waves), jnp.asarray(task.digits[rows])))
    if place not in PLACES:
        raise ValueError(f"place={place!r} will not do; it takes one of {', '.join(PLACES)}")
    read = np.asarray(model.W_U, float)
    if place == "neurons":
        values, read = activations.neurons, np.asarray(model.W_out, float) @ read
    else:
        values = activations.resid_post
    basis = number_waves(len(task.digits), waves)
    along = basis[rows] @ (basis.T @ np.asarray(values, float) @ read)
    return np.asarray(activations.logits)[rows] - along


def try_places(
    activations: Activations,
    model: Transformer,
    task: Task,
    exam: Exam,
    formulas: Sequence[Formula],
    generator: np.random.Generator,
    draws: int = DRAWS,
) -> dict[str, Selectivity]:
    """Take the waves that each task uses out, in each place, beside as many that it does not use.

    Args:
        activations: Over all inputs.
        model: Whose they are.
        task: Whose inputs they are over.
        exam: To score by.
        formulas: One for each task, which say what it uses; fitted on other inputs.
        generator: Of the controls.
        draws: Of them, for each task; the same in each place.

    Returns:
        By place; sizes are numbers of waves, and controls are NaN for a task that uses more than
        half of its waves.
    """
    used = [_named(f.modulus, f.used) for f in formulas]
    drawn = [[unused_waves(f, generator) for f in formulas] for _ in range(draws)]
    nothing = np.full(len(formulas), np.nan)
    found = {}
    for place in PLACES:

        def left(waves: Waves, place: str = place) -> Float[np.ndarray, " tasks"]:
            return exam.left(
                logits_without_waves(place, activations, model, task, waves, exam.rows)
            )

        controls = [
            [
                nothing if ks is None else left(_named(f.modulus, ks))
                for f, ks in zip(formulas, row, strict=True)
            ]
            for row in drawn
        ]
        sizes = np.array([len(waves) for waves in used])
        found[place] = Selectivity(sizes, np.array([left(w) for w in used]), np.array(controls))
    return found


def _named(q: int, ks: Int[np.ndarray, " _"]) -> list[tuple[int, int]]:
    return [(int(k), q) for k in ks]


def _columns(waves: Waves, numbers: Int[np.ndarray, " n"]) -> list[np.ndarray]:
    """Columns of each wave at some numbers."""
    if not len(waves):
        raise ValueError("no waves were given to take out; give k and q of one or more")
    return [task_waves(q, [k], numbers) for k, q in waves]


@eqx.filter_jit
def _logits(model: Transformer, digits: Int[Array, "n 2"]) -> Float[Array, "n n_classes"]:
    return model(digits)
