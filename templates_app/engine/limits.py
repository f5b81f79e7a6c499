"""Bounds of one template, so that no author can exhaust a worker by mistake or on purpose.

python-liquid limits loops and output but not filters: a chain of `replace` makes a gigabyte within
its limits. Hence a bound on every value that a filter takes or gives.
"""

from __future__ import annotations

from typing import Final

MAX_SOURCE_CHARS: Final = 1_000_000
MAX_OUTPUT_CHARS: Final = 5_000_000
#: Blocks inside blocks, and loops or partial scopes inside one another.
MAX_NESTING: Final = 30
#: Rounds of all loops of one rendering together.
MAX_ITERATIONS: Final = 100_000
MAX_RANGE: Final = 10_000
#: Characters a filter may take or give; also what all `assign` and `capture` hold together.
MAX_TEXT_CHARS: Final = 1_000_000
#: Items of a list a filter may take or give, nested ones counted.
MAX_ITEMS: Final = 10_000
#: `uniq` compares all pairs.
MAX_UNIQUE_ITEMS: Final = 1_000
MAX_NUMBER: Final = 10**18
#: `date` takes no longer value or format.
MAX_DATE_CHARS: Final = 64
#: Wall time of one rendering, looked at in every round of a loop and before every filter.
MAX_SECONDS: Final = 2.0
