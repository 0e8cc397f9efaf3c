"""``completion``: the script that makes a shell complete ``corral`` and its commands."""

from enum import StrEnum
from typing import Annotated

import typer

from app.commands.command import Here, command

app = typer.Typer()
PROGRAM, VARIABLE = 'corral', '_CORRAL_COMPLETE'


class Shell(StrEnum):
    """Shells that can be helped."""

    BASH = 'bash'
    ZSH = 'zsh'
    FISH = 'fish'
    POWERSHELL = 'powershell'


@command(app, 'completion')
def completion(here: Here, shell: Annotated[Shell, typer.Argument(help='Which shell.')] = Shell.BASH) -> None:
    """Print the script that completes "corral" in a shell; e.g. in ~/.bashrc: eval "$(corral completion bash)"."""
    from typer._completion_shared import get_completion_script

    script = get_completion_script(prog_name=PROGRAM, complete_var=VARIABLE, shell=str(shell))
    if here.out.as_json:
        here.out.document({'shell': str(shell), 'script': script})
    else:
        here.out.text(script)
