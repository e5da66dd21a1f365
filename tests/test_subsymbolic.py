import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miiii_book import subsymbolic

quick = settings(deadline=None, max_examples=15)
WIDTH = 6
NETWORK, LOSSES = subsymbolic.learn(1.0, 2.0, width=WIDTH, steps=300)
X, Y = np.linspace(-3.0, 3.0, 9), np.linspace(-2.0, 2.0, 5)
FIT = subsymbolic.surface(NETWORK, X, Y)


def test_a_surface_is_what_the_weights_say_at_each_point():
    (W, b), (V, c), (u, d) = (map(np.asarray, (each.weight, each.bias)) for each in NETWORK.layers)
    assert (W.shape, V.shape, u.shape) == ((WIDTH, 2), (WIDTH, WIDTH), (1, WIDTH))
    for i, x in enumerate(X):
        for j, y in enumerate(Y):
            hidden = np.maximum(V @ np.maximum(W @ [x, y] + b, 0) + c, 0)
            assert FIT[i, j] == pytest.approx((u @ hidden + d)[0], abs=1e-5)


def test_training_lowers_the_error_of_the_papers_formula():
    assert len(LOSSES) == 300 and LOSSES[-1] < LOSSES[0] / 4
    fine = np.linspace(-np.pi, np.pi, 41)
    target = np.cos(fine)[:, None] + np.sin(2 * fine)
    assert ((subsymbolic.surface(NETWORK, fine, fine) - target) ** 2).mean() < 2 * LOSSES[-1]


def test_equal_seeds_train_equal_networks():
    again = subsymbolic.learn(1.0, 2.0, width=WIDTH, steps=300)[1]
    other = subsymbolic.learn(1.0, 2.0, width=WIDTH, steps=300, seed=1)[1]
    np.testing.assert_array_equal(again, LOSSES)
    assert (other != LOSSES).any()


@given(st.permutations(range(WIDTH)), st.sampled_from([0, 1]))
@quick
def test_neurons_in_another_order_compute_the_same(order, layer):
    mixed = subsymbolic.disguised(NETWORK, layer, np.array(order), np.ones(WIDTH))
    bias = np.asarray(NETWORK.layers[layer].bias)
    np.testing.assert_array_equal(mixed.layers[layer].bias, bias[order])
    np.testing.assert_allclose(subsymbolic.surface(mixed, X, Y), FIT, atol=1e-5)


@given(st.lists(st.integers(-8, 8), min_size=WIDTH, max_size=WIDTH), st.sampled_from([0, 1]))
@quick
def test_neurons_scaled_by_powers_of_two_compute_the_same_to_the_bit(powers, layer):
    scaled = subsymbolic.disguised(NETWORK, layer, np.arange(WIDTH), 2.0 ** np.array(powers))
    np.testing.assert_array_equal(subsymbolic.surface(scaled, X, Y), FIT)


@given(st.floats(0.5, 5), st.floats(-2, 2), st.floats(0.2, 2), st.floats(-3, 3))
@quick
def test_a_planted_wave_is_read_off(omega, c, s, mean):
    x = np.linspace(-np.pi, np.pi, 60)
    values = mean + c * np.cos(omega * x) + s * np.sin(omega * x)
    cos, sin, share = subsymbolic.single_waves(x, values, np.array([omega, omega + 1]))
    assert (cos[0], sin[0], share[0]) == pytest.approx((c, s, 1.0), abs=1e-6)
    assert share[1] < share[0]


@pytest.mark.parametrize("wrong", [{"width": 0, "steps": 5}, {"width": 3, "steps": 0}])
def test_nothing_to_train_is_refused(wrong):
    with pytest.raises(ValueError, match="width={width} and steps={steps}.*1 or".format(**wrong)):
        subsymbolic.learn(1.0, 2.0, **wrong)
