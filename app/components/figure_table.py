"""A table of figures that is sorted and saved in the browser."""

from collections.abc import Sequence
from typing import Any

from app.components import words
from app.components.fed import Fed
from app.i18n import N_


class FigureTable(Fed, component='figure_table.js', esm={'corral-figures': 'figures'}):
    """Shows ``{'rows': [[value]], 'links': [path or None], 'total': [value]}``; sorted by any column.

    ``columns`` are (unit, msgid): a unit as of ``LiveChart``, 'text' or 'mono'; with ``bar`` the second one has a bar.
    """

    def __init__(
        self,
        *,
        file: str,
        title: str,
        columns: Sequence[tuple[str, str]],
        hint: str = '',
        bar: int = 0,
        empty: str = '',
    ) -> None:
        super().__init__()
        self._props['spec'] = {'file': f'corral-{file}', 'units': [unit for unit, _ in columns], 'bar': bar}
        texts = {f'column_{place}': msgid for place, (_, msgid) in enumerate(columns)}
        if hint:
            texts['hint'] = hint
        if empty:
            texts['empty'] = empty
        words.give(self, title=title, total=N_('Total'), **texts)

    def show_rows(self, rows: list[list[Any]], **more: Any) -> None:
        """Show these rows."""
        self.show({'rows': rows, **more})

    def show_problem(self, text: str) -> None:
        """Say, in the page's language, why there is nothing to show."""
        self.show({'problem': text})
