import numpy as np
import pytest

from miiii_core.analysis import dictionaries

P, MODULI = 13, (2, 3, 5, 7, 11)
TABLE = np.random.default_rng(0).normal(size=(P, 6))


def dense_pursuit(table, frequencies, steps):
    """Each step fits all chosen waves and one more by dense least squares."""
    centred = table - table.mean(axis=0)
    chosen, picks, shares = np.ones((P, 1)), [], []
    for _ in range(steps):
        best = None
        for f in frequencies:
            angle = 2 * np.pi * f * np.arange(P)
            columns = np.column_stack([chosen, np.cos(angle), np.sin(angle)])
            fit = columns @ np.linalg.lstsq(columns, centred, rcond=1e-8)[0]
            if best is None or (fit**2).sum() > best[0] + 1e-9:
                best = ((fit**2).sum(), f, columns)
        picks.append(best[1])
        shares.append(best[0] / (centred**2).sum())
        chosen = best[2]
    return picks, shares


def test_waves_are_chosen_as_dense_least_squares_would():
    frequencies = dictionaries.remainder_frequencies(MODULI)
    picks, shares = dense_pursuit(TABLE, frequencies, 4)
    found = dictionaries.choose_waves(TABLE, frequencies, 4)
    np.testing.assert_allclose(found.frequencies, picks)
    np.testing.assert_allclose(found.explained, shares, atol=1e-9)


def test_the_dft_explains_all_in_order_of_its_energies():
    found = dictionaries.choose_waves(TABLE, dictionaries.dft_frequencies(P), P)
    spectrum = np.abs(np.fft.fft(TABLE, axis=0)) ** 2
    energies = np.sort(spectrum.sum(axis=1)[1 : (P + 1) // 2])[::-1]
    np.testing.assert_allclose(found.explained, np.cumsum(energies) / energies.sum())


def test_a_planted_wave_is_found_at_once():
    angle = 2 * np.pi * 3 / 11 * np.arange(P)
    table = np.stack([np.cos(angle), np.sin(angle + 1)], axis=1) + 4
    found = dictionaries.compare_dictionaries(table, MODULI, np.random.default_rng(0), 3)
    assert found.remainders.frequencies[0] == pytest.approx(3 / 11)
    assert dictionaries.needed(found.remainders.explained, 0.99) == 1
    assert found.random.shape == (3, (P - 1) // 2)
    assert found.grid.explained[0] < 0.99


def test_a_table_that_does_not_vary_is_refused():
    with pytest.raises(ValueError, match="above 0"):
        dictionaries.choose_waves(np.ones((P, 2)), np.array([0.2]), 3)


def test_random_frequencies_are_so_many_and_within_bounds():
    drawn = dictionaries.random_frequencies(500, 13, np.random.default_rng(0))
    assert len(drawn) == len(set(drawn)) == 500
    assert drawn.min() >= 1 / 13 and drawn.max() <= 0.5
    assert drawn.min() < 0.08 and drawn.max() > 0.49
    for count, p in ((0, 13), (5, 2)):
        with pytest.raises(ValueError, match="ask for one or more, of 3 digits or more"):
            dictionaries.random_frequencies(count, p, np.random.default_rng(0))
