"""One test for all wrong input of a module of figures."""

import matplotlib.pyplot as plt
import pytest


def refusals(wrong):
    """A test, for each call by name, that its error says what is accepted and no figure is left."""

    @pytest.mark.parametrize("name", wrong)
    def test(name):
        call, message = wrong[name]
        with pytest.raises(ValueError, match=message):
            call()
        assert plt.get_fignums() == []

    return test
