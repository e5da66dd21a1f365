import jax
import numpy as np
import pytest

from miiii_core.circuits import erasure, exam
from miiii_core.config import ModelConfig, TaskConfig
from miiii_core.network.model import Transformer
from miiii_core.tasks import make_task

ROWS = np.arange(0, 49, 2)
COLUMNS = {0: slice(0, 2), 1: slice(2, 5), 2: slice(5, 10)}


@pytest.fixture(scope="module")
def small():
    task = make_task(TaskConfig(p=7, n_validation=10), jax.random.key(1))
    config = ModelConfig(d_model=12, n_heads=2, mlp_ratio=2)
    model = Transformer(config, p=7, n_tasks=3, n_classes=10, key=jax.random.key(2))
    activations = model.activations(task.digits)
    stream = erasure.stream_of(activations, model, task.class_sizes, ROWS)
    return task, model, activations, stream, exam.make_exam(task, activations.logits, ROWS)


def centred(own):
    """Logits less what changes nothing: their mean over the classes."""
    return own - own.mean(axis=1, keepdims=True)


def test_a_projection_is_the_stream_projected_and_read_again(small):
    _, model, activations, stream, _ = small
    read = erasure.leading_directions(stream, COLUMNS[2]).read[:, :3]
    resid, W_U = np.asarray(activations.resid_post, float), np.asarray(model.W_U, float)
    basis = np.linalg.svd(read, full_matrices=False)[0]
    moved = resid - (resid - resid.mean(axis=0)) @ basis @ basis.T
    expected, found = (moved @ W_U)[ROWS], stream.without(erasure.orthogonal(read))
    for own in COLUMNS.values():
        np.testing.assert_allclose(centred(found[:, own]), centred(expected[:, own]), atol=1e-4)


@pytest.mark.parametrize("i", COLUMNS)
def test_all_directions_of_a_task_leave_one_constant_answer(small, i):
    _, _, _, stream, test = small
    directions = erasure.leading_directions(stream, COLUMNS[i])
    assert directions.read.shape[1] == len(directions.classes) - 1
    for erased in (
        erasure.orthogonal(directions.read),
        erasure.gentlest(stream, COLUMNS[i], directions, directions.read.shape[1]),
    ):
        own = centred(stream.without(erased)[:, COLUMNS[i]])
        np.testing.assert_allclose(own, np.repeat(own[:1], len(own), axis=0), atol=1e-4)
        assert test.left_of(i, own) <= 0 or test.whole[i] <= test.guess[i]


def test_directions_come_by_the_variance_of_the_logits(small):
    stream = small[3]
    directions = erasure.leading_directions(stream, COLUMNS[2])
    along = stream.swing @ directions.read
    covariance = along.T @ along
    np.testing.assert_allclose(covariance, np.diag(np.diag(covariance)), atol=1e-8)
    assert (np.diff(np.diag(covariance)) <= 1e-9).all()


def test_the_gentlest_way_takes_the_same_and_harms_the_others_less_than_any_other(small):
    stream, own = small[3], COLUMNS[2]
    directions = erasure.leading_directions(stream, own)
    mild, taken = erasure.gentlest(stream, own, directions, 2), directions.first(2)
    np.testing.assert_allclose(mild.write @ stream.reads[:, own], taken.classes.T, atol=1e-9)
    others = np.delete(stream.reads, np.r_[own], axis=1)
    free = np.linalg.svd(directions.read)[0][:, directions.read.shape[1] :]
    least, generator = np.linalg.norm(mild.write @ others), np.random.default_rng(0)
    for _ in range(10):
        other = mild.write + 0.1 * generator.normal(size=(2, free.shape[1])) @ free.T
        np.testing.assert_allclose(other @ stream.reads[:, own], taken.classes.T, atol=1e-9)
        assert np.linalg.norm(other @ others) > least - 1e-9


def test_the_smallest_rank_is_the_first_that_breaks(small):
    _, _, _, stream, test = small
    best = exam.Exam(test.rows, stream_answers(stream, 2), (2, 3, 5), np.zeros(3), np.ones(3))
    directions = erasure.leading_directions(stream, COLUMNS[2])
    rank = erasure.smallest_rank(stream, best, 2, directions)

    def left(r):
        erased = erasure.orthogonal(directions.read[:, :r])
        return best.left_of(2, stream.without(erased)[:, COLUMNS[2]])

    broken = [r for r in range(1, 5) if left(r) <= exam.BROKEN]
    assert rank == (broken[0] if broken else 4)


def stream_answers(stream, i):
    """Targets that the network is right on."""
    own = stream.logits[:, COLUMNS[i]].argmax(axis=1)
    targets = np.zeros((len(own), 3), int)
    targets[:, i] = own
    return targets


def test_a_random_projection_keeps_to_what_is_left():
    basis = np.linalg.qr(np.random.default_rng(1).normal(size=(8, 3)))[0]
    drawn = erasure.random_projection(basis, np.random.default_rng(0))
    np.testing.assert_allclose(drawn.write @ drawn.read, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(basis.T @ drawn.read, 0, atol=1e-12)
    with pytest.raises(ValueError, match="5 of 8 directions leave too few"):
        erasure.random_projection(np.eye(8)[:, :5], np.random.default_rng(0))


def test_each_task_is_broken_and_scored(small):
    _, _, _, stream, test = small
    found = erasure.break_each((stream, test), (stream, test), draws=3)
    assert found.projected.left.shape == found.gentle.shape == (3, 3)
    assert found.projected.controls.shape == (3, 3, 3)
    assert [e.read.shape[1] for e in found.erasures] == found.projected.sizes.tolist()
    again = test.left(stream.without(found.erasures[1]))
    np.testing.assert_allclose(found.projected.left[1], again)


@pytest.mark.parametrize("fill", ["mean", "zero"])
def test_what_is_left_along_the_directions_is_the_mean_or_nothing(small, fill):
    task, model, activations, stream, _ = small
    read = erasure.leading_directions(stream, COLUMNS[2]).read[:, :2]
    some = erasure.stream_of(activations, model, task.class_sizes, ROWS, fill)
    resid, W_U = np.asarray(activations.resid_post, float), np.asarray(model.W_U, float)
    basis = np.linalg.svd(read, full_matrices=False)[0]
    kept = resid.mean(axis=0) if fill == "mean" else 0
    moved = resid - (resid - kept) @ basis @ basis.T
    found = some.without(erasure.orthogonal(read))
    for own in COLUMNS.values():
        np.testing.assert_allclose(
            centred(found[:, own]), centred((moved @ W_U)[ROWS, own]), atol=1e-4
        )


@pytest.mark.parametrize("rows", [[], [49], [-1]])
def test_rows_that_are_no_inputs_are_refused(small, rows):
    task, model, activations, _, _ = small
    with pytest.raises(ValueError, match="give one or more of the inputs 0 to 48"):
        erasure.stream_of(activations, model, task.class_sizes, np.array(rows, int))


def test_a_stream_and_an_exam_of_other_inputs_are_refused(small):
    task, model, activations, stream, test = small
    other = erasure.stream_of(activations, model, task.class_sizes, ROWS[:5])
    with pytest.raises(ValueError, match="a stream on 5 inputs and an exam on 25 were given"):
        erasure.break_each((other, test), (stream, test))
    with pytest.raises(ValueError, match="0 draws were asked for"):
        erasure.break_each((stream, test), (stream, test), draws=0)
