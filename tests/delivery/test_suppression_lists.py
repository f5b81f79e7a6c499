"""Lists of suppressions keep to their indexes, whatever they are filtered by and however rarely."""

from __future__ import annotations

import pytest
from django.db import connection

from delivery.models import Suppression

pytestmark = pytest.mark.django_db

# As after an import of old bounces: what is rare, or none at all, lies behind everything else.
_FILL = """
INSERT INTO delivery_suppression (id, address, reason, email_type, list_key, note)
SELECT (lpad(to_hex(i), 12, '0') || '70008000000000000000')::uuid, i || '@example.net',
       CASE WHEN i <= 10 THEN 'complaint' WHEN i <= 3000 THEN 'hard_bounce' ELSE 'unsubscribe' END,
       CASE WHEN i BETWEEN 3001 AND 3010 THEN 'rare' WHEN i > 3010 AND i % 2 = 0 THEN 'news'
            ELSE '' END,
       CASE WHEN i > 3010 AND i % 2 = 1 THEN 'list-' || i % 101 ELSE '' END, ''
  FROM generate_series(1, 6000) i
"""


@pytest.fixture
def _filled() -> None:
    with connection.cursor() as cursor:
        cursor.execute(_FILL)
        cursor.execute("ANALYZE delivery_suppression")


@pytest.mark.usefixtures("_filled")
@pytest.mark.parametrize(
    ("filters", "index", "count"),
    [
        ({"reason": "complaint"}, "delivery_supp_reason", 10),
        ({"email_type": "rare"}, "delivery_supp_type", 10),
        ({"email_type": "nobody"}, "delivery_supp_type", 0),
        ({"list_key": "list-7"}, "delivery_supp_list", 15),
        ({"list_key": "nobody"}, "delivery_supp_list", 0),
        ({"reason": "complaint", "email_type": "news"}, "delivery_supp_type_reason", 0),
        ({"reason": "complaint", "list_key": "list-7"}, "delivery_supp_list_reason", 0),
    ],
)
def test_a_page_reads_little_more_than_it_shows(
    filters: dict[str, str], index: str, count: int
) -> None:
    rows = Suppression.objects.filter(**filters).order_by("-pk")[:51]
    plan = rows.explain(analyze=True, timing=False, costs=False)
    assert len(rows) == count
    assert "Seq Scan" not in plan
    assert "Rows Removed by Filter" not in plan
    assert index in plan
