"""The command line: arguments in, one clear line out when something is wrong.

Exit codes: 0 done; 1 something failed (a damaged run, a full disk, a loss that
diverged); 2 what was typed will not do; 130 stopped with Ctrl-C.
"""

import sys
from collections.abc import Sequence
from typing import Any

import click

from .commands import building, looking, training
from .commands.failure import Failure

STOPPED = 130
COMMANDS = (
    training.train,
    training.resume,
    training.sweep,
    training.search,
    looking.list_runs,
    looking.show,
    looking.claims,
    looking.pack,
    building.book,
)


class Commands(click.Group):
    """Commands whose expected failures end without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise Failure(str(error) or "stopped", STOPPED) from error
        except BrokenPipeError:  # `miiii runs | head`: click ends quietly
            raise
        except ValueError as error:
            raise Failure(str(error), 2) from error
        except _expected() as error:
            raise Failure(str(error), 1) from error


def _expected() -> tuple[type[Exception], ...]:
    """What can fail though nothing is wrong with the arguments or the code."""
    from jax.errors import JaxRuntimeError

    from .storage.saved import RunError

    return (RunError, OSError, FloatingPointError, MemoryError, JaxRuntimeError)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    try:
        code = miiii.main(arguments, prog_name="miiii", standalone_mode=False)
    except Failure as error:
        code = error.code
        click.echo(f"miiii: {error}", err=True)
    except click.ClickException as error:
        code = error.exit_code
        click.echo(f"miiii: {error.format_message()}{_where_to_look(error)}", err=True)
    except click.Abort:
        code = STOPPED
    sys.exit(code)


def _where_to_look(error: click.ClickException) -> str:
    if isinstance(error, click.UsageError) and error.ctx is not None:
        return f" See: {error.ctx.command_path} --help"
    return ""


@click.group(cls=Commands, commands=COMMANDS, invoke_without_command=True)
@click.version_option(package_name="miiii-core", prog_name="miiii")
@click.pass_context
def miiii(ctx: click.Context) -> None:
    """Train small transformers on many prime moduli, and look at what they learn."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
