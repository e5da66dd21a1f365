"""Neighbours of a choice: which there are, which are stored, and what they say of it."""

import json

import numpy as np
import pytest
from tiny import TINY

from benchmarks import neighbours as benchmark
from miiii_core.claims import Verdict, examine, find_claim, hyperparameters
from miiii_core.claims.hyperparameters import APART, stored_neighbours
from miiii_core.milestones import NEVER
from miiii_core.presets import preset
from miiii_core.runs import cached
from miiii_core.spaces import RECORDING, TABLE_1, neighbours
from miiii_core.storage.saved import RunError

STEPS = len(set(neighbours(TINY, TABLE_1)) - set(APART))
PAPER = preset("miiii").replace(precision="bfloat16")


def test_a_neighbour_differs_in_one_field_and_every_other_value_is_one():
    found = neighbours(PAPER, TABLE_1)
    # Table 1 has 17 values, and of the paper's choice all but the weight decay are among them.
    assert len(found) == sum(map(len, TABLE_1.values())) - 5 == 12
    for (field, value), config in found.items():
        assert config.values[field] == value != PAPER.values[field]
        assert config.replace(**{field: PAPER.values[field]}) == PAPER


def test_those_stored_are_those_that_would_be_trained_to_the_same_end():
    stored = {(one.field, one.value): one for one in stored_neighbours(PAPER)}
    assert set(stored) == set(neighbours(PAPER, TABLE_1)) - set(APART)
    assert all(one.curve.epochs[-1] == PAPER.train.epochs for one in stored.values())
    assert len(benchmark.chosen()) == len(stored)
    assert {c.digest for c in benchmark.chosen(["d_model"])} == {
        PAPER.replace(d_model=128, **RECORDING).digest
    }


def test_they_are_neighbours_of_any_seed_and_of_no_other_recipe():
    assert len(stored_neighbours(PAPER.replace(seed=3))) == len(stored_neighbours(PAPER))
    assert stored_neighbours(PAPER.replace(train_fraction=0.3)) == []
    assert stored_neighbours(TINY) == []


def lines(tmp_path, accuracies):
    """A file of neighbours of `TINY` that end with some accuracies; the first ones if fewer."""
    path = tmp_path / "neighbours.jsonl"
    steps = {s: c for s, c in neighbours(TINY, TABLE_1).items() if s not in APART}
    rows = [
        {"digest": config.replace(**RECORDING).digest, "seed": 0,
         "curve": [[0, 0, 0.1, 0, 2], [40, 1, accuracy, 0, 2]]}
        for config, accuracy in zip(steps.values(), accuracies, strict=False)
    ]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_neighbour_says_when_it_had_generalised(tmp_path):
    first, second = stored_neighbours(TINY, lines(tmp_path, [0.95, 0.5]))
    assert (first.curve.reached(0.9), second.curve.reached(0.9)) == (40, NEVER)
    np.testing.assert_array_equal(first.curve.accuracy, [0.1, 0.95])


def test_a_neighbour_may_have_several_seeds_and_counts_by_its_median(
    tiny_run, tmp_path, monkeypatch
):
    path = lines(tmp_path, [0.0] * STEPS)
    first = json.loads(path.read_text().splitlines()[0])
    field, value = next(iter(s for s in neighbours(TINY, TABLE_1) if s not in APART))
    for seed, end in ((1, 1.0), (2, 1.0)):
        config = TINY.replace(seed=seed, **{field: value}, **RECORDING)
        row = first | {"digest": config.digest, "seed": seed, "curve": [[0, 0, end, 0, 2]]}
        with path.open("a") as file:
            file.write(json.dumps(row) + "\n")
    found = stored_neighbours(TINY, path)
    assert [one.seed for one in found if (one.field, one.value) == (field, value)] == [0, 1, 2]
    monkeypatch.setattr(
        hyperparameters, "stored_neighbours", lambda config: stored_neighbours(config, path)
    )
    values = examine(find_claim("hyperparameters"), {"miiii": [tiny_run]}).values
    assert (values["neighbours"], values["neighbours that end higher"]) == (STEPS, 1)


@pytest.mark.parametrize(
    "better, verdict", [(0, Verdict.REPRODUCED), (1, Verdict.PARTLY), (11, Verdict.NOT)]
)
def test_the_choice_is_the_best_if_no_neighbour_ends_higher(
    better, verdict, tiny_run, tmp_path, monkeypatch
):
    path = lines(tmp_path, [1.0] * better + [0.0] * (STEPS - better))
    monkeypatch.setattr(
        hyperparameters, "stored_neighbours", lambda config: stored_neighbours(config, path)
    )
    found = examine(find_claim("hyperparameters"), {"miiii": [tiny_run]})
    assert found.verdict is verdict, found.reason
    assert found.values["neighbours that end higher"] == better


def test_the_best_value_of_each_field_stands_beside_table_2(tiny_run, tmp_path, monkeypatch):
    steps = [step for step in neighbours(TINY, TABLE_1) if step not in APART]
    ends = [1.0 if step in (("dropout", 0.2), ("n_heads", 8)) else 0.0 for step in steps]
    path = lines(tmp_path, ends)
    monkeypatch.setattr(
        hyperparameters, "stored_neighbours", lambda config: stored_neighbours(config, path)
    )
    claim = find_claim("hyperparameters")
    values = examine(claim, {"miiii": [tiny_run]}).values
    assert (values["best dropout"], values["best heads"]) == (0.2, 8)
    assert (values["best λ"], values["best d"]) == (0.5, TINY.model.d_model)  # as they were
    # Table 2, as the paper prints it.
    assert claim.published == {
        "best dropout": 0.1, "best λ": 0.5, "best weight decay": 1 / 3, "best d": 256,
        "best learning rate": 3e-4, "best heads": 4,
    }  # fmt: skip


def test_a_missing_neighbour_leaves_the_claim_open(tiny_run, tmp_path, monkeypatch):
    path = lines(tmp_path, [0.5] * (STEPS - 1))
    monkeypatch.setattr(
        hyperparameters, "stored_neighbours", lambda config: stored_neighbours(config, path)
    )
    found = examine(find_claim("hyperparameters"), {"miiii": [tiny_run]})
    assert found.verdict is Verdict.OPEN and "10 of the 11 neighbours" in found.reason


@pytest.mark.parametrize("content", ["{}", "no json", '{"digest": 1, "seed": 0}\n[]'])
def test_a_damaged_file_is_refused_by_name(content, tmp_path):
    path = tmp_path / "neighbours.jsonl"
    path.write_text(content)
    with pytest.raises(RunError, match="neighbours.jsonl is damaged.*compute it again"):
        stored_neighbours(TINY, path)


def test_the_shipped_run_is_the_one_in_the_middle():
    assert stored_neighbours(cached("miiii").config)
