"""The one Redis or Valkey connection pool of a process."""

from __future__ import annotations

from functools import lru_cache

import redis
from django.conf import settings

#: Whatever the server or the way to it may do to a command.
BrokerError = redis.RedisError


@lru_cache(maxsize=1)
def redis_client() -> redis.Redis:
    """Return the client; made at first use, so after a fork, and safe to share between threads."""
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_connect_timeout=1, socket_timeout=1, health_check_interval=30
    )
