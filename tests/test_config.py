import hashlib
import importlib.util
import json
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import OTHER

from miiii_core import config as hooked
from miiii_core.config import Config, TaskConfig, differences, field_type, fields, is_prime
from miiii_core.presets import PRESETS, nearest_preset, preset, train_command

# The module without the type checks of the test suite, which come before its own.
spec = importlib.util.spec_from_file_location("plain_config", hooked.__file__)
plain = sys.modules["plain_config"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(plain)
Plain = plain.Config
changes = st.sets(st.sampled_from(sorted(OTHER))).map(lambda names: {n: OTHER[n] for n in names})


@given(changes, changes)
@settings(deadline=None, max_examples=50)
def test_json_gives_a_config_back_and_digests_agree_exactly_where_configs_do(some, others):
    a, b = Config().replace(**some), Config().replace(**others)
    again = Config.from_json(a.to_json())
    assert (again, again.digest, hash(again)) == (a, a.digest, hash(a))
    assert (a.digest == b.digest) == (a == b)


def test_every_field_has_help_and_enters_the_digest():
    assert set(OTHER) == set(fields())
    assert all(
        len(f.metadata["help"]) > 5 and hooked.describe(field_type(n)) for n, f in fields().items()
    )
    digests = {Config().replace(**{name: value}).digest for name, value in OTHER.items()}
    assert len(digests | {Config().digest}) == len(OTHER) + 1


def test_digests_of_shipped_runs_hold_and_a_new_field_would_leave_them_alone():
    config = Config().replace(p=31, dropout=0.2)
    changed = json.dumps({"dropout": 0.2, "p": 31}, sort_keys=True)
    assert config.digest == hashlib.sha256(changed.encode()).hexdigest()[:12]
    assert Config().digest == hashlib.sha256(b"{}").hexdigest()[:12]
    assert list(config.values) == list(fields())
    # Another default would give these digests another meaning.
    assert hashlib.sha256(Config().to_json().encode()).hexdigest()[:12] == "f70476a777e4"


def test_whole_numbers_stand_for_reals_and_change_nothing():
    whole, real = Plain().replace(weight_decay=1), Plain().replace(weight_decay=1.0)
    assert (whole, whole.digest) == (real, Config().replace(weight_decay=1.0).digest)


REFUSED = [
    ("name", "mii", "miiii, nanda, basis, masked, divisible"), ("p", 111, "prime from 5 to"),
    ("p", 46349, "to 46337"), ("p", 31.0, "whole number"), ("p", "31", "whole number"),
    ("epochs", 2**31, "below 2147483648"), ("train_fraction", 0.0, r"\(0, 1\)"),
    ("train_fraction", float("nan"), "finite"), ("mlp_ratio", 0, "at least 1"),
    ("train_fraction", 1e-9, "leaves training inputs"), ("dropout", 1.0, r"\[0, 1\)"),
    ("train_fraction", 1 - 1e-9, "leaves validation inputs"), ("n_validation", 0, "at least 1"),
    ("shuffle", "none", "joint, per-task"), ("masked", (2, "3"), "each item a whole"),
    ("n_heads", 3, "divisor of d_model=256"), ("learning_rate", float("inf"), "finite"),
    ("weight_decay", -1.0, "at least 0"), ("eps", 0.0, "above 0"), ("grokfast", "adam", "ema, ma"),
    ("grokfast_lambda", -0.5, "at least 0"), ("grokfast_alpha", 1.0, r"\[0, 1\)"),
    ("grokfast_window", 0, "at least 1"), ("update", "lion", "adamw, muon"),
    ("seed", 2**31, "from 0 to 2147483647"),
    ("eval_every", 0, "at least 1"), ("n_snapshots", -1, "from 0"),
    ("probes", ("norm",), "norms, zero_loss, embedding, neuron_spectrum"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value", "accepted"), REFUSED)
def test_a_wrong_value_names_the_field_the_value_and_what_is_accepted(name, value, accepted):
    with pytest.raises(ValueError, match=accepted) as caught:
        Plain().replace(**{name: value})
    assert f"{name}={value!r}" in str(caught.value)
    assert f"default: {fields()[name].default!r}" in str(caught.value)


def test_masking_every_task_is_refused():
    with pytest.raises(ValueError, match=r"masked=\(2, 3, 5, 7\) .*primes below p=11"):
        TaskConfig(name="masked", p=11)
    with pytest.raises(ValueError, match="primes below p=11"):
        TaskConfig(name="masked", p=11, masked=(4,))
    assert TaskConfig(name="masked", p=11, masked=(2,)).masked == (2,)


def test_json_that_is_no_config_is_refused():
    for text, complaint in {
        "{": "no JSON of sections", "[]": "no JSON of sections of fields",
        '{"tusk": {"p": 5}}': "unknown fields .*tusk.p", '{"task": {"p": 4}}': "p=4",
        '{"task": {"q": 3}}': "unknown fields .*task.q", '{"optim": {"p": 31}}': "optim.p",
        '{"task": {"train_fraction": NaN}}': "train_fraction=nan",
    }.items():  # fmt: skip
        with pytest.raises(ValueError, match=complaint):
            Plain.from_json(text)


def test_differences_name_each_field_with_both_values():
    changed, every = Config().replace(p=31, probes=()), Config().train.probes
    assert differences(changed, Config()) == [("p", 31, 113), ("probes", (), every)]


def test_is_prime_against_a_sieve():
    sieve = set(range(2, 2000)) - {a * b for a in range(2, 45) for b in range(a, 1000)}
    assert {n for n in range(-5, 2000) if is_prime(n)} == sieve


CHANGED = {"basis": "name", "masked": "name", "divisible": "name", "no-dropout": "dropout"}
CHANGED |= {"no-grokfast": "grokfast"}


class TestPresets:
    def test_each_is_an_experiment_of_its_own(self):
        assert len({config.digest for config in PRESETS.values()}) == len(PRESETS)
        assert all(Config.from_json(c.to_json()) == c for c in PRESETS.values())
        assert preset("miiii") == Config()
        assert preset("nanda-as-miiii").task == preset("nanda").task
        assert preset("nanda-he").replace(init="nanda") == preset("nanda")

    @pytest.mark.parametrize("size", ["", "-small"])
    @pytest.mark.parametrize("name", CHANGED)
    def test_a_control_differs_from_its_parent_in_what_its_name_says(self, name, size):
        parent, control = preset("miiii" + size), preset(name + size)
        assert control.train.epochs <= parent.train.epochs
        changed = differences(control.replace(epochs=parent.train.epochs), parent)
        assert [field for field, _, _ in changed] == [CHANGED[name]]

    def test_a_preset_is_nearest_to_itself(self):
        for config in PRESETS.values():
            found, differs = nearest_preset(config.replace(seed=3))
            assert PRESETS[found] == config and differs == [("seed", 3, 0)]

    def test_the_command_names_the_preset_and_what_differs(self):
        config = preset("masked").replace(masked=(3, 5), probes=(), dropout_mask="sample")
        assert train_command(config) == (
            "miiii train --preset masked --masked 3,5 --dropout-mask sample --probes ''"
        )
