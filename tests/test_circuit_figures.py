import matplotlib.pyplot as plt
import numpy as np
import pytest

from miiii_core import figures


def test_maps_stand_side_by_side_on_one_scale_from_guessing_to_unharmed():
    one, two = np.array([[0.0, 1.0], [0.9, -0.1]]), np.ones((2, 2))
    figure = figures.selectivity_maps({"chosen": one, "random": two}, [2, 3])
    left, right = figure.axes[:2]
    np.testing.assert_array_equal(left.images[0].get_array(), one)
    np.testing.assert_array_equal(right.images[0].get_array(), two)
    assert {image.get_clim() for image in (left.images[0], right.images[0])} == {(0, 1)}
    assert left.get_title() == "chosen" and left.get_ylabel().startswith("broken")
    assert [t.get_text() for t in right.get_xticklabels()] == ["2", "3"]
    assert plt.get_fignums() == []


def test_maps_must_be_square_and_some():
    with pytest.raises(ValueError, match="maps is empty"):
        figures.selectivity_maps({}, [2, 3])
    with pytest.raises(ValueError, match="must have the same length"):
        figures.selectivity_maps({"a": np.zeros((2, 3))}, [2, 3])


def test_marks_stand_where_a_part_is_in_a_circuit():
    smallest = np.array([[True, False, False], [False, True, True]])
    figure = figures.circuit_grid({"smallest": smallest, "pruned": ~smallest}, [2, 3], list("abc"))
    (axes,) = figure.axes
    dots = [sorted(map(tuple, np.asarray(c.get_offsets()))) for c in axes.collections]
    assert dots == [[(0, 0), (1, 1), (1, 2)], [(0, 1), (0, 2), (1, 0)]]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["a", "b", "c"]
    assert axes.yaxis_inverted()
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["smallest", "pruned"]


def test_a_grid_takes_one_to_three_ways_of_the_right_shape():
    with pytest.raises(ValueError, match="0 ways of finding circuits"):
        figures.circuit_grid({}, [2], ["a"])
    with pytest.raises(ValueError, match=r"must have axes \(task, 2\)"):
        figures.circuit_grid({"x": np.ones((1, 3), bool)}, [2], ["a", "b"])
