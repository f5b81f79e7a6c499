"""The statements of `providers.quotas`: each guarded, over the account's single usage row.

Parameters: `hour`, `day`, `month` are the starts of the worker's own windows in the time zone
`zone`, `now` is its time and `latest` how far another's may be ahead of it.
"""

from providers.figures import ADD


def _is_running(window: str, row: str = "") -> str:
    """Return the SQL condition that the row's window is the one to count in.

    It is the worker's own. Or it begins after the worker's now: while that one waited for the row,
    another has opened the next window, which is not to be turned back. Or it is of another time
    zone: that was changed, and the worker does not know yet.
    """
    start = f"{row}{window}_start"
    return (
        f"({start} = %({window})s OR {start} BETWEEN %(now)s AND %(latest)s"
        f" OR {row}time_zone <> %(zone)s)"
    )


def _count(window: str, row: str = "") -> str:
    return f"CASE WHEN {_is_running(window, row)} THEN {row}{window}_count ELSE 0 END"


def _start(window: str, row: str = "") -> str:
    return f"CASE WHEN {_is_running(window, row)} THEN {row}{window}_start ELSE %({window})s END"


# The limits are read from the provider row in the same statement, so a change counts at once.
# Waiting for the usage row (FOR UPDATE) re-reads it after the other worker's commit.
# The urgent mails among the wanted ones come first, so one number tells who got something.
RESERVE = f"""
WITH current AS (
    SELECT p.priority_reserve, u.reserved,
           p.hourly_limit AS hour_limit, p.monthly_limit AS month_limit,
           LEAST(p.daily_limit, CASE WHEN %(today)s >= (p.warm_up ->> 'starts_on')::date
               THEN (p.warm_up -> 'daily' ->> (%(today)s - (p.warm_up ->> 'starts_on')::date))::int
               END) AS day_limit,
           {_count("hour", "u.")} AS hour_count,
           {_count("day", "u.")} AS day_count,
           {_count("month", "u.")} AS month_count
      FROM providers_providerusage u JOIN providers_provider p ON p.id = u.provider_id
     WHERE u.provider_id = %(provider)s FOR UPDATE OF u
), free AS (
    SELECT *,
           GREATEST(0, LEAST(%(wanted)s, hour_limit - hour_count - reserved,
               day_limit - day_count - reserved, month_limit - month_count - reserved)) AS for_all,
           GREATEST(0, LEAST(%(wanted)s,
               hour_limit - hour_limit::bigint * priority_reserve / 100 - hour_count - reserved,
               day_limit - day_limit::bigint * priority_reserve / 100 - day_count - reserved,
               month_limit - month_limit::bigint * priority_reserve / 100
                   - month_count - reserved)) AS for_others
      FROM current
), granted AS (
    SELECT (LEAST(%(urgent)s, for_all)
            + LEAST(%(wanted)s - %(urgent)s,
                    GREATEST(0, for_others - LEAST(%(urgent)s, for_all))))::int AS n,
           hour_count, day_count, month_count
      FROM free
), usage AS (
    UPDATE providers_providerusage u
       SET reserved = u.reserved + g.n,
           hour_start = {_start("hour", "u.")}, hour_count = g.hour_count,
           day_start = {_start("day", "u.")}, day_count = g.day_count,
           month_start = {_start("month", "u.")}, month_count = g.month_count
      FROM granted g WHERE u.provider_id = %(provider)s AND g.n > 0
), held AS (
    INSERT INTO providers_reservation (provider_id, lease_id, count)
    SELECT %(provider)s, %(lease)s, n FROM granted WHERE n > 0
    ON CONFLICT (provider_id, lease_id)
    DO UPDATE SET count = providers_reservation.count + EXCLUDED.count
)
SELECT n FROM granted
"""  # noqa: S608 - names from this module only, values are parameters

# Not while the account's time zone is being changed, and not with windows of the one before.
ENSURE = """
INSERT INTO providers_providerusage
    (provider_id, time_zone, hour_start, hour_count, day_start, day_count, month_start, month_count,
     total_count, reserved)
SELECT id, time_zone, %(hour)s, 0, %(day)s, 0, %(month)s, 0, 0, 0
  FROM (SELECT id, time_zone FROM providers_provider WHERE id = %(provider)s FOR SHARE) p
 WHERE time_zone = %(zone)s
ON CONFLICT DO NOTHING
"""

_HELD = """
WITH held AS (
    UPDATE providers_reservation SET count = count - %(settled)s
     WHERE provider_id = %(provider)s AND lease_id = %(lease)s AND count >= %(settled)s
    RETURNING 1
)"""
_USE = f"""
UPDATE providers_providerusage
   SET reserved = reserved - CASE WHEN EXISTS (SELECT 1 FROM held) THEN %(settled)s ELSE 0 END,
       hour_count = %(sent)s + {_count("hour")}, hour_start = {_start("hour")},
       day_count = %(sent)s + {_count("day")}, day_start = {_start("day")},
       month_count = %(sent)s + {_count("month")}, month_start = {_start("month")},
       total_count = total_count + %(sent)s,
       last_sent_at = CASE WHEN %(sent)s > 0 THEN %(now)s ELSE last_sent_at END
 WHERE provider_id = %(provider)s RETURNING provider_id AS id, month_count, month_start
"""  # noqa: S608 - as above
# With the price list as it is now.
_PLACE = """
SELECT a.month_count, a.month_start, p.price_per_thousand, p.free_per_month, p.price_tiers
  FROM account a JOIN providers_provider p ON p.id = a.id
"""
SETTLE = f"{_HELD}, account AS ({_USE}) {_PLACE}"
# The figures' row comes after the usage row, everywhere: two recorders cannot deadlock.
SETTLE_AND_ADD = f"{_HELD}, account AS ({_USE}), figures AS ({ADD}) {_PLACE}"

ABANDON = """
WITH gone AS (
    DELETE FROM providers_reservation WHERE lease_id = ANY(%(leases)s) RETURNING provider_id, count
), lost AS (
    SELECT provider_id, sum(count)::int AS n FROM gone GROUP BY provider_id
)
UPDATE providers_providerusage u
   SET reserved = u.reserved - lost.n, hour_count = u.hour_count + lost.n,
       day_count = u.day_count + lost.n, month_count = u.month_count + lost.n,
       total_count = u.total_count + lost.n
  FROM lost WHERE u.provider_id = lost.provider_id
"""

RELEASE = """
WITH gone AS (
    DELETE FROM providers_reservation WHERE lease_id = %(lease)s RETURNING provider_id, count
)
UPDATE providers_providerusage u SET reserved = u.reserved - gone.count
  FROM gone WHERE u.provider_id = gone.provider_id
"""
