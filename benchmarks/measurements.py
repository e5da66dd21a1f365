"""What is measured: steps side by side, compilations, evaluations, imports."""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from miiii_core import train
from miiii_core.config import Config

from . import baseline

TOLERANCE = 1e-9


def compare_steps(config: Config, rounds: int, seconds: float) -> dict[str, Any]:
    """Check that both steps are the same mathematics, then time them in turns.

    Ours is timed in float32 and with bfloat16 products, the plain one in float32.

    Args:
        config: The experiment.
        rounds: How often each gets its turn.
        seconds: About how long a turn takes.

    Returns:
        Medians over the turns, in epochs per second, the ratio of each pair of turns,
        and the seconds that compiling and one evaluation take.
    """
    task = train.task_of(config)
    problem, state = train.Problem.of(config, task), train.initial_state(config, task)
    plain, plain_problem = baseline.baseline_of(state.model, problem)
    differences = check_equal(problem, state.model, plain_problem, plain)
    evaluation = _evaluation(problem, state)
    ours, compile_ours = _stepper(train.advance, problem, state)
    rough = config.replace(precision="bfloat16")
    rounded, compile_rounded = _stepper(
        train.advance, train.Problem.of(rough, task), train.initial_state(rough, task)
    )
    theirs, compile_theirs = _stepper(
        baseline.advance, plain_problem, baseline.initial_state(plain, config)
    )
    turns = _take_turns((ours, rounded, theirs), rounds, seconds)
    return {
        "p": config.task.p,
        "d_model": config.model.d_model,
        "train_inputs": config.task.n_train,
        "classes": task.n_classes,
        "ours_epochs_per_s": statistics.median(a for a, _, _ in turns),
        "bfloat16_epochs_per_s": statistics.median(b for _, b, _ in turns),
        "plain_epochs_per_s": statistics.median(c for _, _, c in turns),
        "ratio": statistics.median(a / c for a, _, c in turns),
        "ratio_range": [min(a / c for a, _, c in turns), max(a / c for a, _, c in turns)],
        "bfloat16_ratio": statistics.median(b / c for _, b, c in turns),
        "bfloat16_ratio_range": [min(b / c for _, b, c in turns), max(b / c for _, b, c in turns)],
        "compile_step_s": compile_ours,
        "compile_bfloat16_step_s": compile_rounded,
        "compile_plain_step_s": compile_theirs,
        **evaluation,
        **differences,
    }


def check_equal(
    problem: train.Problem,
    model: Any,
    plain_problem: baseline.BaselineProblem,
    plain: baseline.Baseline,
) -> dict[str, float]:
    """Relative differences of the two losses, and of each matrix's gradients, in float64.

    In float32 a neuron within rounding of zero can be on in one and off in the
    other; among millions there are some, and a gradient made of many terms that
    nearly cancel shows it. In float64 only a real difference is left.

    Raises:
        RuntimeError: if one is larger than the tolerance: the timing would mean nothing.
    """
    with jax.enable_x64(True):
        model, problem, plain, plain_problem = map(_doubled, (model, problem, plain, plain_problem))
        key = jax.random.fold_in(problem.key, 0)
        loss, gradient = _loss_and_gradient(train.objective, model, problem, key)
        plain_loss, plain_gradient = _loss_and_gradient(
            baseline.objective, plain, plain_problem, key
        )
        differences = _differences(gradient, plain_gradient, problem.class_sizes)
    differences["loss"] = float(abs(loss - plain_loss) / plain_loss)
    largest = max(differences, key=lambda name: differences[name])
    if not differences[largest] <= TOLERANCE:
        raise RuntimeError(
            f"the two steps differ: {largest} by {differences[largest]:.1e} of its size, "
            f"more than {TOLERANCE:.0e}; one of them is wrong, so there is nothing to time"
        )
    gradients = [value for name, value in differences.items() if name != "loss"]
    return {"loss_difference": differences["loss"], "gradient_difference": max(gradients)}


def _doubled(tree: Any) -> Any:
    """The same in float64."""
    return jax.tree.map(lambda x: x.astype(float) if eqx.is_inexact_array(x) else x, tree)


def _differences(ours: Any, theirs: Any, class_sizes: tuple[int, ...]) -> dict[str, float]:
    packed = dict(ours.weights) | {"W_U": baseline.padded(ours.W_U, class_sizes)}
    other = {name: getattr(theirs, name) for name in packed}
    return {
        name: float(
            jnp.linalg.norm((w - other[name]).ravel()) / jnp.linalg.norm(other[name].ravel())
        )
        for name, w in packed.items()
    }


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


@eqx.filter_jit
def _loss_and_gradient(objective: Callable, model: Any, problem: Any, key: Any) -> Any:
    return jax.value_and_grad(objective)(model, problem, key)


def _compile(jitted: Any, *arguments: Any) -> tuple[Callable[..., Any], float]:
    """A compiled function, and the seconds that tracing and compiling took."""
    began = time.perf_counter()
    return jitted.lower(*arguments).compile(), time.perf_counter() - began


def _stepper(advance: Any, problem: Any, state: Any) -> tuple[Callable[[int], float], float]:
    """A function that takes n steps and returns the seconds; and what compiling took."""
    run, seconds = _compile(advance, problem, state, jnp.asarray(0, jnp.int32))
    # Donation gives the memory of a state away, so each caller needs one of its own.
    holder = [jax.tree.map(jnp.copy, state)]

    def steps(n: int) -> float:
        began = time.perf_counter()
        holder[0], _ = jax.block_until_ready(run(problem, holder[0], jnp.asarray(n, jnp.int32)))
        return time.perf_counter() - began

    return steps, seconds


def _take_turns(
    versions: Sequence[Callable[[int], float]], rounds: int, seconds: float
) -> list[list[float]]:
    """Epochs per second of each, turn by turn, so that all meet the same weather."""
    lengths = [_epochs_in(steps, seconds) for steps in versions]
    return [
        [n / steps(n) for steps, n in zip(versions, lengths, strict=True)] for _ in range(rounds)
    ]


def _epochs_in(steps: Callable[[int], float], seconds: float) -> int:
    steps(1)
    return max(1, round(2 * seconds / steps(2)))


def _evaluation(problem: train.Problem, state: train.TrainState) -> dict[str, float]:
    measure, compiling = _compile(train.measure, problem, state)
    times = []
    for _ in range(4):
        began = time.perf_counter()
        jax.block_until_ready(measure(problem, state))
        times.append(time.perf_counter() - began)
    return {"compile_evaluation_s": compiling, "evaluation_s": statistics.median(times[1:])}
