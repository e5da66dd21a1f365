import numpy as np
import pytest

from miiii_core.analysis import symmetry
from miiii_core.analysis.symmetry import digit_sign, lead
from miiii_core.tasks import primes_below

BASES = (23, 29, 31, 37, 43)


def epochs_with(octaves, *, noise=0.0, seed=0):
    """Epochs that depend on base and class count, and come sooner where digits are symmetric."""
    generator = np.random.default_rng(seed)
    found = {}
    for p in BASES:
        primes = primes_below(p)
        late = p / 20 + np.sqrt(primes) - octaves * (digit_sign(p, primes) != 0)
        found[p] = 2.0 ** (late + noise * generator.normal(size=len(primes)))
    return found


ENDS = dict.fromkeys(BASES, 10**9)


@pytest.mark.parametrize("p", [7, 31, 113])
def test_the_sign_says_what_exchanging_the_digits_does(p):
    x0, x1 = np.meshgrid(np.arange(p), np.arange(p))
    for q, sign in zip(primes_below(p), digit_sign(p, primes_below(p)), strict=True):
        n, exchanged = (x0 + p * x1) % q, (x1 + p * x0) % q
        assert (sign == 1) == (n == exchanged).all()
        assert (sign == -1) == ((n == -exchanged % q).all() and q > 2)


def test_at_the_paper_base_2_and_7_add_and_3_and_19_subtract():
    primes = primes_below(113)
    signs = digit_sign(113, primes)
    assert [q for q, sign in zip(primes, signs, strict=True) if sign == 1] == [2, 7]
    assert [q for q, sign in zip(primes, signs, strict=True) if sign == -1] == [3, 19]


@pytest.mark.parametrize("octaves", [1.5, 0.0, -0.5])
def test_a_lead_is_found_whatever_base_and_class_count_do(octaves):
    found = lead(epochs_with(octaves), ENDS, draws=100)
    assert found.octaves == pytest.approx(octaves, abs=1e-9)
    assert found.symmetric + found.others == sum(len(primes_below(p)) - 2 for p in BASES)
    assert found.symmetric == sum((digit_sign(p, primes_below(p)[2:]) != 0).sum() for p in BASES)


def test_chance_is_told_from_a_lead():
    assert lead(epochs_with(1.5, noise=0.3), ENDS, draws=2000).p_value < 0.01
    by_chance = [
        lead(epochs_with(0, noise=0.3, seed=s), ENDS, draws=200).p_value for s in range(20)
    ]
    assert 0.2 < np.mean(by_chance) < 0.8


def by_size(seed):
    """Nothing but chance, which is large for small q and small for large ones."""
    generator, found = np.random.default_rng(seed), {}
    for p in BASES:
        primes = np.array(primes_below(p))
        spread = np.where(primes < 12, 1.0, 0.02)
        found[p] = 2.0 ** (primes**0.5 + spread * generator.normal(size=len(primes)))
    return found


def test_noise_that_depends_on_the_class_count_is_no_lead():
    """Symmetric tasks are small ones: put in the place of large ones, chance would look small."""
    found = [lead(by_size(seed), ENDS, draws=200, seed=seed).p_value for seed in range(100)]
    assert np.mean(np.array(found) < 0.05) < 0.08  # 0.10 if any q may take the place of another
    assert 0.35 < np.mean(found) < 0.65


def test_by_chance_each_q_is_symmetric_in_as_many_bases():
    _, modulus, symmetric, _ = symmetry._table(epochs_with(0.0), ENDS)
    drawn = [symmetry._shuffled(symmetric, modulus, np.random.default_rng(s)) for s in range(30)]
    for q in np.unique(modulus):
        assert {one[modulus == q].sum() for one in drawn} == {symmetric[modulus == q].sum()}
    assert len({tuple(one) for one in drawn}) > 20


def test_the_coefficient_is_that_of_ordinary_least_squares():
    epochs = epochs_with(0.7, noise=0.5, seed=3)
    rows = [(p, q, e) for p in BASES for q, e in zip(primes_below(p), epochs[p], strict=True)]
    rows = [row for row in rows if row[1] >= 5]
    primes = sorted({q for _, q, _ in rows})
    design = np.zeros((len(rows), len(BASES) + len(primes) + 1))
    for row, (p, q, _) in zip(design, rows, strict=True):
        row[BASES.index(p)] = row[len(BASES) + primes.index(q)] = 1
        row[-1] = p % q in (1, q - 1)
    logs = np.log2([e for *_, e in rows])
    expected = -np.linalg.lstsq(design, logs, rcond=None)[0][-1]
    assert lead(epochs, ENDS, draws=1).octaves == pytest.approx(expected, abs=1e-9)


def test_what_is_never_learned_counts_as_learned_at_the_end():
    epochs = epochs_with(1.0)
    late = {p: np.where(e == e.max(), np.inf, e) for p, e in epochs.items()}
    ends = {p: int(e.max()) + 1 for p, e in epochs.items()}
    found = lead(late, ends, draws=1)
    assert np.isfinite(found.octaves) and found.octaves == pytest.approx(1.0, abs=0.2)


def test_more_of_the_same_draws_the_same():
    epochs = epochs_with(0.5, noise=0.5)
    assert lead(epochs, ENDS, draws=300, seed=1) == lead(epochs, ENDS, draws=300, seed=1)


@pytest.mark.parametrize(
    ("bases", "message"),
    [
        ([31], "takes runs of two bases or more, not of \\[31\\]"),
        ([], "takes runs of two bases or more, not of \\[\\]"),
        ([7, 11], "have no prime from 5 on whose digits are symmetric in one and not"),
    ],
)
def test_bases_that_cannot_tell_are_refused(bases, message):
    epochs = {p: np.ones(len(primes_below(p))) for p in bases}
    with pytest.raises(ValueError, match=message):
        lead(epochs, dict.fromkeys(bases, 100))


def test_a_missing_epoch_is_refused():
    with pytest.raises(ValueError, match="base 29 has 9 tasks, and 2 epochs are given"):
        lead({29: np.ones(2), 31: np.ones(10)}, {29: 100, 31: 100})


def test_standings_are_what_base_and_modulus_leave():
    found = symmetry.standings(epochs_with(1.0, noise=0.3), ENDS)
    for of in (found.base, found.modulus):
        for one in set(of):
            assert found.ahead[of == one].sum() == pytest.approx(0, abs=1e-9)
    assert found.ahead[found.symmetric].mean() > 0.2 > found.ahead[~found.symmetric].mean()


def test_where_base_and_modulus_say_all_nothing_is_ahead():
    found = symmetry.standings(epochs_with(0.0), ENDS)
    np.testing.assert_allclose(found.ahead, 0, atol=1e-9)


def test_a_modulus_of_one_base_has_no_standing():
    found = symmetry.standings(epochs_with(1.0), ENDS)
    assert set(found.modulus) == {q for q in primes_below(37) if q >= 5}  # 37, 41 are below 43 only
