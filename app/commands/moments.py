"""Times as people write and read them: in local time, and lengths such as ``10m`` or ``1h30m``."""

import datetime
import os
import re
from pathlib import Path

_UNITS = {'s': 1.0, 'm': 60.0, 'h': 3600.0, 'd': 86400.0, 'w': 604800.0}
_LENGTH = re.compile(r'(?:\d+(?:\.\d+)?[smhdw])+')
_CLOCK = re.compile(r'\d{1,2}:\d{2}(?::\d{2})?')


def length_s(text: str) -> float:
    """``90``, ``90s``, ``10m``, ``1h30m``, ``2d`` in seconds. Raises ``ValueError`` with what is allowed."""
    text = text.strip().lower()
    if re.fullmatch(r'\d+(?:\.\d+)?', text):
        return float(text)
    if _LENGTH.fullmatch(text):
        return sum(float(number) * _UNITS[unit] for number, unit in re.findall(r'([\d.]+)([smhdw])', text))
    raise ValueError('it should be a length of time like 90s, 10m, 1h30m or 2d')


def moment(text: str, now: float) -> float:
    """A time as unix seconds: ``18:30`` (the next one), ``2026-12-01``, ``2026-12-01 18:30``, any ISO 8601, or a length
    from ``now`` on. Without an offset it is local time. Raises ``ValueError`` with what is allowed.
    """
    text = text.strip()
    if _CLOCK.fullmatch(text):
        here = datetime.datetime.fromtimestamp(now)
        try:
            at = datetime.datetime.combine(
                here.date(), datetime.time.fromisoformat(text.zfill(5 if text.count(':') == 1 else 8))
            )
        except ValueError:
            raise ValueError(f'there is no {text} o’clock') from None
        return (at if at > here else at + datetime.timedelta(days=1)).timestamp()
    try:
        return now + length_s(text)
    except ValueError:
        pass
    try:
        return datetime.datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        raise ValueError('it should be a time like 18:30 or 2026-12-01T18:30, or a length of time like 10m') from None


def shown(at: float, now: float) -> str:
    """A time for a table: ``14:05:09`` today, else ``2026-11-20 14:05``; '' for none."""
    if not at:
        return ''
    then, today = datetime.datetime.fromtimestamp(at), datetime.datetime.fromtimestamp(now).date()
    return then.strftime('%H:%M:%S' if then.date() == today else '%Y-%m-%d %H:%M')


def iso(at: float) -> str | None:
    """A time for programs, with the local offset: ``2026-11-22T14:05:09.123+08:00``; None for none."""
    return datetime.datetime.fromtimestamp(at).astimezone().isoformat(timespec='milliseconds') if at else None


def took(seconds: float) -> str:
    """A length of time for people: ``0.4 s``, ``12 s``, ``4 min 10 s``, ``1 h 5 min``, ``3 d 2 h``."""
    if seconds < 9.95:
        return f'{max(0.0, seconds):.1f} s'
    whole = round(seconds)
    for unit, size, smaller, less in (('d', 86400, 'h', 3600), ('h', 3600, 'min', 60), ('min', 60, 's', 1)):
        if whole >= size:
            rest = whole % size // less
            return f'{whole // size} {unit}' + (f' {rest} {smaller}' if rest else '')
    return f'{whole} s'


def zone() -> str:
    """The IANA name of this machine's time zone, UTC where it has none that can be named."""
    named = os.environ.get('TZ', '').removeprefix(':')
    if '/' in named and not named.startswith('/'):
        return named
    target = os.path.realpath(named if named.startswith('/') else '/etc/localtime')
    _, found, name = target.partition('/zoneinfo/')
    if found:
        return name
    try:
        return Path('/etc/timezone').read_text(encoding='utf-8').strip() or 'UTC'
    except OSError:
        return 'UTC'
