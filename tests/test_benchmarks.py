import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks import __main__ as command
from benchmarks import (
    baseline,
    ceiling,
    equality,
    evaluation,
    measurements,
    report,
    sizes,
    sweeps,
    timing,
)
from miiii_core.config import Config
from miiii_core.network.products import product
from miiii_core.presets import preset
from miiii_core.storage.results import read_lines
from miiii_core.training import train
from miiii_core.training.optim import optimiser
from miiii_core.training.schedule import tick_epochs, wide_epochs

TINY = Config().replace(
    p=7, n_validation=10, d_model=8, n_heads=2, mlp_ratio=2, dropout=0.2, dropout_mask="shared"
)
VARIANTS = [{}, {"dropout_mask": "sample", "name": "nanda"}, {"name": "masked", "masked": (2, 3)}]


def start(config):
    task = train.task_of(config)
    return train.Problem.of(config, task), train.initial_state(config, task)


@pytest.mark.parametrize("changes", VARIANTS)
def test_our_step_and_the_plain_one_are_the_same_mathematics(changes):
    problem, state = start(TINY.replace(**changes))
    ours = equality.our_result(problem, state.model)
    model, plain = baseline.baseline_of(state.model, problem)
    differences = equality.check_equal("plain", ours, equality.plain_result(plain, model))
    assert max(differences.values()) < 1e-12
    assert set(ours.gradient) == set(state.model.weights)


def test_in_float32_they_agree_to_rounding():
    """At the small size; at p = 113 neurons within rounding of zero move a gradient by more."""
    problem, state = start(preset("miiii-small"))
    model, plain = baseline.baseline_of(state.model, problem)
    found = [
        eqx.filter_jit(jax.value_and_grad(objective))(weights, data, equality.first_key(data))
        for objective, weights, data in (
            (train.objective, state.model, problem),
            (baseline.objective, model, plain),
        )
    ]
    (loss, ours), (plain_loss, theirs) = found
    assert float(loss) == pytest.approx(float(plain_loss), rel=1e-5)
    expected = {**vars(theirs), "W_U": baseline.packed(theirs.W_U, plain.is_class)}
    for name, gradient in ours.weights.items():
        off = np.linalg.norm(np.asarray(gradient - expected[name]))
        assert off <= 1e-5 * np.linalg.norm(np.asarray(expected[name])), name


@pytest.mark.parametrize("changes", VARIANTS)
def test_our_step_and_the_torch_one_are_the_same_mathematics(changes):
    pytest.importorskip("torch")
    from benchmarks.in_torch import torch_result

    problem, state = start(TINY.replace(**changes))
    theirs = torch_result(problem, state.model)
    differences = equality.check_equal("PyTorch", equality.our_result(problem, state.model), theirs)
    assert max(differences.values()) < 1e-12


def test_a_difference_stops_the_benchmark():
    problem, state = start(TINY)
    ours = equality.our_result(problem, state.model)
    model, plain = baseline.baseline_of(state.model, problem)
    wrong = eqx.tree_at(lambda m: m.W_out, model, replace_fn=lambda w: w * jnp.float32(1.001))
    with pytest.raises(RuntimeError, match="the plain one differ: .* nothing to time"):
        equality.check_equal("plain", ours, equality.plain_result(plain, wrong))
    not_a_number = ours._replace(loss=float("nan"))
    with pytest.raises(RuntimeError, match="nothing to time"):
        equality.check_equal("plain", ours, not_a_number)


@pytest.mark.parametrize(
    "changes", [{}, {"grokfast_start": "first", "weight_decay": 2.0}, {"grokfast": "none"}]
)
def test_torch_takes_the_same_updates_as_ours(changes):
    """The whole step, with filter and optimiser, three times over in float64."""
    torch = pytest.importorskip("torch")
    from benchmarks.torch_step import TorchTraining

    problem, state = start(TINY.replace(learning_rate=1e-2, **changes))
    theirs = TorchTraining(state.model, problem, dtype=torch.float64)
    config = problem.config
    with jax.enable_x64(True):
        problem, model = equality.doubled(problem), equality.doubled(state.model)
        state = eqx.tree_at(
            lambda s: (s.model, s.opt_state), state, (model, optimiser(config.optim).init(model))
        )
        step = eqx.filter_jit(train.step)
        for epoch in range(3):
            key = jax.random.fold_in(problem.key, epoch)
            masks = np.array(baseline.dropout_masks(config.model, len(problem.digits), key))
            state, loss = step(problem, state)
            assert float(theirs.step(torch.from_numpy(masks))) == pytest.approx(float(loss), 1e-12)
        for name, weight in state.model.weights.items():
            other = theirs.weights[name].detach().numpy()
            np.testing.assert_allclose(np.asarray(weight), other, rtol=1e-9, atol=1e-12)


def test_torch_refuses_a_filter_that_it_has_not():
    pytest.importorskip("torch")
    from benchmarks.torch_step import TorchTraining

    problem, state = start(TINY.replace(grokfast="ma"))
    with pytest.raises(ValueError, match="grokfast='ma' .* takes ema or none"):
        TorchTraining(state.model, problem)


@pytest.mark.parametrize("mask", ["shared", "sample"])
def test_torch_draws_masks_of_its_own_as_often_as_it_should(mask):
    torch = pytest.importorskip("torch")
    from benchmarks.torch_step import TorchTraining

    config = TINY.replace(d_model=512, dropout=0.25, dropout_mask=mask)
    training = TorchTraining(start(config)[1].model, start(config)[0])
    torch.manual_seed(0)
    masks = training.draw_masks()
    n = (config.task.n_train,) if mask == "sample" else ()
    assert masks.shape == (*n, 2, 512)
    assert sorted(masks.unique().tolist()) == pytest.approx([0, 4 / 3])
    assert masks.mean().item() == pytest.approx(1, abs=5 * (1 / 3 / masks.numel()) ** 0.5)
    assert training.step().item() > 0


@pytest.mark.parametrize("way", ["_native", "_widened"])
def test_torch_rounds_what_is_multiplied_as_ours_does(way):
    torch = pytest.importorskip("torch")
    from benchmarks import torch_step

    rng = np.random.default_rng(0)
    x, w, g = (rng.normal(size=s).astype(np.float32) for s in ((5, 6), (6, 4), (5, 4)))
    out, backward = jax.vjp(lambda x, w: product(x, w, "bfloat16"), jnp.asarray(x), jnp.asarray(w))
    theirs_x, theirs_w = (torch.tensor(a, requires_grad=True) for a in (x, w))
    theirs = torch_step.rounded(getattr(torch_step, way))(theirs_x, theirs_w)
    theirs.backward(torch.tensor(g))
    # In bfloat16 PyTorch rounds sums to 8 bits too, whose unit is 2^-8 of what they add.
    close = {"_native": 2**-7, "_widened": 1e-6}[way]
    pairs = zip(
        (out, *backward(jnp.asarray(g))), (theirs, theirs_x.grad, theirs_w.grad), strict=True
    )
    for ours, other in pairs:
        np.testing.assert_allclose(np.asarray(ours), other.detach().numpy(), rtol=close, atol=close)


def dot_flops(jaxpr):
    """Of every product in a program and in what it calls, from the shapes of each."""
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            left, out = equation.invars[0].aval.shape, equation.outvars[0].aval.shape
            total += 2 * np.prod(out, dtype=int) * np.prod([left[i] for i in contracted], dtype=int)
        for value in jax.tree.leaves(
            list(equation.params.values()), is_leaf=lambda v: hasattr(v, "eqns")
        ):
            inner = getattr(value, "jaxpr", value)
            total += dot_flops(inner) if hasattr(inner, "eqns") else 0
    return int(total)


@pytest.mark.parametrize(
    "changes", [{}, {"precision": "bfloat16"}, {"name": "nanda", "train_fraction": 0.3, "p": 11}]
)
def test_flops_are_those_of_the_program(changes):
    config = TINY.replace(**changes)
    problem, state = start(config)
    n_classes, n, d = sum(problem.class_sizes), config.task.n_train, config.model.d_model
    counted = ceiling.step_flops(config, n_classes)
    forward = jax.make_jaxpr(lambda m: m(problem.digits, key=problem.key))(state.model)
    assert counted == 3 * dot_flops(forward.jaxpr)
    whole = jax.make_jaxpr(jax.value_and_grad(train.objective))(state.model, problem, problem.key)
    lookups = 2 * 2 * config.task.p * n * (d + config.model.n_heads)
    by_task = 2 * len(problem.class_sizes) * (n * n_classes + 1)
    assert dot_flops(whole.jaxpr) == counted + lookups + by_task


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_ceiling_is_a_square_product(precision):
    one = ceiling.square_product(precision, 8)
    assert one.name == f"ceiling {precision}"
    assert one.steps(2) > 0
    assert ceiling.square_flops(8) == 2 * sum(1 for _ in np.ndindex(8, 8, 8))
    assert ceiling.square_side(jax.devices("cpu")[0]) == ceiling.SIDE["cpu"]


def test_turns_are_as_long_as_asked_and_ratios_stay_within_their_turn():
    calls = []

    def steps(n):
        calls.append(n)
        return n * 0.25

    assert timing.turn_length(steps, 2.0) == 8
    assert calls == [1, 2]
    assert timing.turn_length(lambda n: 9.0 * n, 2.0) == 1
    rates = timing.take_turns([timing.Contender("a", steps)], 3, 1.0)
    assert [turn.wall for turn in rates["a"]] == [4.0] * 3
    ours, theirs = ([timing.Turn(a, a * a) for a in rates] for rates in ((2, 9, 8), (1, 3, 1)))
    assert timing.rate(ours) == 8
    assert timing.rate(ours, "cpu") == 64
    assert timing.ratio(ours, theirs, scale=0.5) == (1.5, 1.0, 4.0)
    assert timing.ratio(ours, theirs, clock="cpu") == (9.0, 4.0, 64.0)


def test_evaluations_are_spread_over_the_epochs_of_a_run():
    config = TINY.replace(epochs=40, eval_every=8)
    costs = evaluation.evaluation_costs(*start(config))
    assert costs["narrow"]["times"] == len(tick_epochs(config.train))
    assert costs["wide"]["times"] == len(wide_epochs(config.train))
    costs = {"narrow": {"seconds": 2.0, "times": 10}, "wide": {"seconds": 5.0, "times": 4}}
    assert evaluation.seconds_an_epoch(costs, 40) == 1.0


def test_a_run_among_others_is_compared_with_one_by_itself():
    alone, turns, abreast = sweeps.sweep_rows(TINY, [2], 2, 0.01)
    assert alone["ms"] > 0 and "ratio" not in alone
    assert [(row["runs"], row["abreast"]) for row in (turns, abreast)] == [(2, 1), (2, 2)]
    table = sweeps.sweeps_report([alone, turns, abreast]).splitlines()
    assert "alone" in table[2]
    for row, line in zip((turns, abreast), table[3:], strict=True):
        assert row["ratio"].least <= row["ratio"].median <= row["ratio"].most
        assert f"{row['ratio'].median:.2f} (" in line and f"{row['ratio_cpu'].median:.2f} (" in line


def test_a_size_is_measured_in_a_process_of_its_own():
    (row,) = sizes.size_rows(TINY, [7], 0.01)
    assert (row["p"], row["classes"], row["train_inputs"]) == (7, 2 + 3 + 5, round(49 / 2))
    assert row["model"] == (2 + 3 + 5) * 49 * 8
    assert row["epoch_s"] > 0
    assert row["epochs_timed"] >= 1
    assert 5e7 < row["peak_bytes"] < sizes.free_memory(jax.devices()[0])


def test_a_size_that_does_not_fit_says_so_and_the_table_goes_on(monkeypatch):
    monkeypatch.setattr(sizes, "free_memory", lambda _: 1_200_000_000)
    done = {"epoch_s": 0.5, "epoch_cpu_s": 1.0, "peak_bytes": 10**9}
    apart = sizes.measure_apart
    monkeypatch.setattr(
        sizes, "measure_apart", lambda c, s: apart(c, s) if c.task.p > 113 else done
    )
    rows = list(sizes.size_rows(Config(), [59, 113, 199], 0.01))
    assert [row["p"] for row in rows] == [59, 113, 199]
    assert rows[2]["problem"].startswith("needs about ")
    assert rows[2]["problem"].endswith("and 1.2 GB are free")
    table = report.sizes_report(rows)
    assert rows[2]["problem"] in table
    assert "relative to p = 113" in table


def test_a_size_whose_process_fails_or_takes_too_long_says_so(monkeypatch):
    failed = sizes.measure_apart(TINY, "soon")
    assert failed["problem"].startswith("its process ended with 1: ValueError")
    monkeypatch.setattr(sizes, "PATIENCE", 0.01)
    assert sizes.measure_apart(TINY, 0.01) == {"problem": "not done after 0 s"}


def test_the_table_over_p_is_relative_to_113_or_else_to_its_last_row():
    rows = [{"p": 31, "model": 2, "epoch_s": 1.0}, {"p": 113, "model": 8}, {"p": 199, "model": 64}]
    assert sizes.relative(rows, "model") == [0.25, 1.0, 8.0]
    assert sizes.relative(rows, "epoch_s") == [None, None, None]
    assert sizes.relative(rows[::2], "model") == [2 / 64, 1.0]


@pytest.mark.parametrize(
    ("given", "said"),
    [("31,x", "not a list of whole numbers"), ("31,33", "p=33 will not do"), ("-7", "not a list")],
)
def test_sizes_that_make_no_sense_are_refused(given, said):
    done = CliRunner().invoke(command.main, ["--sizes", given])
    assert done.exit_code == 2
    assert said in done.output


@pytest.fixture
def run(monkeypatch, tmp_path):
    """The command on a tiny preset; returns what it printed and the JSON that it wrote."""
    monkeypatch.setattr(command, "preset", lambda name: TINY)
    monkeypatch.setattr(command, "MODULES", ("miiii_core",))
    monkeypatch.setattr(ceiling, "SIDE", {"cpu": 64})
    monkeypatch.setattr(
        sizes,
        "measure_apart",
        lambda c, s: {"epoch_s": c.task.p, "epoch_cpu_s": 1.0, "peak_bytes": 2 * 10**9},
    )
    path = tmp_path / "bench.json"

    def invoke(*arguments):
        short = ["--rounds", "2", "--seconds", "0.01", "--runs", ""]
        given = [*short, "--preset", "miiii", "--json", str(path)]
        done = CliRunner().invoke(command.main, [*given, *arguments], catch_exceptions=False)
        assert done.exit_code == 0
        return done.output, json.loads(path.read_text())

    return invoke


def test_without_torch_the_command_says_how_to_add_it_and_goes_on(run, monkeypatch):
    monkeypatch.setattr(measurements, "find_spec", lambda name: None)
    output, written = run("--sizes", "31, 113")
    assert [line for line in output.splitlines() if line.startswith("torch")] == [
        "torch         not installed, so no ratio to it; to add it: pip install -e '.[bench]'"
    ]
    row = written["steps"]["miiii"]
    assert list(row["epochs_per_s"]) == ["ours float32", "ours bfloat16", "plain float32"]
    for precision in ("float32", "bfloat16"):
        median, least, most = row["ratios"][precision]["plain float32"]["wall"]
        assert least <= median <= most
        assert f"{median:.2f} ({least:.2f} - {most:.2f}), CPU " in output
        share, _, _ = row["products"]["share"][precision]["wall"]
        assert f"our step reaches {share:.2f}" in output
    with_evaluations = 1000 / row["epochs_per_s"]["ours float32"]
    with_evaluations += 1000 * row["evaluation_s_per_epoch"]
    assert f"ours float32 {with_evaluations:.1f}, " in output
    assert [size["p"] for size in written["sizes"]] == [31, 113]
    assert f"{31 / 113:.3f}" in output


def test_a_busy_machine_is_said_to_be_busy():
    assert command.load_report(0.2) == "0.2"
    assert command.load_report(7.0).startswith("7.0: others compute here")


def test_with_torch_the_command_shows_ratios_to_it(run):
    torch = pytest.importorskip("torch")
    output, written = run("--sizes", "")
    assert f"torch         {torch.__version__}" in output
    row = written["steps"]["miiii"]
    assert set(row["differences"]) == {"plain", "torch"}
    assert set(row["ratios"]["bfloat16"]) == {"plain float32", "torch float32", "torch bfloat16"}
    assert "torch bfloat16" in output
    assert written["sizes"] == []
    assert "peak GB" not in output


# Trainings that are kept


def test_a_training_is_kept_and_not_repeated(tmp_path, monkeypatch):
    from benchmarks import trainings

    path, config = tmp_path / "kept.jsonl", TINY.replace(n_snapshots=0, probes=(), epochs=40)
    trainings.collect(path, [config], ("p", "dropout"))
    (row,) = read_lines(path)
    assert (row["p"], row["dropout"], row["seed"]) == (7, 0.2, 0)
    assert [point[0] for point in row["curve"]][-1] == 40
    monkeypatch.setattr(trainings, "train", lambda config: pytest.fail("trained again"))
    trainings.collect(path, [config], ("p",))
    assert read_lines(path) == [row]


def test_trainings_side_by_side_are_those_alone(tmp_path):
    from benchmarks import trainings

    usual = TINY.replace(n_snapshots=0, probes=(), epochs=24, p=5, n_validation=5)
    configs = [usual, usual.replace(n_heads=2), usual.replace(seed=1), usual.replace(dropout=0.3)]
    paths = [tmp_path / "together.jsonl", tmp_path / "alone.jsonl"]
    for path in paths:
        trainings.collect(path, configs, ("dropout", "n_heads"), together=path is paths[0])
    together, alone = ({row["digest"]: row for row in read_lines(path)} for path in paths)
    assert set(together) == set(alone) == {config.digest for config in configs}
    for digest, row in together.items():
        np.testing.assert_allclose(row["curve"], alone[digest]["curve"], atol=1e-6)
        assert (row["seed"], row["n_heads"]) == (alone[digest]["seed"], alone[digest]["n_heads"])
        assert row["device"].startswith("cpu")


def test_stored_forks_are_those_that_would_be_trained():
    from benchmarks import forks

    digests = {forks.config_of(fork, seed).digest for fork in forks.FORKS for seed in range(9)}
    assert len(digests) == 9 * len(forks.FORKS)
    rows = read_lines(forks.RESULTS)
    stored = [row["digest"] for row in rows]
    assert len(stored) == len(set(stored)) and set(stored) <= digests
    assert all(row["curve"][-1][0] == forks.BASE["epochs"] for row in rows)
    assert all(row["device"] and not row["code_revision"].endswith("+") for row in rows)
    first = {forks.config_of(fork, 0).digest for fork in forks.FORKS}
    assert first <= set(stored), "python -m benchmarks.forks trains those that are missing"
