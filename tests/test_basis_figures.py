import numpy as np
import pytest

from miiii_core import figures


def test_the_area_of_a_dot_is_the_share_of_its_wave():
    axes = figures.wave_chart([2, 7], [[3.0], [1.0, 0.0, 3.0]], "waves").axes[0]
    dots = axes.collections[3]
    np.testing.assert_allclose(dots.get_offsets()[:, 1], np.array([1, 2, 3]) / 7)
    np.testing.assert_allclose(dots.get_sizes() / dots.get_sizes().sum(), [0.25, 0, 0.75])
    assert (dots.get_offsets()[:, 0] == 1).all()


@pytest.mark.parametrize(
    "moduli, shares, complaint",
    [([7], [[1.0]], "shares of mod 7"), ([2], [], "primes"), ([], [], "empty")],
)
def test_shares_that_do_not_fit_are_refused(moduli, shares, complaint):
    with pytest.raises(ValueError, match=complaint):
        figures.wave_chart(moduli, shares, "waves")
