import numpy as np
import pytest

from miiii_book.subsymbolic import learn, surface

X = np.linspace(-np.pi, np.pi, 9)


def test_a_surface_is_what_the_weights_say_at_each_point():
    network = learn(1.0, 2.0, width=6, steps=1)
    (W, b), (V, c), (u, d) = (map(np.asarray, (each.weight, each.bias)) for each in network.layers)
    assert (W.shape, V.shape, u.shape) == ((6, 2), (6, 6), (1, 6))
    for x, row in zip(X, surface(network, X), strict=True):
        for y, value in zip(X, row, strict=True):
            hidden = np.maximum(V @ np.maximum(W @ [x, y] + b, 0) + c, 0)
            assert value == pytest.approx((u @ hidden + d)[0], abs=1e-5)


def test_training_comes_near_the_papers_formula_and_depends_on_the_seed():
    target = np.cos(X)[:, None] + np.sin(2 * X)
    first, again, other = (
        surface(learn(1.0, 2.0, width=6, steps=300, seed=seed), X) for seed in (0, 0, 1)
    )
    assert ((first - target) ** 2).mean() < target.var() / 2
    assert np.array_equal(first, again) and not np.allclose(first, other)


@pytest.mark.parametrize("wrong", [{"width": 0, "steps": 9}, {"width": 3, "steps": 0}])
def test_training_without_neurons_or_steps_is_refused(wrong):
    with pytest.raises(ValueError, match="train nothing; give 1 or more of each"):
        learn(1.0, 1.0, **wrong)
