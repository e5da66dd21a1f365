import dataclasses

import pytest

from miiii_core.config import Config
from miiii_core.presets import PRESETS, nearest_preset, preset, train_command
from miiii_core.training.train import task_of

NAMES = ("miiii", "nanda", "basis", "masked", "no-dropout", "no-grokfast", "divisible")
FULL_ONLY = ("miiii-30", "sample-dropout", "nanda-as-miiii", "nanda-he")
CHANGED = {
    "basis": {"name"},
    "masked": {"name"},
    "divisible": {"name"},
    "no-dropout": {"dropout"},
    "no-grokfast": {"grokfast"},
}


def flat(config):
    return {k: v for part in dataclasses.asdict(config).values() for k, v in part.items()}


def test_each_experiment_comes_full_and_small():
    assert set(PRESETS) == {*NAMES, *FULL_ONLY, *(f"{name}-small" for name in NAMES)}
    assert len({config.digest for config in PRESETS.values()}) == len(PRESETS)
    for name in NAMES:
        assert preset(name).task.p == 113
        assert preset(f"{name}-small").task.p < 100
        assert preset(f"{name}-small").task.name == preset(name).task.name


def test_miiii_is_the_papers_best_setting():
    found = flat(preset("miiii"))
    expected = {
        "name": "miiii", "p": 113, "train_fraction": 0.5, "n_validation": 1000, "d_model": 256,
        "n_heads": 4, "mlp_ratio": 4, "dropout": 0.1, "dropout_mask": "shared",
        "learning_rate": 3e-4, "weight_decay": 1 / 3, "beta1": 0.9, "beta2": 0.98,
        "grokfast": "ema", "grokfast_lambda": 0.5, "grokfast_alpha": 0.98,
        "grokfast_start": "zero", "epochs": 65536,
    }  # fmt: skip
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize("size", ["", "-small"])
@pytest.mark.parametrize("name", CHANGED)
def test_a_control_differs_from_its_parent_in_what_its_name_says(name, size):
    parent, control = flat(preset("miiii" + size)), flat(preset(name + size))
    # A small one may be cut short, which leaves what it does until then the same.
    assert control.pop("epochs") <= parent.pop("epochs")
    assert {k for k in parent if parent[k] != control[k]} == CHANGED[name]


def test_what_text_and_code_or_both_papers_do_not_share_comes_at_full_size():
    parent = flat(preset("miiii"))
    for name, changed in {
        "miiii-30": {"train_fraction"},
        "sample-dropout": {"dropout_mask"},
        "nanda-as-miiii": {"name", "train_fraction"},
    }.items():
        other = flat(preset(name))
        assert {k for k in parent if parent[k] != other[k]} == changed
    assert preset("nanda-as-miiii").task == preset("nanda").task
    assert preset("nanda-he").replace(init="nanda") == preset("nanda")


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_makes_its_task_and_survives_json(name):
    config = preset(name)
    assert Config.from_json(config.to_json()) == config
    task = task_of(config)
    assert min(len(task.train), len(task.validation)) > 0


def test_an_unknown_preset_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"unknown preset 'mii'.*basis.*miiii-small"):
        preset("mii")


@pytest.mark.parametrize("name", list(PRESETS))
def test_a_preset_is_nearest_to_itself(name):
    found, differs = nearest_preset(PRESETS[name].replace(seed=3))
    assert PRESETS[found] == PRESETS[name] and differs == [("seed", 3, 0)]
    assert nearest_preset(PRESETS[name])[1] == []


def test_what_to_type_names_the_preset_and_what_differs():
    config = preset("masked").replace(masked=(3, 5), probes=(), dropout_mask="sample")
    assert train_command(config) == (
        "miiii train --preset masked --masked 3,5 --dropout-mask sample --probes ''"
    )
    assert train_command(preset("nanda-small")) == "miiii train --preset nanda-small"
