"""A row of figures, each with its change and a small line of how it went."""

from typing import Any

from app import i18n
from app.components.fed import Fed

Tile = dict[str, Any]


class Tiles(Fed, component='tiles.js'):
    """Shows tiles: ``{'id', 'title', 'figure', 'unit', 'under', 'change', 'tone', 'spark'}``, texts already said.

    ``tone`` is 'good', 'bad' or '' for the change; ``spark`` are values in order, None where there is none. ``wait``
    many grey ones stand there until something is shown.
    """

    def __init__(self, wait: int) -> None:
        super().__init__()
        self._props['wait'] = wait
        i18n.labels(self, figures='Figures')
