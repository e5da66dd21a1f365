"""What evaluating costs, and what an epoch costs with it."""

from typing import Any

from miiii_core.training import train
from miiii_core.training.schedule import tick_epochs, wide_epochs

from .timing import compiled, median_seconds


def evaluation_costs(problem: train.Problem, state: train.TrainState) -> dict[str, dict[str, Any]]:
    """Seconds to compile and to run each kind of evaluation, and how often a run does it.

    Returns:
        ``narrow``, at every tick, and ``wide``, at fewer: each with ``compile_s``,
        ``seconds`` and ``times``.
    """
    config = problem.config.train
    kinds = {
        "narrow": (train.measure, tick_epochs(config)),
        "wide": (train.measure_wide, wide_epochs(config)),
    }
    return {
        name: _cost(measure, problem, state) | {"times": len(epochs)}
        for name, (measure, epochs) in kinds.items()
    }


def seconds_an_epoch(costs: dict[str, dict[str, Any]], epochs: int) -> float:
    """What all evaluations of a run come to, spread over its epochs."""
    return sum(cost["seconds"] * cost["times"] for cost in costs.values()) / epochs


def _cost(measure: Any, problem: train.Problem, state: train.TrainState) -> dict[str, Any]:
    run, compiling = compiled(measure, problem, state)
    return {"compile_s": compiling, "seconds": median_seconds(lambda: run(problem, state))}
