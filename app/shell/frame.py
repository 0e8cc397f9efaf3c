"""What stands around every page: the rail, the banner, the status bar, and the pages in between."""

import logging
from collections.abc import Callable
from typing import Any

from nicegui import context, ui

from app.components import palette
from app.components.hotkeys import Hotkeys
from app.components.notifier import Notifier
from app.components.palette import Palette
from app.i18n import N_, T, speech
from app.jobs import refusals
from app.parts import Parts
from app.shell import status_bar, theme
from app.shell.actions import Action
from app.shell.banner import Banner
from app.visit import visit, watch
from broker import errors

PLACES = {
    '/chat': ('chat', N_('Chat')),
    '/queue': ('queue', N_('Queue')),
    '/history': ('history', N_('History')),
    '/workers': ('workers', N_('Workers')),
    '/analytics': ('chart', N_('Analytics')),
    '/settings': ('settings', N_('Settings')),
}

log = logging.getLogger(__name__)


def create(parts: Parts, routes: dict[str, Callable[..., Any]]) -> None:
    """The whole desk for one browser tab; ``routes`` maps paths to page builders, as ``ui.sub_pages`` takes them."""
    _prepare(context.client)
    with theme.box('desk'):
        T(theme.text(tag='a', classes='skip').props('href=#content'), 'Skip to the content')
        _rail(parts)
        Banner(parts)
        with theme.box('content', tag='main').props('id=content tabindex=-1'):
            _Pages(routes)
        status_bar.create(parts)
    Palette(parts, PLACES, _commands(parts))
    Hotkeys()
    Notifier(parts)


def _prepare(client: Any) -> None:
    said, state = speech(), visit()
    state.theme = theme.current(client.request.cookies.get(theme.COOKIE, ''))
    client.page.language = said.tag
    client.page.dark = {'light': False, 'dark': True}.get(state.theme)
    client.content.parent_slot.parent.tag = 'div'  # Quasar's page is a <main>, and the desk has its own
    with client:
        ui.on_exception(_apologise)


def _apologise(error: Exception) -> None:
    theme.toast(speech().tr('That did not work: something is wrong on our side. The details are in the log.'), bad=True)


class _Pages(ui.sub_pages):
    def _render_404(self) -> None:
        with (
            theme.box('page'),
            theme.empty('compass', 'There is no such page', 'The address may be old or mistyped.', whole=True),
            theme.text(tag='a', classes='btn primary').props('href=/chat'),
        ):
            T(theme.text(), 'Go to the chat')

    def _render_error(self, _: Exception) -> None:
        log.exception('a page failed to build: %s', self._router.current_path, extra={'action': 'build page'})
        with theme.box('page'):
            explanation = N_('The details are in the log. Reloading the page may help.')
            theme.empty('warn', 'This page could not be shown', explanation, whole=True)


# What the palette offers everywhere


def _commands(parts: Parts) -> dict[str, Action]:
    board = parts.board
    here: dict[str, tuple[str, str]] = {
        'js compose': (N_('New conversation'), 'plus'),
        'js sheet': (N_('Show the shortcuts'), 'info'),
        'js address': (N_('Copy the address of this view'), 'copy'),
    }

    def paused() -> bool:
        return ('all', '') in board.pauses

    def look(theme_name: str) -> Callable[[], None]:
        return lambda: status_bar.set_theme(theme_name)

    return {
        **{name: Action(name=text, icon=icon, run=lambda: None) for name, (text, icon) in here.items()},
        'pause': Action(
            name=N_('Pause the queue'), icon='pause', run=lambda: _queue(parts, on=False), shown=lambda: not paused()
        ),
        'resume': Action(name=N_('Resume the queue'), icon='play', run=lambda: _queue(parts, on=True), shown=paused),
        'language': Action(name=N_('Switch the language: English, 中文'), icon='globe', run=status_bar.switch_language),
        'light': Action(name=N_('Use the light theme'), icon='sun', run=look('light')),
        'dark': Action(name=N_('Use the dark theme'), icon='moon', run=look('dark')),
        'system': Action(name=N_('Let the theme follow the system'), icon='system', run=look('system')),
    }


async def _queue(parts: Parts, *, on: bool) -> None:
    said = speech()
    try:
        await (parts.broker.resume('all') if on else parts.broker.pause('all'))
    except errors.BrokerError as error:
        theme.toast(refusals.why(error, said), bad=True)
    else:
        theme.toast(said.tr('The queue goes on.') if on else said.tr('Nothing new starts until you resume.'))


# The rail


def _rail(parts: Parts) -> None:
    router = context.client.sub_pages_router
    links: dict[str, ui.element] = {}
    arrived = theme.text(classes='sr').props('aria-live=polite')  # tells who does not see it where a link led
    with T(theme.box('rail', tag='nav'), 'Main', prop='aria-label'):
        theme.text('栏', 'mark').props('aria-hidden=true')
        palette.button('tip-right')
        for path, (icon, name) in PLACES.items():
            link = ui.element('a').props(f'href={path}').classes('tip-right')
            links[path] = T(link, name, prop='data-tip')
            with link:
                theme.icon(icon)
                T(theme.text(classes='rail-name'), name)
                if path == '/queue':
                    count = theme.text(classes='count').props('aria-hidden=true')

    def mark(path: str) -> None:
        place = place_of(path)
        for each, link in links.items():
            if each == place:
                link.props['aria-current'] = 'page'
            else:
                link.props.pop('aria-current', None)
            link.update()
        title = speech().tr(PLACES[place][1]) if place else ''
        ui.page_title(f'{title} · Corral' if title else 'Corral')

    def arrive(path: str) -> None:
        mark(path)
        place = place_of(path)
        if place != visit().place:
            visit().place = place
            arrived.set_text(speech().tr(PLACES[place][1]) if place else '')
            ui.run_javascript('corral.arrived()')

    def recount() -> None:
        waiting = parts.board.counts().waiting
        count.set_text('' if not waiting else str(waiting) if waiting < 100 else '99+')

    router.on_path_changed(arrive)
    speech().on_switch(count, lambda: mark(router.current_path))
    watch(parts.board.on_queue, recount)
    mark(router.current_path)
    visit().place = place_of(router.current_path)
    recount()


def place_of(path: str) -> str:
    """The place in the rail that an address belongs to, '' for none."""
    bare = path.partition('?')[0]
    if bare.startswith('/jobs/'):
        return '/queue'
    return next((place for place in PLACES if bare == place or bare.startswith(f'{place}/')), '')
