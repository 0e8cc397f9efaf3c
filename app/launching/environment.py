"""The environment in ``.venv`` beside ``run.py``: made on the first start, entered on every one.

Standard library only. A stamp with the hash of the lock file is written last, so whatever was interrupted is redone;
a folder that an interrupted installation left is made anew.
"""

import contextlib
import hashlib
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BASE, TESTS = 'requirements.txt', 'requirements-test.txt'
UNFINISHED = 'corral-unfinished'  # in .venv while packages are being installed
LOG = 'corral-install.log'


class SetupError(Exception):
    """The environment cannot be made. The message is one sentence for the user."""


def enter(*, with_tests: bool, root: Path = ROOT) -> None:
    """Go on inside ``.venv``, which is made or brought up to date before. Raises ``SetupError``.

    Returns when this process already runs in it; otherwise this process becomes another one.
    ``CORRAL_NO_SETUP=1`` stays with the Python that runs.
    """
    if os.environ.get('CORRAL_NO_SETUP') == '1':
        return
    venv = root / '.venv'
    locks = [root / name for name in ((BASE, TESTS) if with_tests else (BASE,))]
    inside = Path(sys.prefix).resolve() == venv.resolve()
    if inside and _up_to_date(venv, locks):
        write_command(venv, root)
        return
    if inside:
        _become(getattr(sys, '_base_executable', sys.executable))
    if not _up_to_date(venv, locks):
        try:
            _set_up(venv, locks)
        except KeyboardInterrupt:
            raise SetupError('Stopped. The next start does the set-up again.') from None
    _become(str(_python(venv)))


def write_command(venv: Path, root: Path, *, windows: bool = os.name == 'nt') -> None:
    """Put a command ``corral`` beside the Python of ``venv``, where there is none yet; it does what ``run.py`` does."""
    file = venv / ('Scripts/corral.cmd' if windows else 'bin/corral')
    if file.exists():
        return
    python, program = str(_python(venv)), str(root / 'run.py')
    if windows:
        text = f'@set _CORRAL_PROGRAM=corral\n@"{python}" "{program}" %*\n'
    else:
        import shlex

        python, program = shlex.quote(python), shlex.quote(program)
        text = f'#!/bin/sh\n_CORRAL_PROGRAM=corral exec {python} {program} "$@"\n'
    with contextlib.suppress(OSError):  # without it there is still run.py
        new = file.with_suffix('.new')
        new.write_text(text, encoding='utf-8')
        new.chmod(0o755)
        os.replace(new, file)


def is_ours(module: str | None, root: Path = ROOT) -> bool:
    """Whether a missing module is part of Corral, not one of the packages."""
    return not module or (root / module.partition('.')[0]).is_dir()


def damaged(module: str | None, root: Path = ROOT) -> str:
    """Have the environment checked on the next start, since ``module`` is missing; the sentence for the user."""
    for stamp in (root / '.venv').glob('corral-*.stamp'):
        stamp.unlink(missing_ok=True)
    return f'The package {module} is missing from {root / ".venv"}. Start again: the packages are installed anew.'


def _python(venv: Path) -> Path:
    return venv / ('Scripts/python.exe' if os.name == 'nt' else 'bin/python')


def _stamp(venv: Path, lock: Path) -> Path:
    return venv / f'corral-{lock.stem}.stamp'


def _expected(lock: Path) -> str:
    """What the stamp of an up-to-date installation says."""
    return f'{hashlib.sha256(lock.read_bytes()).hexdigest()} {sys.version_info[0]}.{sys.version_info[1]}\n'


def _up_to_date(venv: Path, locks: Sequence[Path]) -> bool:
    try:
        return _python(venv).exists() and all(_stamp(venv, lock).read_text() == _expected(lock) for lock in locks)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise SetupError(f'{error.filename} cannot be read: {(error.strerror or str(error)).lower()}.') from None


def _become(python: str) -> None:
    """Run ``run.py`` again with that Python, in place of this process."""
    arguments = [python, *sys.argv]
    if os.name == 'posix':
        os.execv(python, arguments)
    import subprocess

    with subprocess.Popen(arguments) as process:
        while True:
            with contextlib.suppress(KeyboardInterrupt):  # the other one gets it too, and stops in order
                sys.exit(process.wait())


def _set_up(venv: Path, locks: Sequence[Path]) -> None:
    from app.launching import installing

    if (venv / UNFINISHED).exists() or (venv.exists() and not installing.works(_python(venv))):
        try:
            shutil.rmtree(venv)
        except OSError as error:
            raise SetupError(f'{venv} is broken and cannot be removed ({error}). Remove it and start again.') from None
    if not venv.exists():
        _say('Setting up Corral in .venv; this happens once.')
        try:
            installing.make(venv)
        except BaseException:
            shutil.rmtree(venv, ignore_errors=True)  # half-made
            raise
    try:
        (venv / UNFINISHED).touch()
        for lock in locks:
            if not _up_to_date(venv, [lock]):
                installing.install(_python(venv), lock, venv / LOG)
                _stamp(venv, lock).write_text(_expected(lock))
        (venv / UNFINISHED).unlink()
    except OSError as error:
        raise SetupError(f'{venv} cannot be written to: {(error.strerror or str(error)).lower()}.') from None


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
