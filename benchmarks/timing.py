"""How time is taken: contenders take turns, so that all meet the same load of the machine."""

import statistics
import time
import timeit
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class Contender(NamedTuple):
    """Something to time."""

    name: str  #: Whose step it is, and in which precision
    steps: Callable[[int], float]  #: Takes that many steps and returns the seconds


def contender(name: str, advance: Any, problem: Any, state: Any) -> Contender:
    """A compiled training loop with a state of its own to go on from."""
    run = advance.lower(problem, state, jnp.asarray(0, jnp.int32)).compile()
    # Donation gives the memory of a state away, so each contender needs its own.
    holder = [jax.tree.map(jnp.copy, state)]

    def steps(n: int) -> float:
        began = time.perf_counter()
        holder[0], _ = jax.block_until_ready(run(problem, holder[0], jnp.asarray(n, jnp.int32)))
        return time.perf_counter() - began

    return Contender(name, steps)


def take_turns(
    contenders: Sequence[Contender], rounds: int, seconds: float
) -> dict[str, list[float]]:
    """Steps per second of each contender, by name, turn by turn.

    Args:
        contenders: What is timed.
        rounds: Turns that each contender takes.
        seconds: Approximate length of a turn.
    """
    lengths = [_turn_length(one.steps, seconds) for one in contenders]
    rates: dict[str, list[float]] = {one.name: [] for one in contenders}
    for _ in range(rounds):
        for one, n in zip(contenders, lengths, strict=True):
            rates[one.name].append(n / one.steps(n))
    return rates


def ratio(above: Sequence[float], below: Sequence[float], scale: float = 1.0) -> str:
    """The scaled ratio of two rates, of turns side by side: their median, the least, the most."""
    ratios = [scale * a / b for a, b in zip(above, below, strict=True)]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def median_seconds(call: Callable[[], Any], repeats: int = 3) -> float:
    """Median time of a call whose results are arrays, after one call to warm up."""
    _, *times = timeit.repeat(lambda: jax.block_until_ready(call()), number=1, repeat=1 + repeats)
    return statistics.median(times)


def _turn_length(steps: Callable[[int], float], seconds: float) -> int:
    """How many steps fill a turn; the first call warms up."""
    if steps(1) > seconds:
        return 1
    return max(1, round(2 * seconds / steps(2)))
