"""A table of the jobs there were: any number of them, filtered and sorted by the queue, a page at a time."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import nicegui.elements.aggrid  # noqa: F401  it brings the grid as an ES module
from nicegui import ui

from app import i18n

SOURCE = '/desk/jobs/rows'
COLUMNS = ('state', 'queued', 'job', 'model', 'user', 'priority', 'waited', 'ran', 'tokens', 'worker', 'ended')
OnOpen = Callable[[str], Any]
OnChosen = Callable[[dict[str, str]], Any]
OnCounted = Callable[['Counted'], Any]


class Counted(NamedTuple):
    """So many jobs match, or so many so far while it is not ``complete``; with a text, ``looked`` were read for it.

    ``cut``: only the newest were put in order. ``going``: it counts still. Else, where it is not complete, it has read
    as many as it was to: ``go_on`` reads more.
    """

    total: int = 0
    complete: bool = False
    looked: int = 0
    going: bool = True
    cut: bool = False


class JobGrid(ui.element, component='job_grid.js'):
    """Shows what ``params`` (see ``app.past.query.Query.params``) ask for; put what an empty table says inside.

    ``on_open(job_id)``: a row was opened. ``on_chosen({job_id: state})``: these are ticked (without it none can be).
    ``on_sorted(column, up)``: another order is wished, ``show`` it. ``on_counted(counted)``: see ``Counted``.
    """

    def __init__(
        self,
        params: Mapping[str, str],
        *,
        sort: str = 'queued',
        up: bool = False,
        columns: Sequence[str] = COLUMNS,
        on_open: OnOpen | None = None,
        on_chosen: OnChosen | None = None,
        on_sorted: Callable[[str, bool], Any] | None = None,
        on_counted: OnCounted | None = None,
    ) -> None:
        super().__init__()
        self._props.update(source=SOURCE, shown='', choosing=on_chosen is not None, columns=list(columns))
        self._props.update(params=_plain(params), sort=sort, up=up)
        _labels(self)
        if on_open is not None:
            self.on('open', lambda event: on_open(str(event.args)))
        if on_chosen is not None:
            self.on('chosen', lambda event: on_chosen({str(job_id): str(state) for job_id, state in event.args}))
        if on_sorted is not None:
            self.on('sorted', lambda event: on_sorted(str(event.args[0]), bool(event.args[1])))
        if on_counted is not None:
            self.on(
                'counted',
                lambda event: on_counted(
                    Counted(
                        int(event.args['total']),
                        bool(event.args['complete']),
                        int(event.args['looked']),
                        bool(event.args['going']),
                        bool(event.args['cut']),
                    )
                ),
            )

    def show(self, params: Mapping[str, str], *, sort: str = 'queued', up: bool = False) -> None:
        """Show another list."""
        self._props.update(params=_plain(params), sort=sort, up=up)
        self.update()

    def mark(self, job_id: str) -> None:
        """This row is the one that is shown beside the table; '' for none."""
        self._props['shown'] = job_id
        self.update()

    def renew(self) -> None:
        """Make the list anew: what has come since is in it, and what is gone is not."""
        self.run_method('renew')

    def go_on(self, count: int) -> None:
        """Read so many jobs more for the text that is looked for."""
        self.run_method('more', count)

    def choose_none(self) -> None:
        """Take all ticks away."""
        self.run_method('choose_none')


def _plain(params: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in params.items() if name not in ('sort', 'order')}


def _labels(grid: JobGrid) -> None:
    i18n.labels(
        grid,
        state='State',
        queued='Queued',
        job='Job',
        kind='Kind',
        model='Model',
        user='User',
        priority='Priority',
        waited='Waited',
        ran='Ran',
        tokens='Tokens',
        worker='Worker',
        ended='Ended',
        code='Error',
        failures='Failures',
        waiting='Waiting',
        blocked='Held back',
        delayed='Delayed',
        running='Running',
        cancelling='Being stopped',
        completed='Completed',
        cancelled='Cancelled',
        dead='Failed',
        chat='Chat message',
        generate='Text completion',
        embed='Embedding',
        raw='Other request',
        low='Low',
        normal='Normal',
        high='High',
        realtime='Realtime',
        gone='This job was deleted meanwhile',
        again='Try again',
        unreachable='The queue does not answer. It is being restarted; try again in a moment.',
        s='{n} s',
        m='{m} min {s} s',
        h='{h} h {m} min',
        ag_loadingOoo='Loading…',
        ag_ariaRowToggleSelection='Press Space to tick this row',
        ag_ariaRowSelect='Press Space to tick this row',
        ag_ariaRowDeselect='Press Space to take the tick away',
        ag_ariaSortableColumn='Press Enter to sort',
        ag_ariaChecked='ticked',
        ag_ariaUnchecked='not ticked',
    )
