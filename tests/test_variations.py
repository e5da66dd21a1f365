import jax
import matplotlib.pyplot as plt
import numpy as np
import pytest
from tiny import TINY

from miiii_core import figures, runs
from miiii_core.claims import divisible, variations
from miiii_core.claims.bases import Training, by_base, trainings_of
from miiii_core.config import TaskConfig
from miiii_core.tasks import make_task


def task_of(name):
    return make_task(TaskConfig(name=name, p=7, n_validation=5), jax.random.key(0))


def exact(task):
    yes = task.targets.astype(float)
    return np.stack([1 - yes, yes], axis=2).reshape(len(yes), -1)


def one_cosine(task):
    n = np.arange(task.p**2)
    columns = [np.cos(2 * np.pi * (n - c) / q) for q in task.moduli for c in range(q)]
    return np.stack(columns, axis=1)


def test_exact_answers_spread_over_all_frequencies():
    task = task_of("divisible")
    np.testing.assert_allclose(divisible.spread(exact(task), task), 1)


def test_answers_along_one_cosine_use_one_frequency():
    task = task_of("miiii")
    found = divisible.spread(one_cosine(task), task)
    np.testing.assert_allclose(found, 1 / (np.array(task.moduli) // 2))


@pytest.fixture(scope="module")
def divisible_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "divisible"
    return runs.train(TINY.replace(name="divisible"), folder, progress=False)


def test_knowledge_is_of_the_loss_held_out(divisible_run):
    loss, task = divisible_run.metrics.split("loss", "validation")[-1], divisible_run.task
    guess = [-(f * np.log(f) + (1 - f) * np.log(1 - f)) for f in task.targets.mean(axis=0)]
    np.testing.assert_allclose(divisible.knowledge_of(divisible_run), 1 - loss / guess, rtol=1e-5)


def test_a_task_of_few_classes_does_not_count_as_learned(divisible_run, tiny_run):
    for run in (divisible_run, tiny_run):
        assert not divisible.learned(run)[np.array(run.task.moduli) < 5].any()


def test_one_base_has_no_lead(tiny_run, tmp_path):
    assert variations.lead_of(by_base(trainings_of([tiny_run], tmp_path / "none.jsonl"))) is None


def test_epochs_that_never_differ_have_no_order():
    assert variations.order_of(np.full(4, np.inf), [2, 3, 5, 7]) == (0.0, 1.0)


def test_order_is_that_of_ranks_from_five_on_with_never_as_the_last():
    learned = np.array([99, 98, 10, 20, 40, np.inf])
    assert variations.order_of(learned, [2, 3, 5, 7, 11, 13])[0] == pytest.approx(1)
    assert variations.order_of(learned[::-1], [2, 3, 5, 7, 11, 13])[0] == pytest.approx(0.8)


def test_lines_of_bases_have_full_marks_where_digits_are_symmetric():
    figure = figures.learning_order(
        {7: [4, 8, np.inf], 11: [2, 4, 8, 16]},
        {7: [2, 3, 5], 11: [2, 3, 5, 7]},
        {7: [True, True, False], 11: [True, True, True, False]},
    )
    (axes,) = figure.axes
    large, small = axes.lines[:2]
    np.testing.assert_array_equal(small.get_ydata(), [4, 8, 32])  # never: above all epochs
    np.testing.assert_array_equal(large.get_ydata(), [2, 4, 8, 16])
    full = axes.collections[0]
    assert [x for x, _ in full.get_offsets()] == [2, 3, 5]
    assert [text.get_text() for text in axes.texts] == ["never"]
    assert plt.get_fignums() == []


def test_lines_of_no_base_or_of_other_tasks_are_refused():
    with pytest.raises(ValueError, match="epochs is empty"):
        figures.learning_order({}, {}, {})
    with pytest.raises(ValueError, match=r"moduli\[7\] has shape"):
        figures.learning_order({7: [1, 2]}, {7: [2, 3, 5]}, {7: [True, True]})


def test_answers_of_tasks_not_learned_are_faint_and_of_large_runs_hollow():
    shares = {"small": [0.2, 0.4, np.nan], "large": [0.1, 0.3, 0.5, 0.7]}
    learned = {"small": [False, True, True], "large": [True] * 4}
    figure = figures.answer_spread([5, 7, 11, 13], shares, learned, hollow=["large"])
    small, faint, large, none = figure.axes[0].lines
    assert (small.get_xdata().tolist(), faint.get_xdata().tolist()) == ([7, 11], [5])
    assert faint.get_alpha() < 0.5 and small.get_fillstyle() == "full"
    assert large.get_ydata().tolist() == [0.1, 0.3, 0.5, 0.7] and len(none.get_xdata()) == 0
    assert large.get_fillstyle() == "none"
    legend = figure.axes[0].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["small", "large"]


def test_learned_of_another_number_of_tasks_is_refused():
    with pytest.raises(ValueError, match=r"learned\[run\] has shape"):
        figures.answer_spread([5, 7], {"run": [0.1, 0.2]}, {"run": [True]})


def test_standings_have_full_marks_where_digits_are_symmetric():
    figure = figures.task_standings([5, 5, 7], [0.5, -0.5, 0.0], [True, False, False])
    _, others, full = figure.axes[0].lines
    assert (others.get_xdata().tolist(), others.get_ydata().tolist()) == ([5, 7], [-0.5, 0.0])
    assert (full.get_xdata().tolist(), full.get_ydata().tolist()) == ([5], [0.5])
    assert (others.get_fillstyle(), full.get_fillstyle()) == ("none", "full")


def test_gains_are_of_the_median_task_from_five_on_pair_by_pair():
    usual = [Training(11, 0, np.array([1, 1, 8, np.inf]), 32), Training(11, 1, np.ones(4), 1)]
    renamed = [Training(11, 0, np.array([9, 9, 4, 6]), 6), Training(13, 1, np.ones(5), 1)]
    assert variations.gains_of(usual, renamed) == {(11, 0): 2.0}  # (8 + 32) / 2 over (4 + 6) / 2
