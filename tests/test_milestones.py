import numpy as np

from miiii_core.milestones import GENERALISED, NEVER, Curve, first_epoch
from miiii_core.storage.results import curve_of


def test_first_epoch_at_a_level():
    epochs, accuracy = np.arange(4) * 10, np.array([0.5, 0.99, 0.7, 1.0])
    assert first_epoch(epochs, accuracy) == 10
    assert first_epoch(epochs, accuracy, 0.995) == 30
    assert first_epoch(epochs, accuracy, 1.1) is None


def test_a_curve_says_when_its_mean_came_to_a_level():
    curve = Curve(np.array([0, 8, 16]), np.array([0.1, 0.9, 0.95]))
    assert curve.reached(GENERALISED) == 8
    assert curve.reached(0.99) == NEVER


def test_the_line_of_a_training_has_its_validation_curve():
    line = {"curve": [[0, 0.3, 0.1, 0, 2], [8, 1, 0.9, 0.5, 2]]}
    epochs, accuracy = curve_of(line)
    assert epochs.tolist() == [0, 8] and accuracy.tolist() == [0.1, 0.9]
