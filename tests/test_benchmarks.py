import json

import equinox as eqx
import jax.numpy as jnp
import pytest
from click.testing import CliRunner

from benchmarks import __main__ as command
from benchmarks import baseline, measurements
from miiii_core import train
from miiii_core.config import Config

TINY = Config().replace(
    p=7, n_validation=10, d_model=8, n_heads=2, mlp_ratio=2, dropout=0.2, dropout_mask="shared"
)


@pytest.mark.parametrize("changes", [{}, {"dropout_mask": "sample", "name": "nanda"}])
def test_both_steps_are_the_same_mathematics(changes):
    config = TINY.replace(**changes)
    task = train.task_of(config)
    problem, state = train.Problem.of(config, task), train.initial_state(config, task)
    plain, plain_problem = baseline.baseline_of(state.model, problem)
    differences = measurements.check_equal(problem, state.model, plain_problem, plain)
    assert max(differences.values()) < 1e-12


def test_a_difference_stops_the_benchmark():
    task = train.task_of(TINY)
    problem, state = train.Problem.of(TINY, task), train.initial_state(TINY, task)
    plain, plain_problem = baseline.baseline_of(state.model, problem)
    wrong = eqx.tree_at(lambda m: m.W_out, plain, replace_fn=lambda w: w * jnp.float32(1.001))
    with pytest.raises(RuntimeError, match="the two steps differ: .* nothing to time"):
        measurements.check_equal(problem, state.model, plain_problem, wrong)


def test_the_command_prints_a_table_and_writes_json(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "preset", lambda name: TINY)
    monkeypatch.setattr(command, "MODULES", ("miiii_core",))
    path = tmp_path / "bench.json"
    arguments = ["--rounds", "1", "--seconds", "0.01", "--preset", "miiii", "--json", str(path)]
    done = CliRunner().invoke(command.main, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    assert "ratio" in done.output
    row = json.loads(path.read_text())["steps"]["miiii"]
    assert row["ours_epochs_per_s"] / row["plain_epochs_per_s"] == pytest.approx(row["ratio"])
    assert row["bfloat16_epochs_per_s"] / row["plain_epochs_per_s"] == pytest.approx(
        row["bfloat16_ratio"]
    )
    assert f"{row['ratio']:.2f}" in done.output
    assert f"{row['bfloat16_ratio']:.2f}" in done.output
