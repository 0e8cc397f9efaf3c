"""What a job's state is called is the same on every page."""

import re
from pathlib import Path

from app.components import queue_words

APP = Path(__file__).resolve().parents[2] / 'app'
SAID = re.compile(
    r'\b(?:state_|ended_)?(blocked|waiting|delayed|running|cancelling|completed|cancelled|dead)'
    r"'?[=:] ?\(?(?:N_\()?'([A-Z][^']*)'"
    r"|State\.([A-Z]+): \(N_\('([^']+)'\)"
)
OTHERS = {  # what is said about something else: an answer in a conversation is stopped, a chart has an average
    *(('inspector.py', 'cancelled'), ('transcript.py', 'cancelling'), ('waiting.py', 'waiting')),
}


def test_no_page_has_words_of_its_own_for_a_state():
    found = []
    for path in sorted(APP.rglob('*.py')):
        for match in SAID.finditer(path.read_text()):
            name, said = (match[1], match[2]) if match[1] else (match[3].lower(), match[4])
            sentence = len(said.split()) > 2
            if not (said.startswith(queue_words.STATES[name]) or sentence or (path.name, name) in OTHERS):
                found.append((path.name, name, said))
    assert not found
    assert len(set(queue_words.STATES.values())) == len(queue_words.STATES)
