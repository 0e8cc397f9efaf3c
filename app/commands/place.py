"""Which data directory is meant, and the Corral that runs on it.

It reads the same places as ``app.settings`` does, but only for this one value: a command must start quickly.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from app.launching import data_dir as directories
from app.options import ROOT

if TYPE_CHECKING:
    from broker.endpoints import Endpoints

NotReadable = directories.DataDirError


class Running(NamedTuple):
    """A Corral that runs."""

    pid: int
    url: str
    endpoints: 'Endpoints'


def data_dir(flag: Path | None, config: Path | None, environ: Mapping[str, str], cwd: Path, root: Path = ROOT) -> Path:
    """The data directory by option, environment, file or default, in this order. Raises ``ValueError``."""
    named: object = flag or environ.get('CORRAL_DATA_DIR')
    base = cwd
    if not named:
        file = _config_file(config or environ.get('CORRAL_CONFIG'), cwd, root)
        named = _read(file).get('data_dir') if file else None
        base = file.parent if file else cwd
    return (base / Path(str(named)).expanduser()).resolve() if named else root / 'data'


def running(path: Path) -> Running | None:
    """The Corral on this data directory, None when there is none. Raises ``NotReadable``."""
    holder = directories.holder(path)
    if holder is None:
        return None
    from broker.endpoints import Endpoints

    try:
        return Running(holder.pid, holder.url, Endpoints.model_validate_json(holder.endpoints_json))
    except ValueError:
        return None  # of another version, or half a start


def _config_file(named: str | os.PathLike[str] | None, cwd: Path, root: Path) -> Path | None:
    if named:
        return cwd / Path(named).expanduser()
    return next((file for file in (cwd / 'corral.toml', root / 'corral.toml') if file.is_file()), None)


def _read(file: Path) -> dict[str, object]:
    try:
        return tomllib.loads(file.read_text(encoding='utf-8'))
    except OSError as error:
        raise ValueError(f'{file} cannot be read: {(error.strerror or str(error)).lower()}.') from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f'{file} is not valid TOML: {error}.') from None
