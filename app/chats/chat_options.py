"""What a conversation asks its model to observe: the system prompt and the model's options."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

MOST_SYSTEM_BYTES = 100_000
MOST_STOPS = 8
MOST_STOP_LENGTH = 100
THINK = ('', 'on', 'off')
FORMATS = ('', 'json')
_KEEP_ALIVE = re.compile(r'-?\d{1,9}(\.\d{1,3})?(ms|s|m|h)?')


class Options(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """None and '' leave it to the model. ``preset`` is the name of the preset that they were taken from."""

    system: str = ''
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    repeat_penalty: float | None = None
    num_ctx: int | None = None
    num_predict: int | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    think: str = ''
    format: str = ''
    keep_alive: str = ''
    preset: str = ''


class Range(NamedTuple):
    """What a figure may be."""

    low: float
    high: float
    whole: bool = False


RANGES = {
    'temperature': Range(0, 2),
    'top_p': Range(0, 1),
    'top_k': Range(0, 1000, whole=True),
    'repeat_penalty': Range(0, 2),
    'num_ctx': Range(256, 1_048_576, whole=True),
    'num_predict': Range(1, 1_000_000, whole=True),
    'seed': Range(0, 2**31 - 1, whole=True),
}


def read(text: str) -> Options:
    """Those stored as JSON; none where that cannot be read."""
    try:
        return msgspec.json.decode(text or '{}', type=Options)
    except msgspec.MsgspecError:
        return Options()


def stored(options: Options) -> str:
    """The JSON to store."""
    return msgspec.json.encode(options).decode()


def form(options: Options) -> dict[str, str]:
    """As texts, the way people write them in a form."""
    texts = {name: f'{value:g}' if isinstance(value, float) else str(value or '') for name, value in _all(options)}
    zeros = {name: '0' for name, value in _all(options) if value == 0 and name in RANGES}
    return {**texts, **zeros, 'stop': '\n'.join(options.stop)}


def check(given: Mapping[str, Any]) -> tuple[Options, dict[str, str]]:
    """The options of a form, and for each field that cannot be what it says the kind of mistake: 'number', 'whole'
    (see ``RANGES``), 'stop', 'keep_alive' or 'system'."""
    texts = {name: str(given.get(name) or '').strip() for name in Options.__struct_fields__}
    fields: dict[str, Any] = {}
    wrong: dict[str, str] = {}
    for name, allowed in RANGES.items():
        value = _number(texts[name], allowed)
        if value is None and texts[name]:
            wrong[name] = 'whole' if allowed.whole else 'number'
        fields[name] = value
    stops = tuple(line for line in str(given.get('stop') or '').splitlines() if line.strip())
    if len(stops) > MOST_STOPS or any(len(line) > MOST_STOP_LENGTH for line in stops):
        wrong['stop'], stops = 'stop', ()
    if texts['keep_alive'] and not _KEEP_ALIVE.fullmatch(texts['keep_alive']):
        wrong['keep_alive'] = 'keep_alive'
    if len(texts['system'].encode(errors='replace')) > MOST_SYSTEM_BYTES:
        wrong['system'] = 'system'
    kept = {name: texts[name] for name in ('system', 'keep_alive') if name not in wrong}
    think = texts['think'] if texts['think'] in THINK else ''
    style = texts['format'] if texts['format'] in FORMATS else ''
    return Options(**fields, **kept, stop=stops, think=think, format=style, preset=texts['preset'][:80]), wrong


def request(options: Options) -> dict[str, Any]:
    """The fields of Ollama's request that they make."""
    figures: dict[str, Any] = {name: value for name, value in _all(options) if name in RANGES and value is not None}
    if options.stop:
        figures['stop'] = list(options.stop)
    fields: dict[str, Any] = {'options': figures} if figures else {}
    if options.think:
        fields['think'] = options.think == 'on'
    if options.format:
        fields['format'] = options.format
    if options.keep_alive:
        plain = options.keep_alive.lstrip('-').isdigit()  # a bare number is seconds; as a text it would need a unit
        fields['keep_alive'] = int(options.keep_alive) if plain else options.keep_alive
    return fields


def count(options: Options) -> int:
    """How many of them are set."""
    return sum(1 for name, value in _all(options) if name != 'preset' and value not in (None, '', ()))


def _all(options: Options) -> list[tuple[str, Any]]:
    return list(msgspec.structs.asdict(options).items())


def _number(text: str, allowed: Range) -> float | int | None:
    if not text:
        return None
    try:
        value: float = int(text) if allowed.whole else float(text.replace(',', '.'))
    except ValueError:
        return None
    return value if allowed.low <= value <= allowed.high else None  # not for nan either
