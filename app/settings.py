"""What can be set: about the app process, and about the whole when it starts.

A value comes from a flag, else from the environment (``CORRAL_…``, ``OLLAMA_HOST``), else from ``corral.toml``, else
it is the default. Only ``run.py`` reads those; every room gets its own frozen model.
"""

import contextlib
import difflib
import ipaddress
import json
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    create_model,
)
from pydantic_core import ErrorDetails

from app import ollama_address
from app.options import HELP, ROOT
from broker import network
from broker.endpoints import Endpoints

Engine = Literal['auto', 'ollama', 'demo']
LogLevel = Literal['debug', 'info', 'warning', 'error']
MOST_WORKERS = MOST_SLOTS = 64
_SECRET = re.compile(r'key|secret|token|password', re.I)
NOT_SETTINGS = {'config', 'chromium', 'no_setup', 'join_key'}  # CORRAL_… variables that are read elsewhere


class SettingsError(Exception):
    """A setting is wrong. The message is one sentence for the user."""


def _split_commas(value: object) -> object:
    return tuple(part.strip() for part in value.split(',') if part.strip()) if isinstance(value, str) else value


def _networks(texts: tuple[str, ...]) -> tuple[str, ...]:
    for text in texts:
        try:
            ipaddress.ip_network(text)
        except ValueError:
            raise ValueError(f'{text} is no network; write it like 192.168.0.0/16 or fd00::/8') from None
    return texts


class WorkerRange(NamedTuple):
    """So few worker processes at least, so many at most."""

    minimum: int
    maximum: int


def _read_workers(value: object) -> object:
    """``3``, ``'3'`` or ``'1..4'`` as a range."""
    if value is None or isinstance(value, WorkerRange):
        return value
    parts = [_number(part) for part in str(value).split('..')]
    if isinstance(value, bool) or len(parts) > 2 or None in parts:
        raise ValueError('it should be a whole number, or a range like 1..4')
    found = WorkerRange(parts[0] or 0, parts[-1] or 0)
    if not 1 <= found.minimum <= found.maximum <= MOST_WORKERS:
        raise ValueError(f'it should be 1 to {MOST_WORKERS}, or a range of these like 1..4, the smaller one first')
    return found


def _loopback(host: str) -> str:
    """Only where others cannot reach us."""
    try:
        loopback = ipaddress.ip_address(host.strip('[]')).is_loopback
    except ValueError:
        loopback = host == 'localhost'
    if not loopback:
        raise ValueError('Corral has no login yet, so it only listens on this machine (127.0.0.1)')
    return host


def _read_slots(value: object) -> object:
    """A number, or 0 for ``auto``."""
    if value is None or value == 'auto':
        return 0 if value else None
    found = None if isinstance(value, bool) else _number(str(value))
    if found is None:
        raise ValueError('it should be a whole number, or auto')
    if not 1 <= found <= MOST_SLOTS:
        raise ValueError(f'it should be 1 to {MOST_SLOTS}, or auto')
    return found


def _number(text: str) -> int | None:
    text = text.strip()
    return int(text) if text.isascii() and text.isdecimal() else None


class AppSettings(BaseModel):
    """Settings of the app process."""

    model_config = ConfigDict(frozen=True, extra='forbid')

    data_dir: Path = Field(description='Folder that holds desk.db, analytics.duckdb and the logs.')
    endpoints: Endpoints = Field(description="Where the broker's sockets are.")
    host: str = Field(default='127.0.0.1', description='Address to listen on.')
    port: int = Field(default=8080, ge=0, le=65535, description='Port to listen on; 0 takes any free one.')
    allowed_hosts: Annotated[tuple[str, ...], BeforeValidator(_split_commas)] = Field(
        default=(),
        description='More names under which browsers may reach the desk (the Host header), besides those of loopback.',
    )
    allowed_origins: Annotated[tuple[str, ...], BeforeValidator(_split_commas)] = Field(
        default=(),
        description='More web pages (https://host:port) whose scripts may use the APIs, besides those on this machine.',
    )
    log_level: LogLevel = Field(default='info', description='debug, info, warning or error.')
    listen: str = Field(default='', description='Where workers of other machines may join, for what the page says.')
    pages: bool = Field(default=True, description='Whether there are pages, or the APIs alone.')
    version: str = Field(description='Version of Corral, for /health and the page.')
    engine: Engine = Field(default='auto', description='Who answers: auto, ollama or demo.')
    ollama_url: str = Field(default=ollama_address.DEFAULT, description='Where Ollama is, for what the page says.')
    heartbeat_s: float = Field(
        default=10.0, gt=0, description='How long a call may be silent before it gets a sign of life, seconds.'
    )
    default_model: str = Field(
        default='', description='Model for programs that name none; empty is what they are used to, else the first.'
    )
    model_aliases: dict[str, str] = Field(
        default={}, description='Models for names that are asked for at the doors of other queues.'
    )
    webhook_networks: Annotated[tuple[str, ...], BeforeValidator(_split_commas), AfterValidator(_networks)] = Field(
        default=(), description='Networks that webhooks may reach besides public addresses, like 192.168.0.0/16.'
    )
    webhook_timeout_s: float = Field(
        default=10.0, gt=0, le=60, description='How long the receiver of a webhook may take, seconds.'
    )
    webhook_retry_base_s: float = Field(
        default=5.0, gt=0, le=3600, description='Back-off before a message is sent again, seconds; then four times it.'
    )
    max_file_bytes: int = Field(
        default=200_000_000, ge=1, description='Largest file that a program may leave here for a batch, bytes.'
    )
    max_uploads_bytes: int = Field(
        default=10_000_000_000, ge=1, description='All files of batches together, those that come out, too, bytes.'
    )
    max_attachments_bytes: int = Field(
        default=5_000_000_000, ge=1, description='All files that are attached in chats together, bytes.'
    )
    allow_admin: bool = Field(
        default=False, description='Let programs change models through the API of Ollama: pull, delete, copy, create.'
    )
    max_prompt_bytes: int = Field(default=400_000, ge=1, description='Longest question of a chat, bytes of UTF-8.')
    keep_statistics_days: int = Field(
        default=400,
        ge=0,
        description='How long single jobs stay in the statistics, days; 0 is for ever. Sums by hour and day stay.',
    )
    watts: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = Field(
        default={},
        description='Watts of a busy worker, by its name, a label or "default", for the energy in the statistics.',
    )
    launched: dict[str, Any] = Field(
        default={}, description='All settings of this start by name, each as (value, origin); for the settings page.'
    )


class LaunchSettings(BaseModel):
    """Settings of one start of Corral. ``load`` adds a table for each room: ``broker``, ``worker``, ``app``."""

    model_config = ConfigDict(frozen=True, extra='forbid')

    host: Annotated[str, AfterValidator(_loopback)] = Field(default='127.0.0.1', description=HELP['host'])
    port: int = Field(default=8080, ge=0, le=65535, description=HELP['port'])
    data_dir: Path = Field(default=ROOT / 'data', description=HELP['data_dir'])
    engine: Engine = Field(default='auto', description=HELP['engine'])
    ollama_url: Annotated[str, AfterValidator(ollama_address.checked)] = Field(
        default=ollama_address.DEFAULT, description=HELP['ollama_url']
    )
    workers: Annotated[WorkerRange | None, BeforeValidator(_read_workers)] = Field(
        default=None, description=HELP['workers']
    )
    slots: Annotated[int | None, BeforeValidator(_read_slots)] = Field(default=None, description=HELP['slots'])
    log_level: LogLevel = Field(default='info', description=HELP['log_level'])
    no_browser: bool = Field(default=False, description=HELP['no_browser'])
    listen: Annotated[str, AfterValidator(network.checked)] = Field(default='', description=HELP['listen'])
    transport: Literal['auto', 'tcp'] = Field(default='auto', description=HELP['transport'])

    _origins: dict[str, str] = PrivateAttr(default_factory=dict)

    def told(self) -> dict[str, tuple[Any, str]]:
        """Every setting but secrets by its name, like broker.rate: its value, and where that comes from.

        The origin is 'flag', 'env', 'OLLAMA_HOST', the path of a file, or '' for a default.
        """
        plain = self.model_dump(mode='json')
        flat = {name: value for name, value in plain.items() if not isinstance(getattr(self, name), BaseModel)}
        for name in plain.keys() - flat.keys():
            flat |= {f'{name}.{inner}': value for inner, value in plain[name].items()}
        return {
            name: (value, self._origins.get(name, ''))
            for name, value in sorted(flat.items())
            if not _SECRET.search(name)
        }

    def slots_by_worker(self) -> tuple[int, ...]:
        """How many jobs each worker process runs at once, for all that may run; 0: as many as the engine does."""
        slots = self.slots if self.slots is not None else 1 if self.follows_load else 0
        return (slots,) * (self.workers.maximum if self.workers else 1)

    @property
    def follows_load(self) -> bool:
        """Whether the number of worker processes changes with the load."""
        return self.workers is not None and self.workers.minimum < self.workers.maximum


class Loaded(BaseModel):
    """Settings as read, and what the user should hear about them."""

    settings: LaunchSettings
    warnings: tuple[str, ...] = ()


def load(
    flags: Mapping[str, Any],
    environ: Mapping[str, str],
    tables: Mapping[str, type[BaseModel]],
    *,
    cwd: Path,
    root: Path = ROOT,
) -> Loaded:
    """Read all settings. Raises ``SettingsError``.

    ``flags`` has what was given on the command line, ``tables`` a model for each room's own table.
    """
    model = _with_tables(tables)
    file = _config_file(flags.get('config') or environ.get('CORRAL_CONFIG'), cwd, root)
    from_env, warnings = _from_environment(environ, model)
    layers = (  # weakest first
        (str(file), _from_file(file)),
        (
            'OLLAMA_HOST',
            {'ollama_url': ollama_address.parse(environ['OLLAMA_HOST'])} if environ.get('OLLAMA_HOST') else {},
        ),
        ('env', from_env),
        ('flag', {name: value for name, value in flags.items() if value is not None and name != 'config'}),
    )
    merged: dict[str, Any] = {}
    origins: dict[tuple[str, ...], str] = {}
    for origin, layer in layers:
        _merge(merged, origins, origin, layer)
    try:
        settings = model.model_validate(merged)
    except ValidationError as error:
        sentences = dict.fromkeys(_sentence(each, origins, model) for each in error.errors())
        raise SettingsError('\n'.join(sentences)) from None
    base = file.parent if file and origins.get(('data_dir',)) == str(file) else cwd
    data_dir = (base / settings.data_dir.expanduser()).resolve()
    settings = settings.model_copy(update={'data_dir': data_dir})
    settings._origins = {'.'.join(path): origin for path, origin in origins.items()}
    return Loaded(settings=settings, warnings=warnings)


def table(room: type[BaseModel], *, without: set[str]) -> type[BaseModel]:
    """The part of a room's settings that a user may set in its own table."""
    fields: dict[str, Any] = {
        name: (field.rebuild_annotation(), field) for name, field in room.model_fields.items() if name not in without
    }
    return create_model(room.__name__ + 'Table', __config__=ConfigDict(frozen=True, extra='forbid'), **fields)


def names(tables: Mapping[str, type[BaseModel]]) -> list[tuple[str, ...]]:
    """The names of all settings: ``('port',)``, ``('broker', 'lease_ttl_s')``, …"""
    return _paths(_with_tables(tables))


def _with_tables(tables: Mapping[str, type[BaseModel]]) -> type[LaunchSettings]:
    fields: dict[str, Any] = {name: (model, Field(default_factory=model)) for name, model in tables.items()}
    return create_model('Settings', __base__=LaunchSettings, **fields)


def _config_file(named: str | os.PathLike[str] | None, cwd: Path, root: Path) -> Path | None:
    if named:
        return cwd / Path(named).expanduser()
    return next((file for file in (cwd / 'corral.toml', root / 'corral.toml') if file.is_file()), None)


def _from_file(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        return tomllib.loads(file.read_text(encoding='utf-8'))
    except OSError as error:
        raise SettingsError(f'{file} cannot be read: {(error.strerror or str(error)).lower()}.') from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f'{file} is not valid TOML: {error}.') from None


def _table_or_text(value: str) -> Any:
    """A table is written as JSON in the environment: '{"qwen3": "2 per min"}'; so is a list of tables."""
    with contextlib.suppress(json.JSONDecodeError):
        found = json.loads(value)
        if isinstance(found, dict | list):
            return found
    return value


def _from_environment(environ: Mapping[str, str], model: type[BaseModel]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What ``CORRAL_…`` says. An unknown one is only warned about: others may use that prefix for their own ends."""
    found: dict[str, Any] = {}
    warnings = []
    for variable, value in sorted(environ.items()):
        name = variable.removeprefix('CORRAL_').lower()
        if not variable.startswith('CORRAL_') or name in NOT_SETTINGS or value == '':
            continue
        top, _, inner = name.partition('__')
        path = (top, inner) if inner else (top,)
        if path not in _paths(model):
            known = ['CORRAL_' + '__'.join(each).upper() for each in _paths(model)]
            warnings.append(f'{variable} is not a setting{_nearest(variable, known)}.')
        elif inner:
            found.setdefault(top, {})[inner] = _table_or_text(value)
        else:
            found[top] = value
    return found, tuple(warnings)


def _merge(merged: dict[str, Any], origins: dict[tuple[str, ...], str], origin: str, layer: Mapping[str, Any]) -> None:
    for name, value in layer.items():
        if isinstance(value, Mapping) and isinstance(merged.get(name, {}), Mapping):
            merged[name] = {**merged.get(name, {}), **value}
            origins.update({(name, inner): origin for inner in value})
        else:
            merged[name] = value
        origins[name,] = origin


def _paths(model: type[BaseModel]) -> list[tuple[str, ...]]:
    """Names of all settings: ``('port',)``, ``('broker', 'lease_ttl_s')``, …"""
    paths: list[tuple[str, ...]] = []
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            paths += [(name, sub) for sub in inner.model_fields]
        else:
            paths.append((name,))
    return paths


def _sentence(error: ErrorDetails, origins: Mapping[tuple[str, ...], str], model: type[BaseModel]) -> str:
    loc = tuple(str(part) for part in error['loc'])
    path = loc[:2] if loc[:2] in origins else loc[:1]
    origin = origins.get(path, '')
    if error['type'] == 'extra_forbidden':
        names = [p[-1] for p in _paths(model) if p[:-1] == path[:-1]]
        tables = sorted({p[0] for p in _paths(model) if len(p) == 2}) if len(path) == 1 else []
        allowed = _nearest(path[-1], names + tables) or (
            f'; settings here are: {", ".join(names + [f"[{table}]" for table in tables])}'
        )
        return f'{origin}: "{".".join(path)}" is not a setting{allowed}.'
    what = error['msg'].removeprefix('Value error, ').replace('Input should be', 'it should be')
    if error['type'] == 'string_pattern_mismatch':  # only labels have one
        what = 'a label is one word of letters, digits and . _ = -, with 40 characters at most'
    elif deeper := '.'.join(loc[len(path) :]):
        what = f'{deeper}: {what}'
    if error['type'].startswith('int_'):
        what = 'it should be a whole number'
    elif error['type'].startswith('model_'):
        what = f'it should be a table, [{path[0]}]'
    if path == ('workers',) and isinstance(error['input'], Mapping):
        what = 'it should be a number; the table for each worker is [worker]'
    return f'{_shown(origin, path, error["input"])} is not allowed: {what}.'


def _shown(origin: str, path: tuple[str, ...], value: object) -> str:
    if origin == 'flag':
        return f'--{path[-1].replace("_", "-")} {value}'
    if origin == 'env':
        return f'CORRAL_{"__".join(path).upper()}={value}'
    if origin == 'OLLAMA_HOST':
        return f'OLLAMA_HOST ({value})'
    return f'{origin}: {".".join(path)} = {value!r}'


def _nearest(name: str, names: list[str]) -> str:
    close = difflib.get_close_matches(name, names, n=1)
    return f' (did you mean "{close[0]}"?)' if close else ''
