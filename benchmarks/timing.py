"""How time is taken: contenders take turns, so that all meet the same load of the machine."""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class Contender(NamedTuple):
    """Something to time.

    Attributes:
        name: Whose step it is, and in which precision.
        steps: Takes that many steps and returns the seconds.
        compile_s: Seconds that compiling took; None where nothing is compiled.
    """

    name: str
    steps: Callable[[int], float]
    compile_s: float | None = None


class Spread(NamedTuple):
    """The median over the turns, the smallest and the largest."""

    median: float
    least: float
    most: float

    def __str__(self) -> str:
        """The three numbers in one cell of a table."""
        return f"{self.median:.2f} ({self.least:.2f} to {self.most:.2f})"


def compiled(jitted: Any, *arguments: Any) -> tuple[Callable[..., Any], float]:
    """Compile a function; returns it with the seconds that tracing and compiling took."""
    began = time.perf_counter()
    return jitted.lower(*arguments).compile(), time.perf_counter() - began


def contender(name: str, advance: Any, problem: Any, state: Any) -> Contender:
    """A compiled training loop with a state of its own to go on from."""
    run, seconds = compiled(advance, problem, state, jnp.asarray(0, jnp.int32))
    # Donation gives the memory of a state away, so each contender needs its own.
    holder = [jax.tree.map(jnp.copy, state)]

    def steps(n: int) -> float:
        began = time.perf_counter()
        holder[0], _ = jax.block_until_ready(run(problem, holder[0], jnp.asarray(n, jnp.int32)))
        return time.perf_counter() - began

    return Contender(name, steps, seconds)


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


def ratio(above: Sequence[float], below: Sequence[float], scale: float = 1.0) -> Spread:
    """The scaled ratio of two rates, from the turns that stood side by side."""
    ratios = [scale * a / b for a, b in zip(above, below, strict=True)]
    return Spread(statistics.median(ratios), min(ratios), max(ratios))


def median_seconds(call: Callable[[], Any], repeats: int = 3) -> float:
    """Median time of a call whose results are arrays, after one call to warm up."""
    times = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        jax.block_until_ready(call())
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])


def _turn_length(steps: Callable[[int], float], seconds: float) -> int:
    """How many steps fill a turn; the first call warms up."""
    if steps(1) > seconds:
        return 1
    return max(1, round(2 * seconds / steps(2)))
