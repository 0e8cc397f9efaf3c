"""``python -m app``: the desk's process, started by ``run.py`` with its settings on stdin."""

import gc
import os
import sys

from app.settings import AppSettings
from broker import child


def main() -> int:
    """Run until stdin ends or SIGTERM comes. 78 means: starting again would not help."""
    gc.disable()  # nothing of what is imported is garbage, and to find that out over and over takes long
    try:
        return _serve(child.read_settings(AppSettings))
    finally:
        gc.unfreeze()  # some libraries look at their own end for what they have left


def _serve(settings: AppSettings) -> int:
    child.configure_logging('app', settings.data_dir, settings.log_level)
    os.environ['NICEGUI_STORAGE_PATH'] = str(settings.data_dir / 'nicegui')  # read on import; nothing is kept there
    from app import desk, startup

    gc.freeze()
    gc.enable()
    problem = desk.problem_with(settings.data_dir / 'desk.db')
    if problem:
        child.report(error=problem)
        return child.CANNOT_START
    try:
        return 0 if startup.run(settings) else 1
    except OSError as error:
        child.report(error=f'Port {settings.port} on {settings.host} cannot be used: {error.strerror or error}.')
        return 1


if __name__ == '__main__':
    sys.exit(main())
