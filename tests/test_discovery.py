import numpy as np
import pytest

from miiii_core.circuits import discovery


def kept(*circuits, parts=3):
    """A table in which only these circuits of one task keep it, each by 1."""
    left = np.zeros((2**parts, 1))
    left[list(circuits)] = 1
    return left


def test_the_smallest_circuit_is_found_where_order_and_slopes_miss_it():
    left = kept(0b001, 0b110, 0b111)
    found = discovery.find_circuits(left, np.array([[0.1, 3.0, -2.0]]))
    assert [int(c[0]) for c in found] == [0b001, 0b110, 0b110]
    assert discovery.sizes_of(found.smallest).tolist() == [1]
    assert discovery.luck(left, np.array([1])).tolist() == pytest.approx([1 / 3])


def test_of_two_smallest_circuits_the_better_one_counts():
    left = kept(0b001, 0b010, 0b111)
    left[0b001] = 0.95
    assert discovery.find_circuits(left, np.ones((1, 3))).smallest[0] == 0b010


def test_a_task_that_nothing_keeps_has_no_circuit():
    found = discovery.find_circuits(kept(), np.ones((1, 3)))
    assert [int(c[0]) for c in found] == [-1, -1, -1]
    assert discovery.sizes_of(found.smallest).tolist() == [-1]
    assert discovery.luck(kept(), np.array([-1])).tolist() == [0]


def test_a_table_without_a_row_for_each_circuit_is_refused():
    with pytest.raises(ValueError, match=r"it must be \(8, 1\)"):
        discovery.find_circuits(np.zeros((4, 1)), np.ones((1, 3)))


def test_the_smallest_circuit_is_confirmed_on_other_inputs():
    left = kept(0b001, 0b010, 0b100, 0b011, 0b110, 0b111)
    left[:, 0] += np.linspace(0, 0.01, 8)  # larger numbers are better on the inputs chosen by
    found = discovery.find_circuits(left, np.array([[0.1, 3.0, -2.0]]))
    tried = []

    def outside(good):
        def of(circuit):
            tried.append(circuit)
            return np.array([0.95 if circuit in good else 0.5])

        return of

    assert discovery.confirmed(left, found, outside({0b001, 0b110}), few=3)[0] == 0b001
    assert tried == [0b100, 0b010, 0b001]
    # Of each size the best one alone, and what automated methods picked.
    assert {int(found.pruned[0]), int(found.attributed[0])} == {0b001, 0b010}
    tried.clear()
    assert discovery.confirmed(left, found, outside({0b001, 0b110}), few=1)[0] == 0b001
    nothing = found._replace(pruned=np.array([-1]), attributed=np.array([-1]))
    tried.clear()
    assert discovery.confirmed(left, nothing, outside({0b001, 0b110}), few=1)[0] == 0b110
    assert tried == [0b100, 0b110]
    assert discovery.confirmed(left, found, outside({}), few=9)[0] == -1


def test_a_wrong_number_of_sizes_or_circuits_is_refused():
    found = discovery.find_circuits(kept(0b111), np.ones((1, 3)))
    with pytest.raises(ValueError, match="try one or more"):
        discovery.confirmed(kept(0b111), found, lambda _: np.ones(1), few=0)
    with pytest.raises(ValueError, match="2 sizes were given for 1 tasks"):
        discovery.luck(kept(0b111), np.array([1, 2]))
