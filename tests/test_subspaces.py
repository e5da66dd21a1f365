import numpy as np
import pytest

from miiii_core.analysis import subspaces
from miiii_core.analysis.projections import project

P, MODULI = 11, (2, 3, 5, 7)
N = np.arange(P * P)


def stream(same):
    """Waves of mod 5 and mod 7 in planes of six dimensions: the same plane, or two."""
    values = np.zeros((P * P, 6), np.float32)
    for place, q in ((0, 5), (0 if same else 2, 7)):
        values[:, place] += np.cos(2 * np.pi * 2 * N / q)
        values[:, place + 1] += np.sin(2 * np.pi * 2 * N / q)
    return values


@pytest.mark.parametrize("same, overlap", [(True, 6 / 2), (False, 0)])
def test_planes_are_found_and_overlap_as_planted(same, overlap):
    spaces = subspaces.task_spaces(project(stream(same), MODULI), MODULI)
    five, seven = spaces[2:]
    assert len(five.directions) == len(seven.directions) == 2
    assert subspaces.counted(seven.energy) == 1 and seven.energy.argmax() == 1
    assert subspaces.overlaps([five, seven])[0, 1] == pytest.approx(overlap, abs=1e-3)
    assert subspaces.joint_rank([five, seven]) == (2 if same else 4)


def test_random_spaces_overlap_by_chance():
    draws = [subspaces.random_overlaps([3, 5, 2], 20, np.random.default_rng(s)) for s in range(200)]
    assert np.mean([subspaces.pairs_of(draw) for draw in draws]) == pytest.approx(1, abs=0.1)


def test_parts_that_hold_a_share_are_counted():
    assert subspaces.counted(np.array([1.0, 5.0, 4.0])) == 2
    assert subspaces.counted(np.zeros(3)) == 0


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="made with"):
        subspaces.task_spaces(project(stream(True), MODULI), MODULI[:2])
    with pytest.raises(ValueError, match="does not fit"):
        subspaces.random_overlaps([3], 2, np.random.default_rng(0))


def test_overlaps_and_joint_rank_by_hand():
    """Two planes of four dimensions that share a line, and a line outside both."""
    eye = np.eye(4)
    rows = (eye[[0, 1]], eye[[1, 2]], eye[[3]])
    spaces = [subspaces.TaskSpace(5, np.ones(2), own) for own in rows]
    expected = 4 * np.array([[1 / 2, 1 / 4, 0], [1 / 4, 1 / 2, 0], [0, 0, 1]])
    np.testing.assert_allclose(subspaces.overlaps(spaces), expected)
    assert subspaces.joint_rank(spaces) == 4
    assert subspaces.joint_rank(spaces[:1]) == 2


def test_no_spaces_are_refused():
    for function in (subspaces.overlaps, subspaces.joint_rank):
        with pytest.raises(ValueError, match="no spaces were given"):
            function([])
