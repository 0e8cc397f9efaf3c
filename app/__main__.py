"""``python -m app``: the desk's process, started by ``run.py`` with its settings on stdin."""

import os

from app.settings import AppSettings
from broker import child


def main() -> None:
    """Run until stdin ends or SIGTERM comes."""
    settings = child.read_settings(AppSettings)
    child.configure_logging('app', settings.data_dir, settings.log_level)
    os.environ['NICEGUI_STORAGE_PATH'] = str(settings.data_dir / 'nicegui')  # read on import; nothing is kept there
    from app import startup

    startup.run(settings)


if __name__ == '__main__':
    main()
