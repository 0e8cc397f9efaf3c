"""The words for what can be set when Corral starts: one sentence each, for ``--help`` and for the settings model.

Standard library only, so that the help is quick.
"""

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent  # the folder of run.py

HELP = {
    'host': 'Address to listen on, 127.0.0.1 by default; only loopback ones for now, since there is no login yet.',
    'port': 'Port to listen on, 8080 by default; 0 takes any free one.',
    'data_dir': 'Folder for the queue, the conversations, the statistics and the logs. Default: data beside run.py.',
    'config': 'A TOML file with settings. Default: corral.toml in the current folder or beside run.py, if any.',
    'engine': 'Who answers: ollama, demo (built in, canned), or auto: Ollama whenever it answers, else the demo.',
    'ollama_url': 'Where Ollama is. Default: OLLAMA_HOST where it is set, else http://127.0.0.1:11434.',
    'workers': 'Worker processes: a number, or a range like 1..4 to follow the load. Default: 1.',
    'slots': 'Jobs that each worker runs at once; auto measures it. Default: auto, or 1 where the workers are a range.',
    'log_level': 'How much to log: debug, info, warning or error.',
    'no_browser': 'Do not open the browser.',
    'listen': 'Address and port where workers of other machines may join, like 0.0.0.0:8090. Default: none.',
    'join': 'Join the desk of another machine, at tcp://HOST:PORT; its page Workers shows the whole command.',
    'join_key': 'The key for --join; CORRAL_JOIN_KEY does as well, and stays out of the history of the shell.',
    'lone_slots': 'Jobs that it runs at once; auto measures it. Default: 1.',
    'labels': 'Short words by which groups of workers are told apart, like gpu,big.',
    'worker_name': 'Its name. Default: the name of this machine and a number.',
    'output': 'What to print: table for people, json for programs.',
    'transport': 'How the processes talk: auto (files in a private folder where the platform has them) or tcp.',
}


def version() -> str:
    """Corral's version, from ``pyproject.toml``."""
    return str(tomllib.loads((ROOT / 'pyproject.toml').read_text(encoding='utf-8'))['project']['version'])
