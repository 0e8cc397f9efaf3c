"""A chart whose numbers are pushed: each change costs one small message, whatever stands on the page."""

from collections.abc import Sequence
from typing import Any

from nicegui import ui

_ = ui.echart  # importing it makes its library known to the browser


class LiveChart(ui.element, component='live_chart.js'):
    """A chart of a ``kind`` that ``live_chart.js`` knows: 'outcomes' or 'times'. Give it texts with ``i18n.labels``."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self._props['kind'] = kind
        self._props['labels'] = {}
        self.shown: dict[str, Any] = {}
        self.on('ready', self._send, [])

    def show(self, *, at: Sequence[float], step_s: float, span_s: float, **series: list[float | None]) -> None:
        """Show these series; ``at`` has the beginning of each step, in unix seconds. Only what changed is sent."""
        before, self.shown = self.shown, {'at': list(at), 'step_s': step_s, 'span_s': span_s, 'series': series}
        if self.shown == before:
            return
        if before and all(before[key] == self.shown[key] for key in ('at', 'step_s', 'span_s')):
            self.run_method('change', {name: _changes(before['series'][name], series[name]) for name in series})
        else:
            self._send()

    def _send(self) -> None:
        if self.shown:
            self.run_method('show', self.shown)


def _changes(before: list[float | None], after: list[float | None]) -> dict[int, float | None]:
    return {index: new for index, (old, new) in enumerate(zip(before, after, strict=True)) if old != new}
