"""Bounds of one template, so that no author can exhaust a worker by mistake or on purpose.

python-liquid limits loops and output but not filters: a chain of `replace` makes a gigabyte within
its limits. Hence a bound on every value that a filter takes or gives.
"""

from __future__ import annotations

from typing import Final

#: Gmail shows 102 KB of a mail.
MAX_SOURCE_CHARS: Final = 512 * 1024
#: Outputs and tags of one source, and what they are made of: compiling takes some 20 µs for each.
MAX_CONSTRUCTS: Final = 5_000
MAX_LIQUID_CHARS: Final = 100_000
#: Start tags of one HTML or MJML source.
MAX_ELEMENTS: Final = 10_000
#: One `{{ … }}` or `{% … %}`, and white space in a row inside it.
MAX_CONSTRUCT_CHARS: Final = 5_000
MAX_SPACES: Final = 200
#: Elements inside one another: css-inline and mrml crash the process at some ten thousand.
MAX_MARKUP_DEPTH: Final = 250
#: Of CSS, with the products that css-inline's time grows with: it looks for each selector in all
#: elements, compares each declaration with all an element has, and copies text into each element.
MAX_CSS_RULES: Final = 2_000
MAX_CSS_MATCHES: Final = 10_000_000
MAX_CSS_MERGES: Final = 200_000_000
MAX_CSS_COPIED_CHARS: Final = 100_000_000
#: MJML writes a rule for every two images of a carousel, and shared attributes into each element.
MAX_CAROUSEL_IMAGES: Final = 100
MAX_MJML_COPIED_CHARS: Final = 32_000_000
#: Layouts and partials inside one another, and how many are worked in altogether.
MAX_PARTIAL_DEPTH: Final = 8
MAX_PARTIALS: Final = 500
MAX_OUTPUT_CHARS: Final = 5_000_000
#: Blocks inside blocks, and loops or partial scopes inside one another.
MAX_NESTING: Final = 30
#: What one rendering may do altogether: a filter costs 1, and 1 more for every 64 characters or 8
#: items that it takes or gives; a round of a loop costs 1. Counted, not timed: an attack is stopped
#: at the same place on a fast and on a slow machine.
MAX_WORK: Final = 200_000
CHARS_PER_WORK: Final = 64
ITEMS_PER_WORK: Final = 8
LOCALIZED_WORK: Final = 10
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
#: Nor any filter of dates, numbers and plurals a longer text.
MAX_LOCALIZED_CHARS: Final = 500
#: Wall time of one rendering, looked at in every round of a loop, before every filter and tag.
MAX_SECONDS: Final = 2.0
#: The same for a rendering that only looks for the place where another one went wrong.
MAX_SEARCH_SECONDS: Final = 0.25
