"""The desk in Chinese and English.

The msgid is the English text. Every area has its catalogue, ``locales/<lang>/<area>.po``; both languages list every
msgid with a filled-in msgstr. Values go in as ``{name}``. ``tests/test_locales.py`` reads the source for msgids, so
write them as literals in one of these calls (or in ``theme.button``, ``icon_button``, ``empty``, ``page``):

* ``T(element, 'Send')`` puts a text on an element and changes it when the language is switched;
  ``T(element, 'Close', prop='aria-label')`` does so for a prop; ``T(element, '{n} waiting', n=3)`` fills in values.
* ``labels(element, send='Send', stop='Stop')`` is for custom Vue elements: it puts ``{send: …, stop: …}`` and
  ``lang: 'zh-CN'`` in the element's props and sends them again on a switch. In the browser use ``labels.send``, fill in
  with ``labels.left.replace('{n}', n)``, and format numbers and times with ``Intl`` and ``lang``.
* ``speech().tr('Saved.')`` for a moment's text (toasts), ``speech().trn('{n} job', '{n} jobs', n)`` for plurals;
  ``speech().number(…)``, ``.seconds(…)``, ``.clock(…)``, ``.day(…)`` for figures and times in the language.
* ``speech().on_switch(element, callback)`` for anything else that has to be said again (chart titles); it lives as long
  as the element.
* ``tr('zh', 'Send')`` where no page is at hand; ``N_('Low')`` marks a literal that is translated later.
"""

import datetime
import functools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from babel import dates, numbers
from babel.messages import pofile
from nicegui import context, ui
from nicegui.translations import translations

FOLDER = Path(__file__).parent.parent / 'locales'
LANGUAGES = {'en': 'English', 'zh': '中文'}
TAGS = {'en': 'en-US', 'zh': 'zh-CN'}  # as browsers and Quasar call them
COOKIE = 'corral_lang'

ElementT = TypeVar('ElementT', bound=ui.element)


def tr(lang: str, msgid: str, **values: object) -> str:
    """``msgid`` in ``lang``, with ``{name}`` filled in."""
    text = catalogue(lang).get(msgid, msgid)
    return text.format(**values) if values else text


def trn(lang: str, one: str, many: str, n: float, **values: object) -> str:
    """The form for ``n``; ``{n}`` in it becomes the number as the language writes it."""
    forms = catalogue(lang).get((one, many), (one, many))
    text = forms[0] if len(forms) == 1 or n == 1 else forms[1]
    return text.format(n=number(lang, n), **values)


def N_(msgid: str) -> str:
    """Mark a literal that is translated elsewhere."""
    return msgid


class Speech:
    """One page's language: what is said in it, and how to change it while the page is open."""

    def __init__(self, code: str) -> None:
        self.code = code
        self._followers: list[tuple[ui.element, Callable[[], object]]] = []
        self._prune_at = 200

    @property
    def tag(self) -> str:
        """The language as browsers call it: 'zh-CN' or 'en-US'."""
        return TAGS[self.code]

    def tr(self, msgid: str, **values: object) -> str:
        """``msgid`` in this language."""
        return tr(self.code, msgid, **values)

    def trn(self, one: str, many: str, n: float, **values: object) -> str:
        """The form for ``n``."""
        return trn(self.code, one, many, n, **values)

    def number(self, value: float, digits: int = 0) -> str:
        """``1234.5`` as '1,234.5'."""
        return number(self.code, value, digits)

    def percent(self, share: float, digits: int = 0) -> str:
        """``0.5`` as '50%'."""
        return numbers.format_percent(round(share, digits + 2), locale=_locale(self.code), decimal_quantization=False)

    def seconds(self, value: float | None) -> str:
        """A duration: '40 ms', '0.4 s', '12 s', '4 min 10 s', '1 h 5 min'; '0.4 秒', '4 分 10 秒'; '—' for unknown."""
        return seconds(self.code, value)

    def clock(self, at: float) -> str:
        """The time of day of a unix time: '14:05'."""
        return dates.format_time(_local(at), 'HH:mm', locale=_locale(self.code))

    def day(self, at: float) -> str:
        """The date of a unix time: 'Nov 22, 2026', '2026年11月22日'."""
        return dates.format_date(_local(at).date(), 'medium', locale=_locale(self.code))

    def weekday(self, day: int, *, short: bool = False) -> str:
        """A day of the week, 0 is Monday: 'Monday' or 'Mon', '星期一' or '周一'."""
        return dates.get_day_names('abbreviated' if short else 'wide', locale=_locale(self.code))[day]

    def compact(self, value: float) -> str:
        """A large number, short: '12.3K', '1.2万'; as ``number`` below ten thousand."""
        if abs(value) < 10_000:
            return self.number(value)
        return numbers.format_compact_decimal(value, locale=_locale(self.code), fraction_digits=1)

    def on_switch(self, element: ui.element, callback: Callable[[], object]) -> None:
        """Call back after each switch, for as long as ``element`` is there."""
        self._followers.append((element, callback))
        if len(self._followers) > self._prune_at:
            self._followers = [pair for pair in self._followers if not pair[0].is_deleted]
            self._prune_at = 2 * len(self._followers) + 200

    def switch(self, code: str) -> None:
        """Say everything in another language, and remember it in the browser."""
        if code not in LANGUAGES or code == self.code:
            return
        self.code = code
        for element, callback in list(self._followers):
            if not element.is_deleted:  # asked each time: a callback may rebuild a part of the page
                callback()
        self._followers = [pair for pair in self._followers if not pair[0].is_deleted]
        popup = [translations[TAGS[code]][line] for line in ('connection_lost', 'trying_to_reconnect')]
        ui.run_javascript(f'corral.setLanguage({code!r}, {TAGS[code]!r}, {json.dumps(popup)})')


def speech() -> Speech:
    """The language of the page that is being built or that an event came from."""
    client = context.client
    found = client.storage.get('speech')
    if found is None:
        request = client.request
        found = Speech(choose(request.cookies.get(COOKIE, ''), request.headers.get('accept-language', '')))
        client.storage['speech'] = found
    return found


def T(element: ElementT, msgid: str, prop: str | None = None, **values: object) -> ElementT:
    """Put ``msgid`` on ``element``, as its text or one of its props, and keep it in the page's language."""
    said = speech()

    def say() -> None:
        text = said.tr(msgid, **values)
        if prop is not None:
            element.props[prop] = text
            element.update()
        elif hasattr(element, 'set_text'):
            element.set_text(text)
        else:
            element._text = text
            element.update()

    say()
    said.on_switch(element, say)
    return element


def labels(element: ElementT, **msgids: str) -> ElementT:
    """Give a custom Vue element its texts as the prop ``labels`` and the language as ``lang``; see the module."""
    said = speech()

    def say() -> None:
        element.props['labels'] = {name: said.tr(msgid) for name, msgid in msgids.items()}
        element.props['lang'] = said.tag
        element.update()

    say()
    said.on_switch(element, say)
    return element


def choose(cookie: str, accept_language: str) -> str:
    """The language to begin with: the one chosen before, else the browser's first one that we speak, else English."""
    if cookie in LANGUAGES:
        return cookie
    wanted: list[tuple[float, int, str]] = []
    for place, part in enumerate(accept_language.split(',')):
        tag, _, rest = part.strip().partition(';')
        try:
            quality = float(rest.partition('=')[2]) if rest else 1.0
        except ValueError:
            quality = 0.0
        wanted.append((-quality, place, tag.lower()))
    for _, _, tag in sorted(wanted):
        for code in LANGUAGES:
            if tag == code or tag.startswith(f'{code}-'):
                return code
    return 'en'


def number(lang: str, value: float, digits: int = 0) -> str:
    """A number with at most ``digits`` decimals, grouped as the language does."""
    return numbers.format_decimal(round(value, digits), locale=_locale(lang), decimal_quantization=False)


def seconds(lang: str, value: float | None) -> str:
    """A duration in the two largest units that matter; '—' where it is not known (None, or no number)."""
    if value is None or math.isnan(value):
        return '—'
    value = max(0.0, value)
    if 0.0 < value < 0.0995:
        return tr(lang, '{n} ms', n=round(value * 1000)) if value >= 0.001 else tr(lang, '< 1 ms')
    if value < 10:
        return tr(lang, '{n} s', n=number(lang, value, 1))
    whole = round(value)
    if whole < 60:
        return tr(lang, '{n} s', n=whole)
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return tr(lang, '{m} min {s} s', m=minutes, s=rest) if rest else tr(lang, '{m} min', m=minutes)
    hours, minutes = divmod(minutes, 60)
    return tr(lang, '{h} h {m} min', h=number(lang, hours), m=minutes)


@functools.cache
def catalogue(lang: str) -> dict[Any, Any]:
    """All texts of a language by msgid; plural forms by (one, many)."""
    found: dict[Any, Any] = {}
    for path in sorted((FOLDER / lang).glob('*.po')):
        with path.open('rb') as file:
            for message in pofile.read_po(file, locale=_locale(lang), abort_invalid=True):
                if message.id and message.string and any(message.string):
                    found[message.id] = message.string
    return found


def _locale(lang: str) -> str:
    return TAGS[lang].replace('-', '_')


def _local(at: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(at).astimezone()
