"""The command line. It imports late: ``--help`` must be quick."""

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from app.options import HELP, ROOT, version

USAGE = 2  # exit code for a wrong setting, as for a wrong flag


def run(arguments: list[str], compose: Callable[[Any], Any], tables: Callable[[], Mapping[str, Any]]) -> int:
    """Do what ``arguments`` say; returns the exit code. ``compose`` and ``tables`` are as in ``run.py``."""
    context = {'compose': compose, 'tables': tables}
    try:
        code = cli(arguments, prog_name='run.py', standalone_mode=False, obj=context)
    except typer.Abort:
        return 130
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if hasattr(error, 'show') and hasattr(error, 'exit_code'):  # typer's word for a wrong flag
            error.show()
            return int(error.exit_code)
        raise
    return code if isinstance(code, int) else 0


_app = typer.Typer(
    add_completion=False,
    rich_markup_mode='rich',
    context_settings={'help_option_names': ['-h', '--help'], 'max_content_width': 120},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f'Corral {version()}')
        raise typer.Exit


@_app.callback(invoke_without_command=True)
def serve(  # noqa: PLR0917  typer makes the options from the parameters
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
    no_browser: Annotated[bool, typer.Option('--no-browser', help=HELP['no_browser'])] = False,
    show_version: Annotated[
        bool, typer.Option('--version', help='Show the version and exit.', callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """[bold]Corral[/bold]: a queue desk in front of your own language models.

    Without a command it starts the desk and everything behind it; Ctrl-C stops it.

    Each option can also be set in the environment, as CORRAL_PORT for --port, and in corral.toml, as port = 8080.
    An option counts more than the environment, and that more than the file.
    """
    if context.invoked_subcommand is not None:
        return
    flags = {name: value for name, value in context.params.items() if name != 'show_version'}
    flags['no_browser'] = no_browser or None
    raise typer.Exit(_serve(flags, context.obj))


@_app.command(context_settings={'allow_extra_args': True, 'ignore_unknown_options': True, 'help_option_names': []})
def test(context: typer.Context) -> None:
    """Check Corral itself: style, types, rooms, all tests. With arguments: pytest with these alone."""
    from app import checks

    raise typer.Exit(checks.run(context.args, ROOT))


cli = typer.main.get_command(_app)


def _serve(flags: Mapping[str, Any], context: Mapping[str, Any]) -> int:
    from app import launch, settings

    try:
        loaded = settings.load(flags, os.environ, context['tables'](), cwd=Path.cwd())
        for warning in loaded.warnings:
            print(warning, file=sys.stderr)
        return launch.launch(loaded.settings, context['compose'], ROOT)
    except settings.SettingsError as error:
        print(error, file=sys.stderr)
        return USAGE
    except launch.CannotLaunch as error:
        print(error, file=sys.stderr)
        return 1
