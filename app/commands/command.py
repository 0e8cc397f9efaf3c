"""What all commands share: their options, the way to the running Corral, and how they end."""

import dataclasses
import functools
import inspect
import os
import sys
from collections.abc import Callable, Mapping
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from app.commands import place
from app.commands.output import Output
from app.options import HELP


class Exit(IntEnum):
    """How a command ends, for scripts."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NO_CORRAL = 3
    INTERRUPTED = 130
    NO_READER = 141


class CommandError(Exception):
    """The command cannot do it. The message is one sentence for the user; a full stop is added where it has none."""

    def __init__(self, message: str, code: int = Exit.FAILED) -> None:
        super().__init__(message if message.endswith(('.', '?', '!', '…')) else f'{message}.')
        self.code = code


class Format(StrEnum):
    """What to print."""

    TABLE = 'table'
    JSON = 'json'


@dataclasses.dataclass(frozen=True, kw_only=True)
class Common:
    """The options of every command."""

    output: Annotated[Format, typer.Option('--output', '-o', help=HELP['output'])] = Format.TABLE
    data_dir: Annotated[Path | None, typer.Option(help=HELP['data_dir'], show_default=False)] = None
    config: Annotated[Path | None, typer.Option(help=HELP['config'], show_default=False)] = None


class Here:
    """Where a command runs and how it prints."""

    def __init__(self, common: Common, context: Mapping[str, Any]) -> None:
        outer = context.get('flags', {})
        self.context = context
        self.flags = {
            'data_dir': common.data_dir or outer.get('data_dir'),
            'config': common.config or outer.get('config'),
        }
        self.out = Output(as_json=common.output is Format.JSON)

    @functools.cached_property
    def data_dir(self) -> Path:
        """The data directory that is meant. Raises ``CommandError``."""
        try:
            return place.data_dir(self.flags['data_dir'], self.flags['config'], os.environ, Path.cwd())
        except ValueError as error:
            raise CommandError(str(error), Exit.USAGE) from None

    def corral(self) -> place.Running:
        """The Corral that runs there. Raises ``CommandError``."""
        found = self.corral_or_none()
        if found is None:
            raise CommandError(
                f'No Corral runs on {self.data_dir}. Start one with "{_start(self.flags)}", '
                'or name the folder of another with --data-dir.',
                Exit.NO_CORRAL,
            )
        return found

    def corral_or_none(self) -> place.Running | None:
        """The Corral that runs there, None without one. Raises ``CommandError``."""
        try:
            return place.running(self.data_dir)
        except place.NotReadable as error:
            raise CommandError(str(error), Exit.NO_CORRAL) from None


def command(group: typer.Typer, name: str, **how: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a function as a command. It gets ``here``, and when it is a coroutine ``broker`` as well.

    Fields of a parameter that is a dataclass become options of their own, as do those of ``Common``.
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        hints = {key: hint for key, hint in function.__annotations__.items() if key not in ('here', 'broker', 'return')}
        bundles = {key: kind for key, kind in hints.items() if dataclasses.is_dataclass(kind)}
        parameters = [
            parameter
            for key, old in inspect.signature(function).parameters.items()
            if key in hints
            for parameter in (_fields(bundles[key]) if key in bundles else [old.replace(annotation=hints[key])])
        ]
        parameters = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in parameters]

        def run(context: typer.Context, **given: Any) -> None:
            here = Here(_taken(Common, given), context.obj)
            for key, kind in bundles.items():
                given[key] = _taken(kind, given)
            try:
                code = _call(function, here, given)
                sys.stdout.flush()
            except BrokenPipeError:
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or Python complains when it flushes at the end
                code = Exit.NO_READER
            raise typer.Exit(int(code or Exit.OK))

        first = inspect.Parameter('context', inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
        everything = [first, *parameters, *_fields(Common)]
        run.__signature__ = inspect.Signature(everything)  # type: ignore[attr-defined]  # this is what typer reads
        run.__annotations__ = {each.name: each.annotation for each in everything}
        run.__doc__, run.__name__ = function.__doc__, function.__name__
        group.command(name, **how)(run)
        return function

    return register


def usage(message: str) -> CommandError:
    """For what was asked in a wrong way."""
    return CommandError(message, Exit.USAGE)


def _call(function: Callable[..., Any], here: Here, given: Mapping[str, Any]) -> Any:
    if not inspect.iscoroutinefunction(function):
        return function(here, **given)
    from app.commands import reach

    return reach.run(here, function, given)


def _fields(bundle: Any) -> list[inspect.Parameter]:
    hints = get_type_hints(bundle, include_extras=True)
    return [
        inspect.Parameter(each.name, inspect.Parameter.KEYWORD_ONLY, default=each.default, annotation=hints[each.name])
        for each in dataclasses.fields(bundle)
    ]


def _taken(bundle: Any, given: dict[str, Any]) -> Any:
    return bundle(**{each.name: given.pop(each.name) for each in dataclasses.fields(bundle)})


def _start(flags: Mapping[str, Any]) -> str:
    words = [f'--{name.replace("_", "-")} {value}' for name, value in flags.items() if value]
    return ' '.join([os.path.basename(sys.executable) if os.name == 'nt' else 'python3', 'run.py', *words])
