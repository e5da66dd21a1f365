import dataclasses
import hashlib
import importlib.util
import json
import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miiii_core import config as hooked
from miiii_core.config import (
    Config,
    ModelConfig,
    TaskConfig,
    describe,
    differences,
    field_type,
    fields,
    is_prime,
)


def as_users_meet_it():
    """The module without the type checks of the test suite, which come before its own."""
    spec = importlib.util.spec_from_file_location("plain_config", hooked.__file__)
    module = sys.modules["plain_config"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


Plain = as_users_meet_it().Config
PRIMES = [5, 7, 11, 13, 31, 53, 113, 127]
positive = st.floats(1e-12, 1e3)
unit = st.floats(0, 1, exclude_max=True)

changes = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["miiii", "nanda", "basis", "divisible"]),
        "p": st.sampled_from(PRIMES),
        "train_fraction": st.floats(0.1, 0.9),
        "n_validation": st.integers(1, 10**6),
        "shuffle": st.sampled_from(["joint", "per-task"]),
        "masked": st.lists(st.sampled_from([2, 3, 5, 7])).map(tuple),
        "d_model": st.integers(1, 64).map(lambda k: 4 * k),
        "mlp_ratio": st.integers(1, 8),
        "dropout": unit,
        "dropout_mask": st.sampled_from(["shared", "sample"]),
        "learning_rate": positive,
        "weight_decay": st.floats(0, 10),
        "beta2": unit,
        "eps": positive,
        "grokfast": st.sampled_from(["ema", "ma", "none"]),
        "grokfast_lambda": st.floats(0, 10),
        "grokfast_start": st.sampled_from(["zero", "first"]),
        "epochs": st.integers(1, 10**7),
        "seed": st.integers(0, 2**31 - 1),
        "probes": st.lists(st.sampled_from(["norms", "zero_loss"]), unique=True).map(tuple),
    },
)


@given(changes)
@settings(deadline=None)
def test_json_gives_back_the_same_config_and_digest(values):
    config = Config().replace(**values)
    again = Config.from_json(config.to_json())
    assert again == config
    assert again.digest == config.digest
    assert hash(again) == hash(config)


@given(changes, changes)
@settings(deadline=None)
def test_digests_agree_exactly_where_configs_do(some, others):
    a, b = Config().replace(**some), Config().replace(**others)
    assert (a.digest == b.digest) == (a == b)


def test_every_field_has_help_and_enters_the_digest():
    other = {
        "name": "nanda", "p": 31, "train_fraction": 0.4, "n_validation": 10,
        "shuffle": "per-task", "masked": (2,), "d_model": 64, "n_heads": 2, "mlp_ratio": 2,
        "dropout": 0.2, "dropout_mask": "sample", "precision": "bfloat16", "init": "nanda",
        "learning_rate": 1e-3, "weight_decay": 1.0, "beta1": 0.8, "beta2": 0.9, "eps": 1e-6,
        "grokfast": "ma", "grokfast_lambda": 2.0, "grokfast_alpha": 0.9, "grokfast_start": "first",
        "grokfast_window": 5, "epochs": 7, "seed": 1,
        "eval_every": 3, "evals_per_octave": 2, "n_snapshots": 1, "probes": (),
        "wide_per_octave": 2, "settled_share": 0.0,
    }  # fmt: skip
    assert set(other) == set(fields())
    assert all(len(field.metadata["help"]) > 5 for field in fields().values())
    digests = {Config().replace(**{name: value}).digest for name, value in other.items()}
    assert len(digests | {Config().digest}) == len(other) + 1


def test_a_new_field_leaves_the_digests_of_earlier_runs_alone():
    """What a run of today would be called by a version with one field more, and by this."""
    config = Config().replace(p=31, dropout=0.2)
    changed = json.dumps({"dropout": 0.2, "p": 31}, sort_keys=True)
    assert config.digest == hashlib.sha256(changed.encode()).hexdigest()[:12]
    assert Config().digest == hashlib.sha256(b"{}").hexdigest()[:12]


def test_values_are_those_of_all_fields():
    values = Config().replace(p=31, masked=(2, 3)).values
    assert list(values) == list(fields()) and values["p"] == 31 and values["masked"] == (2, 3)


def test_digest_is_the_same_in_another_process():
    command = "from miiii_core.config import Config; print(Config().replace(p=31).digest)"
    answers = {
        subprocess.run(
            [sys.executable, "-c", command],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert answers == {Config().replace(p=31).digest}
    assert len(answers.pop()) == 12


def test_whole_numbers_stand_for_reals_and_change_nothing():
    whole, real = Plain().replace(weight_decay=1), Plain().replace(weight_decay=1.0)
    assert whole == real
    assert whole.digest == real.digest == Config().replace(weight_decay=1.0).digest


def test_configs_are_frozen_and_keyword_only():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().task.p = 31
    with pytest.raises(TypeError):
        TaskConfig("miiii")


def test_derived_sizes():
    config = Config().replace(p=31, train_fraction=0.3, d_model=96, n_heads=3, mlp_ratio=2)
    assert config.task.n_train == 288
    assert (config.model.d_head, config.model.d_mlp) == (32, 192)


REFUSED = [
    ("name", "mii", "miiii, nanda, basis, masked, divisible"),
    ("p", 1, "prime of at least 5"),
    ("p", 3, "prime of at least 5"),
    ("p", 111, "prime of at least 5"),
    ("p", -7, "prime of at least 5"),
    ("p", 46349, "at most 46337"),
    ("p", 2**61 - 1, "at most 46337"),
    ("epochs", 2**31, "below 2147483648"),
    ("p", 31.0, "whole number"),
    ("p", "31", "whole number"),
    ("p", True, "whole number"),
    ("train_fraction", 0.0, "between 0 and 1"),
    ("train_fraction", 1.0, "between 0 and 1"),
    ("train_fraction", float("nan"), "finite"),
    ("train_fraction", 1e-9, "leaves the training split"),
    ("train_fraction", 1 - 1e-9, "leaves the validation split"),
    ("n_validation", 0, "at least 1"),
    ("shuffle", "none", "joint, per-task"),
    ("masked", (2, "3"), "a list, each item a whole number"),
    ("d_model", 0, "at least 1"),
    ("n_heads", 3, r"divisor of d_model=256: \[1, 2, 4"),
    ("n_heads", 0, "at least 1"),
    ("mlp_ratio", 0, "at least 1"),
    ("dropout", 1.0, r"\[0, 1\)"),
    ("dropout", -0.1, r"\[0, 1\)"),
    ("dropout_mask", "row", "shared, sample"),
    ("learning_rate", 0.0, "above 0"),
    ("learning_rate", float("inf"), "finite"),
    ("weight_decay", -1.0, "at least 0"),
    ("beta1", 1.0, r"\[0, 1\)"),
    ("beta2", -0.1, r"\[0, 1\)"),
    ("eps", 0.0, "above 0"),
    ("grokfast", "adam", "ema, ma, none"),
    ("grokfast_lambda", -0.5, "at least 0"),
    ("grokfast_alpha", 1.0, r"\[0, 1\)"),
    ("grokfast_start", "last", "zero, first"),
    ("grokfast_window", 0, "at least 1"),
    ("epochs", 0, "at least 1"),
    ("seed", -1, "from 0 to 2147483647"),
    ("seed", 2**31, "from 0 to 2147483647"),
    ("eval_every", 0, "at least 1"),
    ("evals_per_octave", 0, "at least 1"),
    ("n_snapshots", -1, "from 0"),
    ("probes", ("norm",), "norms, zero_loss, embedding, neuron_spectrum"),
]


@pytest.mark.parametrize(("name", "value", "accepted"), REFUSED)
def test_a_wrong_value_names_the_field_the_value_and_what_is_accepted(name, value, accepted):
    with pytest.raises(ValueError, match=accepted) as caught:
        Plain().replace(**{name: value})
    assert f"{name}={value!r}" in str(caught.value)


@pytest.mark.parametrize("p", [5, 7, 11])
def test_masking_every_task_is_refused(p):
    with pytest.raises(ValueError, match=rf"masked=\(2, 3, 5, 7\) .*a prime below p={p}"):
        TaskConfig(name="masked", p=p)
    assert TaskConfig(name="masked", p=p, masked=(2,)).masked == (2,)


def test_an_unknown_field_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"unknown field.*'d_modle'.*'d_model'"):
        Config().replace(d_modle=3)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "not valid JSON"),
        ("[]", "must be a JSON object"),
        ('{"tusk": {}}', "must be a JSON object"),
        ('{"task": 3}', "must be a JSON object"),
        ('{"task": {"q": 3}}', r"unknown field.*'q'"),
        ('{"task": {"p": 4}}', "p=4"),
        ('{"task": {"masked": [2, "3"]}}', "masked="),
        ('{"task": {"train_fraction": NaN}}', "train_fraction=nan"),
    ],
)
def test_json_that_is_no_config_is_refused(text, complaint):
    with pytest.raises(ValueError, match=complaint):
        Plain.from_json(text)


def test_json_is_in_sections_a_person_can_edit():
    sections = json.loads(Config().to_json())
    assert list(sections) == ["task", "model", "optim", "train"]
    assert sections["model"]["d_model"] == ModelConfig().d_model
    sections["model"]["d_model"] = 64
    assert Config.from_json(json.dumps(sections)) == Config().replace(d_model=64)


def test_differences_name_each_field_with_both_values():
    changed = Config().replace(p=31, probes=())
    every = Config().train.probes
    assert differences(changed, Config()) == [("p", 31, 113), ("probes", (), every)]
    assert differences(changed, changed) == []


def test_every_type_can_be_said_in_words():
    assert all(describe(field_type(name)) for name in fields())


def test_is_prime_against_a_sieve():
    sieve = set(range(2, 2000)) - {a * b for a in range(2, 45) for b in range(a, 1000)}
    assert {n for n in range(-5, 2000) if is_prime(n)} == sieve
