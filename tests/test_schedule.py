import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from miiii_core.config import TrainConfig
from miiii_core.losses import NEVER, first_epoch
from miiii_core.train import next_chunk

quick = settings(deadline=None, max_examples=50)
configs = st.fixed_dictionaries(
    {
        "epochs": st.integers(1, 10**6),
        "eval_every": st.integers(50, 10**6),
        "evals_per_octave": st.integers(1, 16),
        "n_snapshots": st.integers(0, 50),
    }
)


@given(configs)
@quick
def test_ticks_are_ascending_dense_early_and_hold_all_that_is_asked_for(values):
    config = TrainConfig(**values)
    ticks = config.ticks
    assert list(ticks) == sorted(set(ticks))
    assert (ticks[0], ticks[-1]) == (0, config.epochs)
    wide, kept = config.wide_ticks, config.snapshots
    assert set(range(0, config.epochs, config.eval_every)) | set(wide) <= set(ticks)
    assert set(kept) | {0, config.epochs} <= set(wide)
    assert len(kept) <= config.n_snapshots and bool(kept) == (config.n_snapshots > 0)
    assert config.n_snapshots < 2 or (kept[0], kept[-1]) == (1, config.epochs)
    later = np.array(ticks[1:])
    widest = 2 ** (1 / config.evals_per_octave)
    assert np.all(later[1:] <= np.ceil(later[:-1] * widest) + 1)


@given(st.integers(1, 10**6), st.floats(0, 100))
@quick
def test_chunks_grow_at_most_fourfold_and_never_vanish(n, seconds):
    assert 1 <= next_chunk(n, seconds) <= 4 * n
    if seconds > 2:
        assert next_chunk(n, seconds) <= max(1, n / 2)


def test_a_run_ends_at_its_last_epoch_or_once_settled_for_long_enough():
    config = TrainConfig(epochs=100, settled_share=0.25)
    assert [e for e in range(101) if config.ends_at(e, 40)] == [*range(65, 101)]
    assert [e for e in range(101) if config.ends_at(e, -1)] == [100]
    assert not TrainConfig(epochs=100, settled_share=0.0).ends_at(99, 0)


def test_first_epoch_at_a_level():
    epochs, accuracy = np.arange(4) * 10, np.array([0.5, 0.99, 0.7, 1.0])
    assert [first_epoch(epochs, accuracy, level) for level in (0.5, 0.99, 0.995)] == [0, 10, 30]
    assert first_epoch(epochs, accuracy, 1.1) == NEVER
