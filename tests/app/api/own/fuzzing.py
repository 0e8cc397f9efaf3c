"""Requests made from the description of the APIs, against a running desk. More of them: ``tests.bench.fuzz_api``."""

import re

import hypothesis
import schemathesis
from hypothesis import HealthCheck, Phase
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from app.api.own.refusal import ROOMS

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
ENDLESS = re.compile(r'/(events|stream|results|retire)(/|$)')  # these wait, or end the only worker


def is_ours(name: str) -> bool:
    """Whether an operation is one of our own API; ``/api/stats`` itself is another contract's."""
    parts = name.split('/')
    return parts[1:2] == ['api'] and parts[2] in ROOMS and parts[2:] != ['stats']


def fuzz(url: str, examples: int, seed: int | None = None) -> int:
    """Send so many requests to each operation of ours; how many in all. Fails with the first that shows a fault."""
    schema = schemathesis.openapi.from_url(f'{url}/openapi.json')
    count = 0

    def send(case: schemathesis.Case) -> None:
        nonlocal count
        count += 1
        if isinstance(case.query, dict):
            case.query.pop('wait', None)
        case.call_and_validate(checks=CHECKS, timeout=60)

    how = hypothesis.settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=seed is None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    for result in schema.get_all_operations():
        operation = result.ok()
        if is_ours(operation.label) and not ENDLESS.search(operation.path):

            def each(case: schemathesis.Case) -> None:
                send(case)

            run = how(hypothesis.given(case=operation.as_strategy())(each))
            (run if seed is None else hypothesis.seed(seed)(run))()
    return count
