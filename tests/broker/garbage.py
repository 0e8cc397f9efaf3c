"""Messages of every kind, whole and broken: made from the types themselves, so that a new message is covered, too."""

import math
import typing
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import inspect

from broker import protocol
from tests.broker.desk import job_id

# What may stand where something else belongs.
ODDITIES: tuple[Any, ...] = (
    None,
    True,
    -1,
    2**63 - 1,
    2**64 - 1,
    -(2**63),
    0.5,
    -1e308,
    math.nan,
    math.inf,
    -math.inf,
    '',
    'x' * 10_000,
    '\x00\x1b[31m\u202e',
    b'\xff\xfe',
    [],
    [[[]]],
    {},
    {'t': 'Ping'},
)
DOORS = {
    protocol.AnyRequest: protocol.requests_in,
    protocol.AnyFromWorker: protocol.from_worker_in,
    protocol.AnyToWorker: protocol.to_worker_in,
    protocol.AnyReply: protocol.replies_in,
    protocol.AnyBroadcast: protocol.published_in,
}


def kinds() -> list[tuple[type[msgspec.Struct], Any]]:
    """Every message type with the decoder of its socket."""
    return [(kind, decode) for union, decode in DOORS.items() for kind in typing.get_args(union)]


def whole(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """A message of this kind as plain values, with every field in it."""
    found = inspect.type_info(kind)
    assert isinstance(found, inspect.StructType)
    return {'t': kind.__name__, **{field.name: _value(field.name, field.type) for field in found.fields}}


def broken(kind: type[msgspec.Struct]) -> Iterator[dict[str, Any]]:
    """The same with one field missing, or odd; also fields of what stands inside."""
    message = whole(kind)
    for path in _paths(message):
        yield _with(message, path, _GONE)
        for odd in ODDITIES:
            yield _with(message, path, odd)


def torn(kind: type[msgspec.Struct]) -> Iterator[bytes]:
    """The encoded message, cut off, with a byte too many, and with one turned over, at several places."""
    data = msgspec.msgpack.encode(whole(kind))
    for place in sorted({0, 1, 2, len(data) // 3, len(data) // 2, len(data) - 1}):
        yield data[:place]
        yield data[:place] + bytes((data[place] ^ 0xFF,)) + data[place + 1 :]
    yield data + b'\xc0'
    yield data * 2
    yield b'\x93' * 5_000  # lists in lists


_GONE = object()


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield (*path, name)
            yield from _paths(inner, (*path, name))
    elif isinstance(value, list) and value:
        yield (*path, 0)
        yield from _paths(value[0], (*path, 0))


def _with(value: Any, path: tuple[Any, ...], odd: Any) -> Any:
    if not path:
        return odd
    made = value.copy()
    inner = _with(value[path[0]], path[1:], odd)
    if inner is _GONE:
        del made[path[0]]
    else:
        made[path[0]] = inner
    return made


def _value(name: str, kind: inspect.Type) -> Any:
    match kind:
        case inspect.VarTupleType() | inspect.ListType():
            return [_value(name, kind.item_type)]
        case inspect.UnionType():
            return _value(name, kind.types[0])
        case inspect.StructType():
            tag = {kind.tag_field: kind.tag} if kind.tag_field else {}
            return tag | {field.name: _value(field.name, field.type) for field in kind.fields}
        case inspect.StrType() if name in _NAMES:
            return _NAMES[name]
    return _plain(kind)


_NAMES = {'job_id': job_id(1), 'new_job_id': job_id(7), 'worker': 'w', 'session': 's', 'model': 'm'}
_PLAIN = {inspect.StrType: 'chat', inspect.IntType: 1, inspect.FloatType: 1.0, inspect.BytesType: b'{}'}


def _plain(kind: inspect.Type) -> Any:
    match kind:
        case inspect.BoolType():
            return False
        case inspect.EnumType():
            return next(iter(kind.cls)).value
        case inspect.LiteralType():
            return kind.values[0]
    return _PLAIN[type(kind)]
