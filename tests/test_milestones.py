import numpy as np

from miiii_core.milestones import first_epoch


def test_first_epoch_at_a_level():
    epochs, accuracy = np.arange(4) * 10, np.array([0.5, 0.99, 0.7, 1.0])
    assert first_epoch(epochs, accuracy) == 10
    assert first_epoch(epochs, accuracy, 0.995) == 30
    assert first_epoch(epochs, accuracy, 1.1) is None
