"""The commands by name. A module is loaded when one of its commands is used, so that each starts quickly."""

import importlib
from typing import Any

import typer
from typer.core import TyperGroup

# What the help lists, in this order, and the module of app.commands that has it.
COMMANDS = {
    'worker': 'worker',
    'submit': 'submit',
    'list': 'jobs',
    'status': 'jobs',
    'watch': 'watch',
    'result': 'jobs',
    'cancel': 'jobs',
    'priority': 'jobs',
    'retry': 'jobs',
    'dead': 'dead',
    'cron': 'cron',
    'batch': 'batches',
    'workers': 'control',
    'models': 'models',
    'machines': 'machines',
    'pause': 'control',
    'resume': 'control',
    'drain': 'control',
    'stats': 'stats',
    'replay': 'replay',
    'export': 'export',
    'doctor': 'doctor',
    'completion': 'completion',
}
_GROUPS = {'submit', 'dead', 'cron', 'batch', 'models', 'machines'}  # those that have commands of their own


class Commands(TyperGroup):
    """Loads a command when it is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        """All names, those of the start first."""
        return [*self.commands, *(name for name in COMMANDS if name not in self.commands)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of this name, None where there is none."""
        if cmd_name not in COMMANDS:
            return super().get_command(ctx, cmd_name)
        module = importlib.import_module(f'app.commands.{COMMANDS[cmd_name]}')
        found = typer.main.get_group(module.app)
        if cmd_name in _GROUPS:
            found.name = cmd_name
            return found
        return found.get_command(ctx, cmd_name)
