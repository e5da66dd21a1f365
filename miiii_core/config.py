"""Frozen configurations of an experiment, their JSON, and a digest to tell them apart."""

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np

# The fields in which runs of one batch may differ.
BATCHABLE = (
    "seed", "learning_rate", "weight_decay", "grokfast_lambda", "grokfast_alpha", "dropout",
)  # fmt: skip
SPLITS = ("train", "validation", "test")
LARGEST_P = 46337  # the largest prime whose square, the number of inputs, fits an int32
TaskName = Literal["miiii", "nanda", "basis", "masked", "divisible"]
Shuffle = Literal["joint", "per-task"]
DropoutMask = Literal["shared", "sample"]
Filter = Literal["ema", "ma", "none"]
Loss = Literal["softmax", "stablemax"]
FilterStart = Literal["zero", "first"]
Init = Literal["he", "nanda"]
Precision = Literal["float32", "bfloat16", "float64"]
Probe = Literal["norms", "zero_loss", "embedding", "neuron_spectrum", "residues"]

# What numeric fields accept: a test of the value, and the same in words.
Accepted = tuple[Callable[[Any], bool], str]
ANY: Accepted = (lambda value: True, "any value of its type")
PRIME: Accepted = (lambda p: 5 <= p <= LARGEST_P and is_prime(p), f"a prime from 5 to {LARGEST_P}")
COUNT: Accepted = (lambda n: 1 <= n < 2**31, "a whole number of at least 1 and below 2147483648")
COUNT_OR_ZERO: Accepted = (lambda n: 0 <= n < 2**31, "a whole number from 0 to 2147483647")
SHARE: Accepted = (lambda x: 0 <= x < 1, "a number in [0, 1)")
FRACTION: Accepted = (lambda x: 0 < x < 1, "a number in (0, 1)")
POSITIVE: Accepted = (lambda x: x > 0, "a number above 0")
UPDATE: Accepted = (
    lambda name: re.fullmatch(r"adamw|muon|\w+(\.\w+)*:\w+", name) is not None,
    "adamw, muon, or module:function of a module that Python can import from here",
)
NOT_NEGATIVE: Accepted = (lambda x: x >= 0, "a number of at least 0")


def option(default: Any, help: str, accepted: Accepted = ANY) -> Any:
    """Declare a dataclass field with its default, its option's help text, and what it accepts."""
    return dataclasses.field(default=default, metadata={"help": help, "accepted": accepted})


def is_prime(number: int) -> bool:
    """Return whether a number is prime, by trial division."""
    return number > 1 and all(number % d for d in range(2, int(number**0.5) + 1))


@dataclass(frozen=True, kw_only=True)
class Section:
    """Fields that are checked when they are set."""

    def __post_init__(self) -> None:
        """Refuse values that a field does not accept; whole numbers may stand for reals."""
        kinds = get_type_hints(type(self))
        for field in dataclasses.fields(self):
            value, kind = getattr(self, field.name), kinds[field.name]
            if kind is float and type(value) is int and abs(value) < 2**1023:
                object.__setattr__(self, field.name, float(value))
            elif not _fits(value, kind):
                raise self.error(field.name, describe(kind))
            accepts, words = field.metadata["accepted"]
            if not accepts(value):
                raise self.error(field.name, words)

    def error(self, name: str, accepted: str) -> ValueError:
        """Return the error for a field's value, given what it accepts instead."""
        value, usual = getattr(self, name), getattr(type(self), name)
        return ValueError(f"{name}={value!r} is not accepted; give {accepted} (default: {usual!r})")


@dataclass(frozen=True, kw_only=True)
class TaskConfig(Section):
    """The data: which targets, on which grid, and how the grid is split."""

    name: TaskName = option("miiii", "task family")
    p: int = option(113, "prime base of the two digits; the grid has p*p inputs", PRIME)
    train_fraction: float = option(0.5, "share of the p*p inputs trained on, in (0, 1)", FRACTION)
    n_validation: int = option(1000, "validation inputs (all left if fewer); rest is test", COUNT)
    shuffle: Shuffle = option("joint", "basis task: one permutation for all tasks, or one per task")
    masked: tuple[int, ...] = option((2, 3, 5, 7), "masked task: moduli with zero loss weight")

    def __post_init__(self) -> None:
        """Refuse values that no experiment can have."""
        super().__post_init__()
        if self.name == "masked" and not set(self.masked) < set(filter(is_prime, range(self.p))):
            raise self.error("masked", f"primes below p={self.p}, and not all of them")
        if not 0 < self.n_train < self.p**2:
            empty = "training" if self.n_train <= 0 else "validation"
            raise self.error("train_fraction", f"a number in (0, 1) that leaves {empty} inputs")

    @property
    def n_train(self) -> int:
        """Number of training inputs, the nearest whole number."""
        return round(self.train_fraction * self.p**2)


@dataclass(frozen=True, kw_only=True)
class ModelConfig(Section):
    """The transformer: one block, no biases, no layer norm, ReLU."""

    d_model: int = option(256, "width of the residual stream", COUNT)
    n_heads: int = option(4, "attention heads; must divide d_model", COUNT)
    mlp_ratio: int = option(4, "neurons per residual dimension: d_mlp = mlp_ratio * d_model", COUNT)
    dropout: float = option(0.1, "share dropped of the stream after each add, in [0, 1)", SHARE)
    dropout_mask: DropoutMask = option("shared", "one mask a step for all samples, or one each")
    init: Init = option("he", "first weights: He et al.'s scale as in the paper, or Nanda et al.'s")
    precision: Precision = option(
        "float32", "of training; bfloat16 rounds what is multiplied and keeps sums and weights"
    )

    def __post_init__(self) -> None:
        """Refuse values that no experiment can have."""
        super().__post_init__()
        if self.d_model % self.n_heads:
            raise self.error("n_heads", f"a divisor of d_model={self.d_model}")

    @property
    def d_head(self) -> int:
        """Width of one attention head."""
        return self.d_model // self.n_heads

    @property
    def d_mlp(self) -> int:
        """Number of neurons."""
        return self.mlp_ratio * self.d_model


@dataclass(frozen=True, kw_only=True)
class OptimConfig(Section):
    """What is minimised, and how: an update rule behind a Grokfast filter."""

    loss: Loss = option("softmax", "cross-entropy of softmax, or of StableMax")
    update: str = option("adamw", "update rule: adamw, muon, or module:function", UPDATE)
    learning_rate: float = option(3e-4, "step size", POSITIVE)
    warmup: int = option(0, "first epochs, in which the step size rises from 0", COUNT_OR_ZERO)
    cooldown: float = option(0.0, "last share of epochs, in which the step size falls to 0", SHARE)
    weight_decay: float = option(1 / 3, "decoupled weight decay, on every weight", NOT_NEGATIVE)
    beta1: float = option(0.9, "AdamW decay of the first moment, in [0, 1)", SHARE)
    beta2: float = option(0.98, "AdamW decay of the second moment, in [0, 1)", SHARE)
    eps: float = option(1e-8, "AdamW term added to the root of the second moment", POSITIVE)
    grokfast: Filter = option("ema", "slow-gradient filter: exponential or windowed mean, or none")
    grokfast_lambda: float = option(0.5, "weight of the slow gradient (0: no filter)", NOT_NEGATIVE)
    grokfast_alpha: float = option(0.98, "decay of the exponential mean, in [0, 1)", SHARE)
    grokfast_start: FilterStart = option("zero", "exponential mean from zero or first gradient")
    grokfast_window: int = option(100, "epochs in the windowed mean", COUNT)


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Section):
    """How long, from which seed, and what is recorded on the way."""

    epochs: int = option(65536, "full-batch steps", COUNT)
    seed: int = option(0, "root of all randomness: split, weights, dropout", COUNT_OR_ZERO)
    eval_every: int = option(256, "epochs between evaluations beside log-spaced ones", COUNT)
    evals_per_octave: int = option(8, "log-spaced evaluations per doubling of the epoch", COUNT)
    wide_per_octave: int = option(4, "log-spaced records of the wide probes, per doubling", COUNT)
    n_snapshots: int = option(24, "log-spaced snapshots of the weights, at most", COUNT_OR_ZERO)
    settled_share: float = option(
        0.25, "stop once all tasks validate at 0.999 for this share of epochs (0: never)", SHARE
    )
    probes: tuple[Probe, ...] = option(get_args(Probe), "quantities recorded at each evaluation")

    @property
    def ticks(self) -> tuple[int, ...]:
        """The epochs to record: 0, log-spaced ones, each ``eval_every``-th, `wide_ticks`."""
        regular = set(range(0, self.epochs, self.eval_every))
        spaced = self._log_spaced(self.evals_per_octave)
        return tuple(sorted(regular | spaced | set(self.wide_ticks)))

    @property
    def wide_ticks(self) -> tuple[int, ...]:
        """The epochs to record with wide probes: 0, log-spaced ones, snapshots, the last."""
        spaced = self._log_spaced(self.wide_per_octave)
        return tuple(sorted(spaced | set(self.snapshots) | {0, self.epochs}))

    @property
    def snapshots(self) -> tuple[int, ...]:
        """The log-spaced epochs, from 1 to the last, at which the weights are kept."""
        first = 1 if self.n_snapshots > 1 else self.epochs
        spaced = np.geomspace(first, self.epochs, self.n_snapshots)
        return tuple(sorted({int(e) for e in np.round(spaced)}))

    def ends_at(self, epoch: int, settled_since: int) -> bool:
        """Return whether a run ends with the record of an epoch: the last, or settled long enough.

        Every record since `settled_since` found all tasks settled; it is -1 if this one did not.
        """
        enough = self.settled_share * self.epochs
        settled = 0 < enough <= epoch - settled_since and settled_since >= 0
        return epoch == self.epochs or settled

    def _log_spaced(self, per_octave: int) -> set[int]:
        octaves = np.log2(self.epochs) if self.epochs > 1 else 0
        return {int(e) for e in np.round(2 ** np.arange(0, octaves, 1 / per_octave))}


@dataclass(frozen=True, kw_only=True)
class Config:
    """One experiment. Equal configurations train equal runs, if rules of your own stay the same."""

    task: TaskConfig = dataclasses.field(default_factory=TaskConfig)
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    optim: OptimConfig = dataclasses.field(default_factory=OptimConfig)
    train: TrainConfig = dataclasses.field(default_factory=TrainConfig)

    @property
    def values(self) -> dict[str, Any]:
        """Every field's value by its flat name."""
        sections = dataclasses.asdict(self).values()
        return {name: value for section in sections for name, value in section.items()}

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits that change when any field does.

        Fields at their defaults do not enter, so a new field leaves earlier digests as they were.
        """
        changed = {name: value for name, value, _ in differences(self, Config())}
        return hashlib.sha256(json.dumps(changed, sort_keys=True).encode()).hexdigest()[:12]

    def to_json(self) -> str:
        """Return the configuration as indented JSON, section by section."""
        return json.dumps(dataclasses.asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str) -> "Config":
        """Read what `to_json` wrote; fields that the text leaves out get their defaults.

        ValueError if it is not JSON, or has a field or value that is wrong.
        """
        try:
            sections = json.loads(text).items()
            given = {(section, name): own[name] for section, own in sections for name in own.keys()}
        except (ValueError, AttributeError) as error:
            raise ValueError(f"this is no JSON of sections of fields: {text}") from error
        known = {(s, name) for s, own in dataclasses.asdict(cls()).items() for name in own}
        if wrong := sorted(f"{section}.{name}" for section, name in set(given) - known):
            raise ValueError(f"unknown fields {wrong}; give those that `to_json` writes")
        return cls().replace(**{name: value for (_, name), value in given.items()})

    def replace(self, **values: Any) -> "Config":
        """Return a copy with fields changed, each named without its section: ``replace(p=31)``.

        ValueError for a field that does not exist, or a value that it does not take.
        """
        if unknown := set(values) - set(fields()):
            raise ValueError(f"unknown fields {sorted(unknown)}; the fields are {sorted(fields())}")
        given = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        sections = {}
        for name, section in vars(self).items():
            own = {field: given[field] for field in vars(section) if field in given}
            sections[name] = dataclasses.replace(section, **own)
        return Config(**sections)


_SECTIONS = (TaskConfig, ModelConfig, OptimConfig, TrainConfig)


def fields() -> dict[str, dataclasses.Field]:
    """Return every field of every section, by its flat name, in order of declaration."""
    return {f.name: f for section in _SECTIONS for f in dataclasses.fields(section)}


def field_type(name: str) -> Any:
    """Return the declared type of a field, given its flat name."""
    return {k: v for section in _SECTIONS for k, v in get_type_hints(section).items()}[name]


def differences(config: Config, usual: Config) -> list[tuple[str, Any, Any]]:
    """List the fields in which two configurations differ, as (name, own value, usual value)."""
    mine, theirs = config.values, usual.values
    return [(field, mine[field], theirs[field]) for field in mine if mine[field] != theirs[field]]


def describe(kind: Any) -> str:
    """Say a field's type in words."""
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(get_args(kind))
    if get_origin(kind) is tuple:
        return f"a tuple without repetition, each item {describe(get_args(kind)[0])}"
    return {int: "a whole number", float: "a finite number", str: "a name"}[kind]


def _fits(value: Any, kind: Any) -> bool:
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if get_origin(kind) is tuple:
        items = type(value) is tuple and all(_fits(item, get_args(kind)[0]) for item in value)
        return items and len(set(value)) == len(value)
    return type(value) is kind and (kind is str or math.isfinite(value))
