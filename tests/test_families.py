from itertools import product

import numpy as np
import pytest

from miiii_core.circuits import families


@pytest.mark.parametrize("p", [7, 31, 113])
def test_the_slope_makes_n_a_sum_or_a_difference(p):
    moduli = [q for q in range(2, p) if all(q % d for d in range(2, q))]
    for q, s in zip(moduli, families.slopes(moduli, p), strict=True):
        x0, x1 = np.meshgrid(np.arange(p), np.arange(p))
        both = [((x0 + sign * s * x1 - (x0 + p * x1)) % q == 0).all() for sign in (1, -1)]
        assert any(both) and s <= q // 2


def test_at_113_the_sums_and_differences_are_2_3_7_and_19():
    moduli = [2, 3, 5, 7, 11, 13, 17, 19, 23]
    assert np.array(moduli)[families.slopes(moduli, 113) == 1].tolist() == [2, 3, 7, 19]


def test_overlap_is_the_correlation_and_0_with_a_constant():
    share = np.random.default_rng(0).normal(size=(30, 3))
    np.testing.assert_allclose(families.overlap(share), np.corrcoef(share.T), atol=1e-12)
    share[:, 1] = 2
    assert np.abs(families.overlap(share)[1]).max() < 1e-9


def test_the_p_value_is_that_of_all_relabellings_of_tasks_of_like_size():
    closeness = np.random.default_rng(4).normal(size=(8, 8))
    closeness += closeness.T
    slope = np.array([1, 2, 1, 3, 1, 4, 5, 6])
    found = families.family_excess(closeness, slope, only=1)
    gaps = []
    for swapped in product([False, True], repeat=4):  # the two tasks of each quarter
        order = [i ^ swapped[i // 2] for i in range(8)]
        c = closeness[np.ix_(order, order)]
        inside = [c[0, 2], c[0, 4], c[2, 4]]
        pairs = [(i, j) for i in range(8) for j in range(i) if {i, j} - {0, 2, 4}]
        gaps.append(np.mean(inside) - np.mean([c[pair] for pair in pairs]))
    assert found.inside - found.outside == pytest.approx(gaps[0])
    assert found.p_value == pytest.approx(np.mean(np.array(gaps) >= gaps[0] - 1e-9), abs=0.04)


def test_slopes_count_all_together_or_one_alone():
    closeness = np.eye(4)
    closeness[0, 1] = closeness[1, 0] = closeness[2, 3] = closeness[3, 2] = 1
    slope = np.array([1, 1, 2, 2])
    every = families.family_excess(closeness, slope)
    assert (every.inside, every.outside) == (1, 0)
    assert families.family_excess(closeness, slope, only=1).outside == pytest.approx(1 / 5)


@pytest.mark.parametrize("slope", [[1, 2, 3], [1, 1, 1]])
def test_without_families_or_without_others_there_is_nothing_to_compare(slope):
    with pytest.raises(ValueError, match="some pairs must be of one and some not"):
        families.family_excess(np.eye(3), np.array(slope))


def test_tasks_without_a_neuron_in_common_correlate_a_little_below_0():
    """As many neurons for each of T tasks, by loops: -1 / (T - 1)."""
    share = np.random.default_rng(0).normal(size=(12, 4)) * 0.1
    for neuron in range(12):
        share[neuron, neuron % 4] = 1
    alone = families.exclusive(share)
    assert all((row != 0).sum() == 1 and row.max() == 1 for row in alone)
    np.testing.assert_allclose(families.overlap(alone)[np.triu_indices(4, 1)], -1 / 3)


def test_shares_dealt_anew_are_the_same_shares_elsewhere():
    share = np.random.default_rng(0).normal(size=(400, 3)) + np.array([0, 1, 2])
    share[:, 1] = share[:, 0]
    dealt = families.dealt(share, np.random.default_rng(1))
    np.testing.assert_array_equal(np.sort(dealt, axis=0), np.sort(share, axis=0))
    assert families.overlap(share)[0, 1] == pytest.approx(1)
    assert abs(families.overlap(dealt)[0, 1]) < 0.2


def test_what_has_no_slope_or_no_correlation_is_refused():
    for moduli in ([2, 31], [1, 3]):
        with pytest.raises(ValueError, match="none may be below 2 or divide p"):
            families.slopes(moduli, 31)
    with pytest.raises(ValueError, match="two neurons or more, not 1"):
        families.overlap(np.ones((1, 3)))
