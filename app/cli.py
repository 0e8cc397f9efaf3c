"""The command line. It imports late: ``--help`` must be quick."""

import functools
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from app.commands.command import CommandError, Exit
from app.commands.completion import VARIABLE
from app.commands.group import Commands
from app.commands.terminal import clean
from app.options import HELP, ROOT, version


def run(
    arguments: list[str],
    compose: Callable[[Any], Any],
    tables: Callable[[], Mapping[str, Any]],
    worker: Callable[[Any, Any, str], Any] | None = None,
) -> int:
    """Do what ``arguments`` say; returns the exit code.

    ``compose``, ``tables`` and ``worker`` (one worker process more) are as in ``run.py``.
    """
    context: dict[str, Any] = {'compose': compose, 'tables': tables, 'worker': worker, 'flags': {}}
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, 'reconfigure'):
            stream.reconfigure(errors='replace')  # a terminal that cannot show a letter is no reason to fail
    if VARIABLE in os.environ:
        from typer._completion_classes import completion_init

        completion_init()
    program = os.environ.pop('_CORRAL_PROGRAM', 'run.py')  # "corral" where that command of ours started it
    try:
        code = cli(arguments, prog_name=program, standalone_mode=False, obj=context, complete_var=VARIABLE)
    except CommandError as error:
        print(clean(str(error)), file=sys.stderr)
        return int(error.code)
    except (typer.Abort, KeyboardInterrupt):
        return Exit.INTERRUPTED
    except Exception as error:
        if hasattr(error, 'show') and hasattr(error, 'exit_code'):  # typer's word for a wrong flag
            error.message = str(getattr(error, 'message', '')).removeprefix('Value error, ')
            error.show()
            return int(error.exit_code)
        raise
    return code if isinstance(code, int) else Exit.OK


_app = typer.Typer(
    cls=Commands,
    add_completion=False,
    rich_markup_mode='rich',
    context_settings={'help_option_names': ['-h', '--help'], 'max_content_width': 120},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f'Corral {version()}')
        raise typer.Exit


def _start(  # noqa: PLR0917  typer makes the options from the parameters
    context: typer.Context,
    host: Annotated[str | None, typer.Option(help=HELP['host'])] = None,
    port: Annotated[str | None, typer.Option(help=HELP['port'], metavar='<int>')] = None,
    data_dir: Annotated[Path | None, typer.Option(help=HELP['data_dir'])] = None,
    config: Annotated[Path | None, typer.Option(help=HELP['config'])] = None,
    engine: Annotated[str | None, typer.Option(help=HELP['engine'], metavar='auto|ollama|demo')] = None,
    ollama_url: Annotated[str | None, typer.Option(help=HELP['ollama_url'], metavar='URL')] = None,
    workers: Annotated[str | None, typer.Option(help=HELP['workers'], metavar='N|N..M')] = None,
    slots: Annotated[str | None, typer.Option(help=HELP['slots'], metavar='N|auto')] = None,
    log_level: Annotated[str | None, typer.Option(help=HELP['log_level'], metavar='LEVEL')] = None,
    listen: Annotated[str | None, typer.Option(help=HELP['listen'], metavar='HOST:PORT')] = None,
    no_browser: Annotated[bool, typer.Option('--no-browser', help=HELP['no_browser'])] = False,
    show_version: Annotated[
        bool, typer.Option('--version', help='Show the version and exit.', callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """[bold]Corral[/bold]: a queue desk in front of your own language models.

    Without a command it starts the desk and everything behind it; Ctrl-C stops it.

    Each option can also be set in the environment, as CORRAL_PORT for --port, and in corral.toml, as port = 8080.
    An option counts more than the environment, and that more than the file.

    Exit codes: 0 done; 1 it failed, or a job did; 2 wrong usage; 3 no Corral runs; 130 interrupted.
    """
    flags = {**context.obj['flags'], **{name: value for name, value in context.params.items() if value}}
    flags.pop('show_version', None)
    context.obj['flags'] = flags
    if context.invoked_subcommand is None:
        raise typer.Exit(_serve(flags, context.obj, pages=context.info_name != 'api'))


_app.callback(invoke_without_command=True)(_start)
_app.command('serve', help='Start the desk and everything behind it, as without a command.')(_start)
_app.command('api', help='Start the HTTP APIs and everything behind them, without the pages of the desk.')(_start)


@_app.command(context_settings={'allow_extra_args': True, 'ignore_unknown_options': True, 'help_option_names': []})
def test(context: typer.Context) -> None:
    """Check Corral itself: style, types, rooms, all tests. With arguments: pytest with these alone."""
    from app.launching import checks

    raise typer.Exit(checks.run(context.args, ROOT))


cli = typer.main.get_command(_app)


def _serve(flags: Mapping[str, Any], context: Mapping[str, Any], *, pages: bool) -> int:
    from app import settings
    from app.launching import launch

    compose = context['compose']
    if not pages:
        flags = {**flags, 'no_browser': True}
        compose = functools.partial(compose, pages=False)
    try:
        loaded = settings.load(flags, os.environ, context['tables'](), cwd=Path.cwd())
        for warning in loaded.warnings:
            print(warning, file=sys.stderr)
        return launch.launch(loaded.settings, compose, ROOT)
    except settings.SettingsError as error:
        print(error, file=sys.stderr)
        return Exit.USAGE
    except launch.CannotLaunch as error:
        print(error, file=sys.stderr)
        return Exit.FAILED
