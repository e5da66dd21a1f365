"""Frozen configurations of an experiment, their JSON, and a digest to tell them apart."""

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

# The fields in which runs of one batch may differ.
BATCHABLE = (
    "seed", "learning_rate", "weight_decay", "grokfast_lambda", "grokfast_alpha", "dropout",
)  # fmt: skip
LARGEST_P = 46337  # the largest prime whose square, the number of inputs, fits an int32
TaskName = Literal["miiii", "nanda", "basis", "masked", "divisible"]
Shuffle = Literal["joint", "per-task"]
DropoutMask = Literal["shared", "sample"]
Filter = Literal["ema", "ma", "none"]
FilterStart = Literal["zero", "first"]
Init = Literal["he", "nanda"]
Precision = Literal["float32", "bfloat16", "float64"]
Probe = Literal["norms", "zero_loss", "embedding", "neuron_spectrum", "tables", "residues"]


def option(default: Any, help: str) -> Any:
    """Declare a dataclass field with its default and the help text of its option."""
    return dataclasses.field(default=default, metadata={"help": help})


def is_prime(number: int) -> bool:
    """Return whether a number is prime, by trial division."""
    return number > 1 and all(number % d for d in range(2, int(number**0.5) + 1))


@dataclass(frozen=True, kw_only=True)
class TaskConfig:
    """The data: which targets, on which grid, and how the grid is split."""

    name: TaskName = option("miiii", "task family")
    p: int = option(113, "prime base of the two digits; the grid has p*p inputs")
    train_fraction: float = option(0.5, "share of the p*p inputs trained on, in (0, 1)")
    n_validation: int = option(1000, "validation inputs (all that is left if fewer); rest is test")
    shuffle: Shuffle = option("joint", "basis task: one permutation for all tasks, or one per task")
    masked: tuple[int, ...] = option((2, 3, 5, 7), "masked task: moduli with zero loss weight")

    def __post_init__(self) -> None:
        """Refuse values that no experiment can have."""
        _check_types(self)
        if not 5 <= self.p <= LARGEST_P or not is_prime(self.p):
            raise _error(
                self, "p", f"a prime of at least 5 and at most {LARGEST_P}, such as 31 or 113"
            )
        if self.name == "masked" and not set(filter(is_prime, range(self.p))) - set(self.masked):
            raise _error(self, "masked", f"a list that leaves out a prime below p={self.p}")
        if not 0 < self.train_fraction < 1:
            raise _error(self, "train_fraction", "a number strictly between 0 and 1")
        if self.n_validation < 1:
            raise _error(self, "n_validation", "at least 1 validation input")
        if not 0 < self.n_train < self.p**2:
            empty = "training" if self.n_train == 0 else "validation"
            raise _error(
                self, "train_fraction", f"a fraction that leaves the {empty} split an input"
            )

    @property
    def n_train(self) -> int:
        """Number of training inputs, the nearest whole number."""
        return round(self.train_fraction * self.p**2)


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The transformer: one block, no biases, no layer norm, ReLU."""

    d_model: int = option(256, "width of the residual stream")
    n_heads: int = option(4, "attention heads; must divide d_model")
    mlp_ratio: int = option(4, "neurons per residual dimension: d_mlp = mlp_ratio * d_model")
    dropout: float = option(0.1, "share of the stream dropped after each residual add, in [0, 1)")
    dropout_mask: DropoutMask = option("shared", "one mask a step for all samples, or one each")
    init: Init = option("he", "first weights: He et al.'s scale as in the paper, or Nanda et al.'s")
    precision: Precision = option(
        "float32", "of training; bfloat16 rounds what is multiplied and keeps sums and weights"
    )

    def __post_init__(self) -> None:
        """Refuse values that no experiment can have."""
        _check_types(self)
        for name in ("d_model", "n_heads", "mlp_ratio"):
            if getattr(self, name) < 1:
                raise _error(self, name, "a whole number of at least 1")
        if self.d_model % self.n_heads:
            divisors = [h for h in range(1, self.d_model + 1) if self.d_model % h == 0]
            raise _error(self, "n_heads", f"a divisor of d_model={self.d_model}: {divisors}")
        if not 0 <= self.dropout < 1:
            raise _error(self, "dropout", "a number in [0, 1)")

    @property
    def d_head(self) -> int:
        """Width of one attention head."""
        return self.d_model // self.n_heads

    @property
    def d_mlp(self) -> int:
        """Number of neurons."""
        return self.mlp_ratio * self.d_model


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """AdamW behind a Grokfast filter."""

    learning_rate: float = option(3e-4, "AdamW step size")
    weight_decay: float = option(1 / 3, "decoupled weight decay, on every weight")
    beta1: float = option(0.9, "AdamW decay of the first moment, in [0, 1)")
    beta2: float = option(0.98, "AdamW decay of the second moment, in [0, 1)")
    eps: float = option(1e-8, "AdamW term added to the root of the second moment")
    grokfast: Filter = option("ema", "slow-gradient filter: exponential or windowed mean, or none")
    grokfast_lambda: float = option(0.5, "how much of the slow gradient is added (0: no filter)")
    grokfast_alpha: float = option(0.98, "decay of the exponential mean, in [0, 1)")
    grokfast_start: FilterStart = option(
        "zero", "exponential mean starts at zero or first gradient"
    )
    grokfast_window: int = option(100, "epochs in the windowed mean")

    def __post_init__(self) -> None:
        """Refuse values that no experiment can have."""
        _check_types(self)
        for name in ("beta1", "beta2", "grokfast_alpha"):
            if not 0 <= getattr(self, name) < 1:
                raise _error(self, name, "a number in [0, 1)")
        for name in ("learning_rate", "eps"):
            if getattr(self, name) <= 0:
                raise _error(self, name, "a number above 0")
        for name in ("weight_decay", "grokfast_lambda"):
            if getattr(self, name) < 0:
                raise _error(self, name, "a number of at least 0")
        if self.grokfast_window < 1:
            raise _error(self, "grokfast_window", "a whole number of at least 1")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How long, from which seed, and what is recorded on the way."""

    epochs: int = option(65536, "full-batch steps")
    seed: int = option(0, "root of all randomness: split, weights, dropout")
    eval_every: int = option(256, "epochs between evaluations, beside the log-spaced early ones")
    evals_per_octave: int = option(8, "log-spaced evaluations per doubling of the epoch")
    wide_per_octave: int = option(4, "log-spaced records of the wide probes, per doubling")
    n_snapshots: int = option(24, "log-spaced epochs at which the weights are kept")
    settled_share: float = option(
        0.25, "stop once all tasks have validated at 0.999 for this share of epochs (0: never)"
    )
    probes: tuple[Probe, ...] = option(get_args(Probe), "quantities recorded at each evaluation")

    def __post_init__(self) -> None:
        """Refuse values that no experiment can have."""
        _check_types(self)
        for name in ("epochs", "eval_every", "evals_per_octave", "wide_per_octave"):
            if not 1 <= getattr(self, name) < 2**31:
                raise _error(self, name, "a whole number of at least 1 and below 2147483648")
        for name in ("seed", "n_snapshots"):
            if not 0 <= getattr(self, name) < 2**31:
                raise _error(self, name, "a whole number from 0 to 2147483647")
        if not 0 <= self.settled_share < 1:
            raise _error(self, "settled_share", "a number in [0, 1)")


@dataclass(frozen=True, kw_only=True)
class Config:
    """One experiment. Equal configurations train equal runs."""

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
        usual = {name: field.default for name, field in fields().items()}
        changed = {name: value for name, value in self.values.items() if value != usual[name]}
        canonical = json.dumps(changed, sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    def to_json(self) -> str:
        """Return the configuration as indented JSON, section by section."""
        return json.dumps(dataclasses.asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str) -> "Config":
        """Read what `to_json` wrote; fields that the text leaves out get their defaults.

        Raises:
            ValueError: if the text is not JSON, or has a section, field or value that is wrong.
        """
        try:
            sections = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"the configuration is not valid JSON: {error}") from error
        known = [field.name for field in dataclasses.fields(cls)]
        well_formed = isinstance(sections, dict) and not set(sections) - set(known)
        if not well_formed or not all(isinstance(part, dict) for part in sections.values()):
            raise ValueError(
                f"the configuration is {text}; it must be a JSON object of the sections "
                f"{', '.join(known)}, each an object of fields"
            )
        values = {name: value for section in sections.values() for name, value in section.items()}
        return cls().replace(**values)

    def replace(self, **values: Any) -> "Config":
        """Return a copy with fields changed, each named without its section: ``replace(p=31)``.

        Raises:
            ValueError: for a field that does not exist, or a value that it does not take.
        """
        sections = {}
        for section in dataclasses.fields(self):
            current = getattr(self, section.name)
            names = {f.name for f in dataclasses.fields(current)}
            chosen = {name: values.pop(name) for name in names & set(values)}
            tuples = {k: tuple(v) if isinstance(v, list) else v for k, v in chosen.items()}
            sections[section.name] = dataclasses.replace(current, **tuples)
        if values:
            raise ValueError(f"unknown fields {sorted(values)}; the fields are {sorted(fields())}")
        return Config(**sections)


def differences(config: Config, usual: Config) -> list[tuple[str, Any, Any]]:
    """List the fields in which two configurations differ, as (name, own value, usual value)."""
    mine, theirs = config.values, usual.values
    return [(field, mine[field], theirs[field]) for field in mine if mine[field] != theirs[field]]


def fields() -> dict[str, dataclasses.Field]:
    """Return every field of every section, by its flat name, in order of declaration."""
    return {f.name: f for section in _SECTIONS for f in dataclasses.fields(section)}


def field_type(name: str) -> Any:
    """Return the declared type of a field, given its flat name."""
    hints = {k: v for section in _SECTIONS for k, v in get_type_hints(section).items()}
    return hints[name]


_SECTIONS = (TaskConfig, ModelConfig, OptimConfig, TrainConfig)


def _error(section: Any, name: str, accepted: str) -> ValueError:
    """Return the error for a field's value; its text goes on from "give"."""
    value, usual = getattr(section, name), fields()[name].default
    return ValueError(f"{name}={value!r} is not accepted; give {accepted} (default: {usual!r})")


def _check_types(section: Any) -> None:
    """Refuse a value of the wrong type, and accept whole numbers where reals are meant."""
    for name, kind in get_type_hints(type(section)).items():
        value = getattr(section, name)
        if kind is float and type(value) is int:
            object.__setattr__(section, name, float(value))
        elif not _fits(value, kind):
            raise _error(section, name, describe(kind))


def _fits(value: Any, kind: Any) -> bool:
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if get_origin(kind) is tuple:
        return type(value) is tuple and all(_fits(item, get_args(kind)[0]) for item in value)
    return type(value) is kind and math.isfinite(value)


def describe(kind: Any) -> str:
    """Say a field's type in words."""
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(get_args(kind))
    if get_origin(kind) is tuple:
        return f"a list, each item {describe(get_args(kind)[0])}"
    return {int: "a whole number", float: "a finite number"}[kind]
