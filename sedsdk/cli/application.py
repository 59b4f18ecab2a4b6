"""The `sedsdk` command: finds commands by name and turns errors into messages and exit codes."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Collection, Iterator, Mapping, MutableMapping
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from sedsdk.cli import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_READER_GONE
from sedsdk.errors import SedsdkError

COMMANDS = {
    "plugins": "sedsdk.cli.plugins",
    "parts": "sedsdk.cli.parts",
    "synth": "sedsdk.cli.synth",
    "train": "sedsdk.cli.train",
    "evaluate": "sedsdk.cli.evaluate",
    "detect": "sedsdk.cli.detect",
    "plot": "sedsdk.cli.plot",
    "demo": "sedsdk.cli.demo",
    "reproduce": "sedsdk.cli.reproduce",
}
"""Built-in commands and the module of each, which holds it as `app`."""
DEBUG_OPTION = "--debug"


class LazyCommands(TyperGroup):
    """The commands of `COMMANDS`, then those of plugins; each imported when it is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Returns the built-in commands in their order, then those of plugins."""
        self.add_plugin_commands(ctx)
        return [*COMMANDS, *(name for name in self.commands if name not in COMMANDS)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Returns a command by name, or None. Plugins are asked only for names not built in."""
        if cmd_name in COMMANDS and cmd_name not in self.commands:
            module = import_module(COMMANDS[cmd_name])
            command = typer.main.get_command(module.app)
            command.name = cmd_name
            self.commands[cmd_name] = command
        elif cmd_name not in self.commands:
            self.add_plugin_commands(ctx)
        return self.commands.get(cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Finds the command that the arguments name; an unknown name is compared with all known."""
        if self.get_command(ctx, args[0]) is None:
            for name in COMMANDS:
                self.get_command(ctx, name)
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Reads the arguments; `--debug` may stand behind the command, too."""
        end = args.index("--") if "--" in args else len(args)
        if DEBUG_OPTION in args[:end]:
            rest = [argument for argument in args[:end] if argument != DEBUG_OPTION]
            args = [DEBUG_OPTION, *rest, *args[end:]]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Runs a command; a user's mistake becomes one message and an exit code."""
        with reported_errors(bool(ctx.params.get("debug"))):
            result = super().invoke(ctx)
            sys.stdout.flush()
        return result

    def add_plugin_commands(self, ctx: Any) -> None:
        """Asks every plugin for its commands, once; a name that is taken is warned about."""
        if getattr(self, "_plugins_are_asked", False):
            return
        self._plugins_are_asked = True
        from sedsdk.host import default_host

        for implementation in default_host().hook.sedsdk_commands.get_hookimpls():
            plugin = implementation.plugin_name
            commands = typer.Typer(add_completion=False, rich_markup_mode=None)
            try:
                implementation.function(*([commands] if implementation.argnames else []))
                commands.callback()(_nothing)
                added = typer.main.get_group(commands).commands
            except (Exception, SystemExit) as error:  # a stranger's hook may raise anything
                _warn(f"plugin {plugin} failed in sedsdk_commands: {error!r}")
                continue
            for name, command in added.items():
                ours = self.get_command(ctx, name) if name in COMMANDS else None
                if isinstance(ours, OpenGroup) and isinstance(command, TyperGroup):
                    _add_free(ours.commands, command.commands, plugin, f"{name} ")
                else:
                    _add_free(self.commands, {name: command}, plugin, taken=COMMANDS)


class OpenGroup(TyperGroup):
    """A built-in group whose commands plugins may add to, by a group of the same name.

    Plugins are asked for its list and for names that are not built in.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        """Returns the built-in commands in their order, then those of plugins."""
        _ask_plugins(ctx)
        return super().list_commands(ctx)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Returns a command by name, or None."""
        if cmd_name not in self.commands:
            _ask_plugins(ctx)
        return super().get_command(ctx, cmd_name)


def _ask_plugins(ctx: Any) -> None:
    root = ctx.find_root()
    if isinstance(root.command, LazyCommands):
        root.command.add_plugin_commands(root)


def _add_free(
    commands: MutableMapping[str, Any],
    added: Mapping[str, Any],
    plugin: str,
    group: str = "",
    taken: Collection[str] = (),
) -> None:
    """Adds a plugin's commands to those that are there, and warns of names that are taken."""
    for name, command in added.items():
        if name in commands or name in taken:
            _warn(f'plugin {plugin}: the command "{group}{name}" is taken.')
        else:
            commands[name] = command


@contextlib.contextmanager
def reported_errors(debug: bool) -> Iterator[None]:
    """Turns what a command raises into a message on stderr and an exit code.

    A `SedsdkError` or an error of the operating system is told in its own words; anything else is
    a fault of the program and keeps its traceback.

    Args:
        debug: show the traceback of every error.

    Raises:
        typer.Exit: with the code of `sedsdk.cli`.
    """
    try:
        yield
    except BrokenPipeError:
        _forget_stdout()
        raise typer.Exit(EXIT_READER_GONE) from None
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    except (SedsdkError, OSError) as error:
        if debug:
            import traceback

            traceback.print_exc()
        else:
            from sedsdk.cli.screen import in_words

            typer.echo(f"error: {in_words(error)}", err=True)
        raise typer.Exit(EXIT_FAILED) from None


def _forget_stdout() -> None:
    """Lets the interpreter end without writing the rest to a reader that is gone."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _warn(message: str) -> None:
    typer.echo(f"warning: {message}", err=True)


def _nothing() -> None:
    """Makes a group out of an application of a single command."""


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"sedsdk {version('sedsdk')}")
        raise typer.Exit


application = typer.Typer(
    cls=LazyCommands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
    help="Audio tagging and sound event detection out of parts that anyone can add.",
    epilog="Exit codes: 0 done, 1 an error that the message names, 2 wrong usage, 3 some inputs "
    "failed and the rest is done, 130 interrupted.",
)


@application.callback()
def _options(
    debug: Annotated[bool, typer.Option(DEBUG_OPTION, help="Show tracebacks of errors.")] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and leave."
        ),
    ] = False,
) -> None:
    """Reads the options that all commands share."""
