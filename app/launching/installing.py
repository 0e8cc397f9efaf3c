"""Making ``.venv`` and installing locked packages into it, with uv where it is there, else with venv and pip.

Standard library only.
"""

import os
import re
import shutil
import subprocess
import sys
from collections import deque
from pathlib import Path

from app.launching.environment import SetupError

NO_NETWORK = re.compile(
    'connection|network|resolve|dns|timed out|unreachable|proxy|could not fetch|error sending request|retries', re.I
)


def works(python: Path) -> bool:
    """Whether this environment's Python starts, is of our version, and can install."""
    code = 'import sys; print(*sys.version_info[:2])' + ('' if _uv() else '; import pip')
    try:
        done = subprocess.run([python, '-c', code], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and done.stdout.split() == [str(part) for part in sys.version_info[:2]]


def make(venv: Path) -> None:
    """Make an empty environment. Raises ``SetupError``."""
    uv = _uv()
    command = [uv, 'venv', '--quiet', '--python', sys.executable, venv] if uv else [sys.executable, '-m', 'venv', venv]
    try:
        venv.mkdir()
        venv.rmdir()
        done = subprocess.run(command, capture_output=True, text=True, errors='replace', check=False)
    except OSError as error:
        raise SetupError(f'{venv} cannot be made: {(error.strerror or str(error)).lower()}.') from None
    if done.returncode == 0:
        return
    output = done.stdout + done.stderr
    if 'ensurepip' in output or 'No module named venv' in output:
        raise SetupError(
            'This Python cannot make environments: its venv or ensurepip module is missing. '
            'On Debian or Ubuntu "sudo apt install python3-venv" brings it; then start again.'
        )
    raise SetupError(f'{venv} cannot be made: {_last_line(output)}')


def install(python: Path, lock: Path, log: Path) -> None:
    """Install what ``lock`` names, showing progress. Raises ``SetupError``."""
    uv = _uv()
    if uv:
        command = [uv, 'pip', 'install', '--python', python, '--require-hashes', '-r', lock]
    else:
        command = [python, '-m', 'pip', 'install', '--require-hashes', '-r', lock]
        command += ['--disable-pip-version-check', '--no-input', '--retries', '2', '--timeout', '15']
    if log.exists() and log.stat().st_size > 1_000_000:
        log.unlink()
    progress = _Progress(lock)
    tail: deque[str] = deque(maxlen=40)
    with (
        log.open('a', encoding='utf-8') as copy,
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=_environment()
        ) as process,
    ):
        assert process.stdout
        for raw in process.stdout:
            line = raw.decode(errors='replace')
            copy.write(line)
            tail.append(line)
            progress.saw(line)
    progress.end()
    if process.returncode != 0:
        raise SetupError(_why(list(tail), log))


class _Progress:
    """One line that grows on a terminal; elsewhere a line at the start and one at the end."""

    def __init__(self, lock: Path) -> None:
        self._total = sum('==' in line and not line[:1].isspace() for line in lock.read_text().splitlines())
        self._seen = 0
        self._terminal = sys.stderr.isatty()
        self._name = lock.name
        if not self._terminal:
            self._show(f'Installing {self._total} packages from {lock.name} …\n')

    def saw(self, line: str) -> None:
        """Take a line of what pip or uv prints."""
        words = line.split()
        if not self._terminal or not words:
            return
        if words[0] == 'Collecting' and len(words) > 1:
            self._seen += 1
            self._show(f'\r\033[KCollecting packages: {self._seen} of {self._total} ({words[1].partition("==")[0]})')
        elif words[0] == 'Installing':
            self._show(f'\r\033[KInstalling {self._total} packages …')
        elif words[0] in {'Resolved', 'Prepared', 'Downloading', 'Downloaded', 'Building'}:
            self._show(f'\r\033[K{line.strip()[:100]}')

    def end(self) -> None:
        self._show(f'\r\033[KThe packages of {self._name} are there.\n' if self._terminal else '')

    def _show(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()


def _why(tail: list[str], log: Path) -> str:
    text = ''.join(tail)
    if 'DO NOT MATCH THE HASHES' in text or 'Hash mismatch' in text:
        return f'A downloaded package is not the one that was locked; nothing of it was used. Details: {log}'
    if 'No space left' in text:
        return f'The disk is full, so the packages cannot be installed. Make room and start again. Details: {log}'
    if NO_NETWORK.search(text):
        return (
            'The package index cannot be reached, and the first start needs it to download the packages. '
            f'Check the network and start again. Details: {log}'
        )
    return f'The packages cannot be installed: {_last_line(text)} Details: {log}'


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    last = next(
        (line for line in reversed(lines) if 'error' in line.lower()), lines[-1] if lines else 'no reason given'
    )
    return last.removeprefix('ERROR: ').rstrip('.') + '.'


def _uv() -> str | None:
    return shutil.which('uv')


def _environment() -> dict[str, str]:
    """Ours, without what would make pip or uv install somewhere else."""
    bad = {'PIP_TARGET', 'PIP_PREFIX', 'PIP_USER', 'PIP_REQUIRE_VIRTUALENV', 'PYTHONHOME', 'PYTHONPATH', 'VIRTUAL_ENV'}
    return {name: value for name, value in os.environ.items() if name not in bad}
