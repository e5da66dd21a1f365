import numpy as np

from miiii_core.addition.published import NANDA, Published


def test_a_value_agrees_within_the_bounds_ends_included():
    heat = Published("heat", 5, low=3, high=6)
    assert [heat.agrees(v) for v in (2.9, 3.0, 6.0, 6.1)] == [False, True, True, False]


def test_an_interval_agrees_if_the_value_may_be_within_the_bounds():
    heat = Published("heat", 5, low=3, high=6)
    assert heat.agrees(1.0, 3.0) and heat.agrees(6.0, 9.0) and heat.agrees(0.0, 9.0)
    assert not heat.agrees(1.0, 2.0) and not heat.agrees(7.0, 9.0)


def test_what_was_not_found_agrees_with_nothing():
    assert not Published("heat", 5).agrees(np.nan)
    assert not Published("heat", 5, low=3).agrees(np.nan, np.nan)


def test_every_published_number_agrees_with_itself_and_can_be_disagreed_with():
    for number in NANDA.values():
        assert number.agrees(float(number.value))
        assert not (number.agrees(1e9) and number.agrees(-1e9))
