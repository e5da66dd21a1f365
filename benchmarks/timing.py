"""How time is taken: versions in turns, so that all meet the same load of the machine."""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

Clock = Literal["wall", "cpu"]
Steps = Callable[[int], float]  # does something n times; returns the seconds it took


class Contender(NamedTuple):
    """Something to time.

    Attributes:
        name: Who, and in which precision.
        steps: Does it n times and returns the seconds.
        compile_s: What compiling took; None where nothing is compiled.
    """

    name: str
    steps: Steps
    compile_s: float | None = None


class Turn(NamedTuple):
    """How often a second something was done: of the clock's, and of the processor's.

    Processor seconds are summed over the cores. Neighbours hardly change them.
    """

    wall: float
    cpu: float


class Spread(NamedTuple):
    """The median over the turns, the smallest and the largest."""

    median: float
    least: float
    most: float


def compiled(jitted: Any, *arguments: Any) -> tuple[Callable[..., Any], float]:
    """A compiled function, and the seconds that tracing and compiling took."""
    began = time.perf_counter()
    return jitted.lower(*arguments).compile(), time.perf_counter() - began


def contender(name: str, advance: Any, problem: Any, state: Any) -> Contender:
    """A compiled training loop, with a state of its own to go on from."""
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
) -> dict[str, list[Turn]]:
    """How fast each is, by name, turn by turn."""
    lengths = [turn_length(one.steps, seconds) for one in contenders]
    turns = [
        [one_turn(one.steps, n) for one, n in zip(contenders, lengths, strict=True)]
        for _ in range(rounds)
    ]
    columns = zip(*turns, strict=True)
    return {one.name: list(column) for one, column in zip(contenders, columns, strict=True)}


def one_turn(steps: Steps, n: int) -> Turn:
    """Do something n times, by both clocks."""
    before = time.process_time()
    wall = steps(n)
    return Turn(n / wall, n / max(time.process_time() - before, 1e-9))


def turn_length(steps: Steps, seconds: float) -> int:
    """How many steps fill a turn; warms up first."""
    if steps(1) > seconds:
        return 1
    return max(1, round(2 * seconds / steps(2)))


def median_seconds(call: Callable[[], Any], repeats: int = 3) -> float:
    """Median time of a call whose results are arrays, after one to warm up."""
    times = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        jax.block_until_ready(call())
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])


def rate(turns: Sequence[Turn], clock: Clock = "wall") -> float:
    """The median rate over the turns."""
    return statistics.median(getattr(turn, clock) for turn in turns)


def ratio(
    above: Sequence[Turn], below: Sequence[Turn], scale: float = 1.0, clock: Clock = "wall"
) -> Spread:
    """The ratio of two rates, scaled, from the turns that stood side by side."""
    pairs = zip(above, below, strict=True)
    ratios = [scale * getattr(a, clock) / getattr(b, clock) for a, b in pairs]
    return Spread(statistics.median(ratios), min(ratios), max(ratios))
