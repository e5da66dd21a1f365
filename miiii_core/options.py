"""The configuration as options of a command: one for each field, with its help and its type."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import click

from .config import SWEEPABLE, field_type, fields
from .presets import PRESETS

DeviceName = Literal["auto", "cpu", "gpu"]
FOLDER = click.Path(path_type=Path)

preset_option = click.option(
    "--preset",
    "base",
    type=click.Choice(list(PRESETS)),
    default="miiii",
    show_default=True,
    help="what to start from",
)
device_option = click.option(
    "--device",
    type=click.Choice(get_args(DeviceName)),
    default="auto",
    show_default=True,
    help="where to compute",
)
quiet_option = click.option("--quiet", is_flag=True, help="no progress bar, no summary")


class Listed(click.ParamType):
    """A comma-separated list; an empty text is an empty list."""

    name = "a,b,..."

    def __init__(self, item: click.ParamType):
        """Take the type of the items."""
        self.item = item

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[Any, ...]:
        """Split the text and read each item."""
        texts = [text.strip() for text in value.split(",")] if value.strip() else []
        return tuple(self.item.convert(text, param, ctx) for text in texts)


def config_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command one option for every field of the configuration."""
    for name, field in reversed(fields().items()):
        kind = _option_type(field_type(name))
        command = _field_option(name, kind, field.metadata["help"])(command)
    return command


def sweep_options(command: Callable[..., None]) -> Callable[..., None]:
    """The same, with a list of values for each field that can be swept."""
    for name, field in reversed(fields().items()):
        kind, text = _option_type(field_type(name)), field.metadata["help"]
        if name in SWEEPABLE:
            kind, text = Listed(kind), f"one or more values of: {text}"
        command = _field_option(name, kind, text)(command)
    return command


def _field_option(name: str, kind: click.ParamType, text: str) -> Callable[..., Any]:
    names = [f"--{name.replace('_', '-')}", *(["--task"] if name == "name" else [])]
    shown = f"{text}  [{_as_typed(fields()[name].default)}]"
    return click.option(*names, name, type=kind, help=shown)


def read_value(name: str, text: str) -> Any:
    """The value that a field has when it is typed so.

    Raises:
        ValueError: for a field that does not exist, or a text that is no value of it.
    """
    if name not in fields():
        raise ValueError(f"no field is called {name}; fields are {', '.join(sorted(fields()))}")
    try:
        return _option_type(field_type(name)).convert(text, None, None)
    except click.BadParameter as error:
        raise ValueError(f"{name}={text} will not do: {error.message}") from error


def _option_type(kind: Any) -> click.ParamType:
    if get_origin(kind) is Literal:
        return click.Choice(get_args(kind))
    if get_origin(kind) is tuple:
        return Listed(_option_type(get_args(kind)[0]))
    return click.INT if kind is int else click.FLOAT


def _as_typed(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
