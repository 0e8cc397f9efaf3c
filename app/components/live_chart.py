"""A chart in its card, whose numbers are pushed: each change costs one small message, whatever stands on the page."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nicegui import ui

from app.components import words

_ = ui.echart  # importing it makes its library known to the browser

Values = list[float | None]


class LiveChart(ui.element, component='live_chart.js', esm={'corral-figures': 'figures'}):
    """A chart of a ``form``, its title, and a menu that shows it as a table and saves it as a picture or as CSV.

    Forms and what ``show`` takes for them:

    * 'steps': ``at`` (unix seconds, the beginning of each step), ``step_s``, ``span_s``, ``series`` {id: values}, and
      maybe ``before`` {id: values of the period before}
    * 'ranks', 'bins': ``names``, ``series`` {id: values}, and maybe ``links`` (a path for each name)
    * 'heat': ``cells`` [(weekday 1–7, hour, value)]

    ``series`` says how each is drawn: ``{'id', 'colour', 'type', 'area', 'thin'}``; without it they are lines, called
    as ``called`` {id: name} of the data says. Bars of 'ranks' follow each other in a line, or stand ``beside`` each
    other. ``unit``: 'count', 'rate', 'time', 'share', 'speed', 'tokens', 'offset'.
    """

    def __init__(
        self,
        form: str,
        unit: str,
        *,
        file: str,
        series: Sequence[Mapping[str, Any]] = (),
        share: bool = False,
        beside: bool = False,
        choices: Sequence[str] = (),
        on_choice: Callable[[str], Any] | None = None,
        **texts: str,
    ) -> None:
        """``texts`` are msgids: ``title``, ``hint``, ``empty``, a name for each series, ``choice_…`` for choices."""
        super().__init__()
        self._props['spec'] = {'form': form, 'unit': unit, 'file': f'corral-{file}', 'share': share, 'beside': beside}
        if series:
            self._props['spec']['series'] = [dict(line) for line in series]
        if choices:
            self._props['spec'] |= {'choices': list(choices), 'choice': choices[0]}
        words.give(self, **texts)
        self.shown: dict[str, Any] = {}
        self.seen = False  # whether somebody looks at it now
        self.on_seen: Callable[[], Any] = lambda: None
        self.on('ready', self._send, [])
        self.on('seen', lambda event: self._see(bool(event.args)))
        if on_choice is not None:
            self.on('pick', lambda event: self._choose(str(event.args), on_choice))

    @property
    def choice(self) -> str:
        """Which of the choices is taken."""
        return str(self._props['spec']['choice'])

    def measure(self, unit: str) -> None:
        """From now on the values are in this unit."""
        if unit != self._props['spec']['unit']:
            self._props['spec'] = {**self._props['spec'], 'unit': unit}
            self.update()

    def show(self, **data: Any) -> None:
        """Show this; only what changed is sent."""
        before, self.shown = self.shown, data
        if data == before:
            return
        patch = difference(before, data)
        if patch is None:
            self._send()
        else:
            self.run_method('change', patch)

    def show_empty(self) -> None:
        """Say that there is nothing to show."""
        self.show(empty=True)

    def show_problem(self, text: str) -> None:
        """Say, in the page's language, why there is nothing to show."""
        self.show(problem=text)

    def _send(self) -> None:
        if self.shown:
            self.run_method('show', self.shown)

    def _see(self, seen: bool) -> None:
        self.seen = seen
        if seen:
            self.on_seen()

    def _choose(self, choice: str, then: Callable[[str], Any]) -> None:
        if choice in self._props['spec']['choices'] and choice != self.choice:
            self._props['spec'] = {**self._props['spec'], 'choice': choice}
            self.update()
            then(choice)


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any] | None:
    """What turns the steps ``before`` into ``after``: how many go in front, what is new. None: send everything."""
    if not before.get('at') or not after.get('at') or before.keys() != after.keys():
        return None
    old, new = before['at'], after['at']
    if new[0] not in old[: len(new)] or before['series'].keys() != after['series'].keys():
        return None
    drop = old.index(new[0])
    kept = len(old) - drop
    others = [key for key in after if key not in ('at', 'series')]
    if new[:kept] != old[drop:] or any(before[key] != after[key] for key in others):
        return None
    series = {name: _changes(before['series'][name][drop:], values) for name, values in after['series'].items()}
    return {'drop': drop, 'at': new[kept:], 'series': series}


def _changes(before: Values, after: Values) -> dict[int, float | None]:
    return {at: value for at, value in enumerate(after) if at >= len(before) or value != before[at]}
