"""The parts of the settings that only tell: engines, what the start was given, versions and checks."""

import json
from typing import TYPE_CHECKING, Any

from nicegui import context, ui

from app import about as facts_about
from app.commands import checkup
from app.i18n import N_, T, speech
from app.parts import Parts
from app.shell import theme
from app.visit import watch

if TYPE_CHECKING:
    from app.pages.settings_queue import Queue

_KINDS = {'ok': N_('Sound'), 'warning': N_('Look at this'), 'problem': N_('Wrong')}
_ADDRESSES = {
    'desk': N_('Address of the desk'),
    'queue': N_('Of the queue'),
    'workers': N_('Of the workers'),
    'facts': N_('Of the facts'),
}
_STYLE = {'ok': 'ok', 'warning': 'warn', 'problem': 'bad'}


def engines(parts: Parts) -> None:
    """A line for each worker's engine, live."""
    place = theme.box('settings-table')

    def show() -> None:
        said = speech()
        place.clear()
        with place:
            workers = parts.board.workers()
            if not workers:
                theme.text(said.tr('No worker is connected. Jobs wait until one is back.'), classes='quiet', tag='p')
                return
            head = (N_('Worker'), N_('Engine'), N_('Slots'), N_('Models'), N_('State'))
            with theme.box('table', tag='table'):
                with theme.box(tag='thead'), theme.box(tag='tr'):
                    for name in head:
                        theme.text(said.tr(name), tag='th')
                with theme.box(tag='tbody'):
                    for worker in workers:
                        with theme.box(tag='tr'):
                            theme.text(worker.worker, tag='td')
                            theme.text(f'{worker.engine} {worker.engine_version}'.strip(), tag='td')
                            theme.text(said.number(worker.slots), tag='td')
                            names = ', '.join(sorted(model.name for model in worker.models))
                            theme.text(names or '—', tag='td').classes('settings-models').props['title'] = names
                            theme.text(said.tr(N_('Trouble') if worker.problem else N_('Answers')), tag='td')

    show()
    speech().on_switch(place, show)
    watch(parts.board.on_workers, show)
    with theme.box('row-line'):
        T(theme.text(classes='quiet'), 'Ollama is looked for at {url}.', None, url=parts.settings.ollama_url)
        T(theme.text(tag='a').props('href=/workers'), 'See the workers')


def launched(parts: Parts, queue: 'Queue') -> None:
    """Every setting of the start: its value, where it comes from, how to change it."""
    rows = {name: tuple(told) for name, told in parts.settings.launched.items()}
    with theme.box('settings-fold', tag='details'):
        with theme.box(tag='summary'):
            T(theme.text(), 'Show all {n} settings', None, n=len(rows))
        place = theme.box('settings-table')

    def show() -> None:
        said = speech()
        changed = {f'broker.{name}' for name in queue.told.changed} if queue.told else set()
        place.clear()
        with place, theme.box('table', tag='table'):
            with theme.box(tag='thead'), theme.box(tag='tr'):
                for title in (N_('Setting'), N_('Value'), N_('Comes from'), N_('Environment variable')):
                    theme.text(said.tr(title), tag='th')
            with theme.box(tag='tbody'):
                for name, (value, origin) in rows.items():
                    with theme.box(tag='tr'):
                        theme.text(name, 'mono', tag='td')
                        theme.text(_plain(value), 'mono settings-value', tag='td').props['title'] = _plain(value)
                        source = said.tr('changed above') if name in changed else _origin(origin, name)
                        theme.text(source, 'quiet', tag='td')
                        theme.text(_variable(name), 'mono faint', tag='td')

    show()
    speech().on_switch(place, show)
    queue.on_told.append(show)


def about(parts: Parts, queue: 'Queue') -> None:
    """Versions, sizes and addresses, the checks, and all of it to copy."""
    _About(parts, queue)


class _About:
    def __init__(self, parts: Parts, queue: 'Queue') -> None:
        self._parts, self._queue = parts, queue
        self._findings: list[checkup.Finding] = []
        url = context.client.request.url
        self._address = f'{url.scheme}://{url.netloc}'
        self._place = theme.box('settings-about')
        with theme.box('settings-do'):
            self._check = theme.button('Check now', self._look, icon_name='check')
            theme.button('Copy the report', icon_name='copy').on('click', self._copy)
        self._found = theme.box('settings-findings').props('aria-live=polite')
        speech().on_switch(self._place, self._show)
        speech().on_switch(self._found, self._tell)
        queue.on_told.append(self._show)
        self._show()

    def _show(self) -> None:
        told, said = facts_about.look(self._parts.settings, self._queue.told, self._address), speech()
        rows = [
            (N_('Version'), told.version),
            (N_('Python'), told.python),
            (N_('System'), told.system),
            (N_('Runs for'), said.seconds(told.uptime_s)),
            (N_('Memory of the desk'), _bytes(told.memory)),
            (N_('Data directory'), told.data_dir),
            (N_('Free on its disk'), _bytes(told.free)),
            *((each.name, _size(each)) for each in told.sizes),
            *((_ADDRESSES[name], address) for name, address in told.addresses),
        ]
        self._place.clear()
        with self._place, theme.box('kv'):
            for name, value in rows:
                theme.text(said.tr(name))
                theme.text(value, 'settings-fact')

    async def _look(self) -> None:
        self._check.props['disabled'] = True
        self._check.update()
        try:
            self._findings = await facts_about.check(self._parts.settings)
        finally:
            self._check.props.pop('disabled', None)
            self._check.update()
        self._tell()

    def _tell(self) -> None:
        self._found.clear()
        with self._found:
            for each in self._findings:
                with theme.box('settings-finding'):
                    theme.badge(_KINDS[each.state], _STYLE[each.state])
                    theme.text(_said(each.what), 'settings-what')
                    with theme.box('settings-found'):
                        theme.text(_said(each.detail), tag='p')
                        if each.advice:
                            theme.text(_said(each.advice), 'quiet', tag='p')

    async def _copy(self) -> None:
        if not self._findings:
            await self._look()
        told = facts_about.look(self._parts.settings, self._queue.told, self._address)
        text = facts_about.report(told, self._parts.board.workers(), self._findings)
        ui.run_javascript(f'corral.copy({json.dumps(text)})')
        theme.toast(speech().tr('Copied.'))


def _said(told: str) -> str:
    said = speech()
    between = '；' if said.code == 'zh' else '; '
    return told.said(said.tr, between) if isinstance(told, checkup.Told) else told


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _origin(origin: str, name: str) -> str:
    said = speech()
    if not origin:
        return said.tr('built in')
    if origin == 'flag':
        return said.tr('the flag {name}', name=f'--{name.replace("_", "-")}')
    if origin in ('env', 'OLLAMA_HOST'):
        return said.tr('the environment')
    return origin


def _variable(name: str) -> str:
    return f'CORRAL_{name.replace(".", "__").upper()}'


def _bytes(count: float) -> str:
    said = speech()
    for unit in ('B', 'kB', 'MB', 'GB'):
        if count < 1000 or unit == 'GB':
            return f'{said.number(count, 0 if unit in ("B", "kB") else 1)} {unit}'
        count /= 1000
    return ''


def _size(each: facts_about.Size) -> str:
    return (
        speech().tr('{size}, schema {n}', size=_bytes(each.size), n=each.schema) if each.schema else _bytes(each.size)
    )
