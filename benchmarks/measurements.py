"""What is measured at one size: steps side by side, and what surrounds them."""

import statistics
import subprocess
import sys
from importlib.util import find_spec
from typing import Any

import jax

from miiii_core.config import Config, Precision
from miiii_core.training import train

from . import baseline, ceiling, equality, evaluation, timing
from .timing import Clock, Contender, Spread, Turn

Clocks = dict[Clock, Spread]
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")


def why_no_torch() -> str | None:
    """Why there is no ratio to PyTorch, and what to do about it; None if there is one."""
    if find_spec("torch") is None:
        return "not installed, so no ratio to it; to add it: pip install -e '.[bench]'"
    import torch

    if jax.default_backend() != "cpu" and not torch.cuda.is_available():
        return f"sees no GPU where JAX has a {jax.default_backend()}, so no ratio to it"
    return None


def compare_steps(config: Config, rounds: int, seconds: float) -> dict[str, Any]:
    """Check that all steps are the same mathematics, then time them in turns.

    Args:
        config: The experiment.
        rounds: How often each gets its turn.
        seconds: About how long a turn takes.

    Returns:
        Medians over the turns, in epochs per second and processor seconds per epoch; for
        each of our precisions the ratio to each baseline and the share of the ceiling, from
        turns that stood side by side; what compiling took, and what evaluations cost.
    """
    task = train.task_of(config)
    problem, state = train.Problem.of(config, task), train.initial_state(config, task)
    versions, differences = _versions(problem, state)
    side = ceiling.square_side(jax.devices()[0])
    squares = [ceiling.square_product(precision, side) for precision in PRECISIONS]
    costs = evaluation.evaluation_costs(problem, state)
    turns = timing.take_turns([*versions, *squares], rounds, seconds)
    names = [one.name for one in versions]
    return {
        "p": config.task.p,
        "d_model": config.model.d_model,
        "train_inputs": config.task.n_train,
        "classes": task.n_classes,
        "differences": differences,
        "epochs_per_s": {name: timing.rate(turns[name]) for name in names},
        "cpu_s_per_epoch": {name: 1 / timing.rate(turns[name], "cpu") for name in names},
        "compile_s": {one.name: one.compile_s for one in versions if one.compile_s is not None},
        "ratios": _ratios(turns, [name for name in names if not name.startswith("ours")]),
        "products": _shares(turns, ceiling.step_flops(config, task.n_classes), side),
        "epochs": config.train.epochs,
        "evaluations": costs,
        "evaluation_s_per_epoch": evaluation.seconds_an_epoch(costs, config.train.epochs),
    }


def _versions(
    problem: train.Problem, state: train.TrainState
) -> tuple[list[Contender], dict[str, dict[str, float]]]:
    """Our steps and the baselines', and how far each baseline's mathematics is from ours."""
    ours = equality.our_result(problem, state.model)
    plain, plain_problem = baseline.baseline_of(state.model, problem)
    theirs = equality.plain_result(plain_problem, plain)
    differences = {"plain": equality.check_equal("plain", ours, theirs)}
    eager: list[Contender] = []
    if why_no_torch() is None:
        from . import in_torch

        theirs = in_torch.torch_result(problem, state.model)
        differences["torch"] = equality.check_equal("PyTorch", ours, theirs)
        eager = [in_torch.torch_contender(problem, state.model, p) for p in PRECISIONS]
    start = baseline.initial_state(plain, problem.config)
    compiled = timing.contender("plain float32", baseline.advance, plain_problem, start)
    return [*_ours(problem), compiled, *eager], differences


def _ours(problem: train.Problem) -> list[Contender]:
    """Our step in each precision."""
    configs = [problem.config.replace(precision=precision) for precision in PRECISIONS]
    return [
        timing.contender(
            f"ours {config.model.precision}",
            train.advance,
            train.Problem.of(config, train.task_of(config)),
            train.initial_state(config, train.task_of(config)),
        )
        for config in configs
    ]


def _ratios(turns: dict[str, list[Turn]], baselines: list[str]) -> dict[str, dict[str, Clocks]]:
    """How many times faster each of ours is than each baseline."""
    return {
        precision: {
            name: _by_clock(turns[f"ours {precision}"], turns[name], 1.0) for name in baselines
        }
        for precision in PRECISIONS
    }


def _shares(turns: dict[str, list[Turn]], step_flops: int, side: int) -> dict[str, Any]:
    """Products of our step against a square product in the same precision."""
    square = ceiling.square_flops(side)
    squares = {precision: turns[f"ceiling {precision}"] for precision in PRECISIONS}
    return {
        "flops": step_flops,
        "ceiling_side": side,
        "ceiling_flops_per_s": {k: square * timing.rate(turn) for k, turn in squares.items()},
        "share": {
            precision: _by_clock(
                turns[f"ours {precision}"], squares[precision], step_flops / square
            )
            for precision in PRECISIONS
        },
    }


def _by_clock(above: list[Turn], below: list[Turn], scale: float) -> Clocks:
    """A ratio of rates by the clock, and on a CPU by processor time."""
    clocks: tuple[Clock, ...] = ("wall", "cpu") if jax.default_backend() == "cpu" else ("wall",)
    return {clock: timing.ratio(above, below, scale, clock) for clock in clocks}


def import_seconds(module: str, repeats: int = 3) -> float:
    """Median time that a fresh Python takes to import a module."""
    command = f"import time; t = time.perf_counter(); import {module}; "
    command += "print(time.perf_counter() - t)"
    return statistics.median(
        float(
            subprocess.run([sys.executable, "-c", command], capture_output=True, check=True).stdout
        )
        for _ in range(repeats)
    )
