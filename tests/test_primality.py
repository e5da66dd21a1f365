import numpy as np
import pytest

from miiii_core.circuits import primality

MODULI = (2, 3, 5, 7)
NUMBERS = np.arange(121)  # below 11 squared


def trial(n):
    return n > 1 and all(n % d for d in range(2, n))


def true_divides():
    return np.array([[n % q == 0 for q in MODULI] for n in NUMBERS])


def test_true_remainders_find_the_primes_and_nothing_else():
    expected = [trial(n) for n in range(121)]
    assert primality.sieve(NUMBERS, MODULI).tolist() == expected
    assert primality.called_prime(true_divides(), NUMBERS, MODULI).tolist() == expected


def test_a_modulus_that_is_never_said_lets_its_own_composites_through():
    truth = primality.sieve(NUMBERS, MODULI)
    guarded = primality.guarded_by(NUMBERS, MODULI)
    for i, q in enumerate(MODULI):
        divides = true_divides()
        divides[:, i] = False
        slipped = primality.called_prime(divides, NUMBERS, MODULI) & ~truth
        assert slipped.tolist() == guarded[i].tolist()
        for n in np.flatnonzero(guarded[i]):
            assert n % q == 0 and all(n % other for other in MODULI if other != q)
    assert np.flatnonzero(guarded[3]).tolist() == [49, 77, 91, 119]


def test_a_modulus_that_is_always_said_leaves_itself_alone():
    divides = true_divides()
    divides[:, 1] = True
    assert np.flatnonzero(primality.called_prime(divides, NUMBERS, MODULI)).tolist() == [3]


def test_what_a_network_says_divides_is_its_answer_0():
    logits = np.zeros((3, 17))
    logits[0, [0, 3]] = 1  # remainder 0 by 2, 1 by 3
    logits[1, [1, 2]] = 1
    said = primality.said_to_divide(logits, MODULI)
    assert said[:2, :2].tolist() == [[True, False], [False, True]]


def test_confusion_counts_by_hand():
    called = np.array([1, 1, 1, 0, 0], bool)
    prime = np.array([1, 1, 0, 1, 0], bool)
    found = primality.confusion(called, prime)
    assert found == (2, 1, 1, 1)
    assert found.precision == found.recall == pytest.approx(2 / 3)
    nothing = primality.confusion(np.zeros(5, bool), prime)
    assert (nothing.precision, nothing.recall) == (0, 0)


def test_answers_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="one row for each number and a column for each modulus"):
        primality.called_prime(np.zeros((4, 3), bool), np.arange(4), MODULI)


def test_a_confusion_of_other_numbers_is_refused():
    with pytest.raises(ValueError, match="1 numbers were called and 3 are known"):
        primality.confusion(np.array([True]), np.array([True, False, True]))
