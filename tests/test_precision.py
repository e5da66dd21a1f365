import re

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks import precision
from miiii_core.config import Config
from miiii_core.training import train

TINY = Config().replace(
    p=7, d_model=8, n_heads=2, mlp_ratio=2, epochs=12, learning_rate=1e-2, n_snapshots=0
)


def test_the_epoch_is_the_first_record_at_the_level():
    config = TINY.replace(probes=(), eval_every=4, evals_per_octave=1)
    level, expected = 0.3, []
    for seed in (0, 1):
        own = config.replace(seed=seed)
        task = train.task_of(own)
        seen = train.fit(own, task, train.initial_state(own, task))
        curve = [(s.epoch, np.mean(s.metrics["accuracy"][1])) for s in seen if s.metrics]
        expected.append(next((epoch for epoch, mean in curve if mean >= level), None))
    assert precision.grokked_at(config, (0, 1), level) == expected
    assert precision.grokked_at(config, (0, 1), 1.0) == [None, None]


@pytest.mark.parametrize(
    "exact, rounded, words",
    [
        (
            [100, 200, 300],
            [110, 190, 320],
            r"shifts the epoch by \+10 .*, within .* of 200; 0 and 0",
        ),
        ([100, 110, 120], [200, 210, 220], r"by \+100 .*, beyond the seeds' own range of 20"),
        ([100, 200, None], [100, 200, 300], r"by \+0 .*, beyond .*; 1 and 0 of 3 seeds never"),
        ([100, None, None], [None, 200, None], r"Not decided: 2 and 2 of 3 seeds never got there"),
    ],
)
def test_the_verdict_follows_from_the_epochs(exact, rounded, words):
    assert re.search(words, precision.verdict({"float32": exact, "bfloat16": rounded}))


def test_the_command_writes_what_it_prints(tmp_path, monkeypatch):
    monkeypatch.setattr(precision, "TABLE", tmp_path / "precision.md")
    monkeypatch.setattr(precision, "preset", lambda name: TINY)
    arguments = ["--seeds", "2", "--level", "0.2", "--preset", "nanda-small", "--epochs", "8"]
    done = CliRunner().invoke(precision.main, arguments, catch_exceptions=False)
    text = (tmp_path / "precision.md").read_text()
    assert done.exit_code == 0 and text.strip() == done.output.strip()
    assert text.count("\n| ") == 4 and "within 8 epochs" in text and "nanda-small" in text
