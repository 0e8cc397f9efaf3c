"""Many generated requests to our own API: ``python -m tests.bench.fuzz_api 50 7`` sends 50 to each operation, seed 7.

It ends with the first request that gives a status of 500 or more, or a status or a shape that /openapi.json does not
tell.
"""

import sys
import time

from tests.app.api.own.fuzzing import fuzz
from tests.bench.bench_gateway import both


def main(arguments: list[str]) -> int:
    """Start a desk in front of the stand-in and send it the requests."""
    examples, seed = map(int, [*arguments, *('50', '1')[len(arguments) :]])
    with both(4) as (_, url):
        began = time.perf_counter()
        count = fuzz(url, examples, seed)
        print(f'{count} requests in {time.perf_counter() - began:.0f} s, seed {seed}: all answered as described')
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
