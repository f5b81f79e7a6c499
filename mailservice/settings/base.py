"""Settings of every process, read from the environment and `.env`.

A wrong value stops the process at start with the variable's name. The full list with defaults is in
docs/configuration.md.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from tempfile import gettempdir
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import available_timezones

import django_stubs_ext
import environ
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured

from mailservice.settings import admin as console

django_stubs_ext.monkeypatch()

BASE_DIR = Path(__file__).resolve().parent.parent.parent

environ.Env.read_env(os.environ.get("ENV_FILE", BASE_DIR / ".env"))


_YES, _NO = frozenset({"1", "true", "yes", "on"}), frozenset({"", "0", "false", "no", "off"})


class _LoudEnv(environ.Env):  # type: ignore[misc]  # ships no types
    """django-environ whose parse errors name the variable."""

    def get_value(self, var: str, *args: Any, **kwargs: Any) -> Any:
        """Return the variable's value. Raises `ImproperlyConfigured` with its name."""
        try:
            return super().get_value(var, *args, **kwargs)
        except (ValueError, TypeError) as error:
            raise ImproperlyConfigured(f"{var}: {error}") from error

    def flag(self, var: str, *, default: bool) -> bool:
        """Return a switch; unlike `bool`, a word that is neither yes nor no is refused."""
        word = str(self.get_value(var, default="yes" if default else "no")).strip().lower()
        if word not in _YES | _NO:
            raise ImproperlyConfigured(f"{var}: {word!r} is neither yes nor no.")
        return word in _YES


env = _LoudEnv()


def _at_least(name: str, default: int, minimum: int) -> int:
    value = env.int(name, default=default)
    if value < minimum:
        raise ImproperlyConfigured(f"{name}: {value} is below the minimum of {minimum}.")
    return int(value)


def _percents(name: str, default: str) -> tuple[float, float]:
    """Return a lower and a higher percentage, such as "5,10"."""
    text = env.str(name, default=default)
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        low = high = 0
    if not 0 < low <= high <= 100:  # noqa: PLR2004 - percent
        raise ImproperlyConfigured(f"{name}: use two percentages, the lower first, such as 5,10.")
    return low, high


# --- who we are -----------------------------------------------------------------------------------

DEBUG = env.flag("DEBUG", default=False)
#: Characters; shorter ones can be guessed.
MIN_SECRET_KEY_LENGTH = 32
SECRET_KEY = env.str("SECRET_KEY")
if len(SECRET_KEY) < MIN_SECRET_KEY_LENGTH:
    raise ImproperlyConfigured(f"SECRET_KEY: use at least {MIN_SECRET_KEY_LENGTH} characters.")
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])
#: Fernet keys, newest first: the first encrypts credentials, all decrypt.
ENCRYPTION_KEYS: list[str] = env.list("ENCRYPTION_KEYS")
try:
    _rings = [Fernet(key) for key in ENCRYPTION_KEYS]
except ValueError as error:
    raise ImproperlyConfigured(f"ENCRYPTION_KEYS: {error}") from error
if not _rings:
    raise ImproperlyConfigured("ENCRYPTION_KEYS: name at least one Fernet key.")
ALLOWED_HOSTS: list[str] = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS: list[str] = env.list("CSRF_TRUSTED_ORIGINS", default=[])
#: Where people and machines reach this service, without a final slash; used in links.
PUBLIC_URL = env.str("PUBLIC_URL", default="http://localhost:8000").rstrip("/")
if not PUBLIC_URL.startswith(("http://", "https://")):
    raise ImproperlyConfigured("PUBLIC_URL: begin with http:// or https://.")
TIME_ZONE = env.str("TIME_ZONE", default="UTC")
if TIME_ZONE not in available_timezones():
    raise ImproperlyConfigured(f"TIME_ZONE: there is no time zone {TIME_ZONE!r}.")

#: What all prices and budgets are in (ISO 4217).
CURRENCY = env.str("CURRENCY", default="USD")
if not re.fullmatch(r"[A-Z]{3}", CURRENCY):
    raise ImproperlyConfigured("CURRENCY: use three capital letters, such as EUR.")
USE_TZ = True
LANGUAGE_CODE = "en"
USE_I18N = True

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_celery_beat",
    "mailservice",
    "accounts",
    "alerts",
    "providers",
    "templates_app",
    "verification",
    "delivery",
    "campaigns",
    "inbound",
    "webhooks",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "mailservice.core.bodies.ChunkedBodies",
    "mailservice.core.pages.StaticFiles",
    "mailservice.core.pages.ContentPolicy",
    "mailservice.core.pages.NulRefusal",
    "mailservice.core.pages.Sessions",
    "django.middleware.common.CommonMiddleware",
    "mailservice.core.pages.Csrf",
    "mailservice.core.pages.Authentication",
    "mailservice.core.pages.Messages",
    "mailservice.core.pages.FrameOptions",
]

#: The checks look for Django's names; `Csrf` and `FrameOptions` above are these middlewares.
SILENCED_SYSTEM_CHECKS = ["security.W002", "security.W003"]

ROOT_URLCONF = "mailservice.urls"
WSGI_APPLICATION = "mailservice.wsgi.application"
APPEND_SLASH = False
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "accounts.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "mailservice" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    }
]

# --- database -------------------------------------------------------------------------------------

#: `web` keeps a connection pool; every other process keeps one connection per thread.
PROCESS_ROLE = env.str("PROCESS_ROLE", default="command")

DATABASES = {"default": env.db("DATABASE_URL")}
if DATABASES["default"]["ENGINE"] != "django.db.backends.postgresql":
    raise ImproperlyConfigured("DATABASE_URL: only postgresql:// (or postgres://) is supported.")
# A pool needs CONN_MAX_AGE 0. Celery closes a pool around every task, so workers have none.
_HAS_POOL = PROCESS_ROLE == "web"
DATABASES["default"] |= {
    "ENGINE": "mailservice.core.pooled" if _HAS_POOL else "django.db.backends.postgresql",
    "CONN_MAX_AGE": 0 if _HAS_POOL else _at_least("CONN_MAX_AGE", 600, 0),
    # The pool looks itself, without a round trip.
    "CONN_HEALTH_CHECKS": not _HAS_POOL,
}
_db_options = DATABASES["default"].setdefault("OPTIONS", {})
_db_options.setdefault("connect_timeout", 5)
# A dead network shows within a minute, and no firewall forgets an idle connection.
_db_options.setdefault("keepalives_idle", 30)
_db_options.setdefault("keepalives_interval", 10)
_db_options.setdefault("keepalives_count", 3)
_db_options.setdefault("application_name", f"mailservice-{PROCESS_ROLE}")
# A process that was stopped inside a transaction must not hold up the others' for longer.
_db_options.setdefault("options", "-c idle_in_transaction_session_timeout=20s")
if _HAS_POOL:
    _db_options["pool"] = {
        "min_size": 1,
        "max_size": _at_least("DB_POOL_SIZE", 10, 1),
        "timeout": 5,
    }
# A server-prepared statement pays off from its third run; poolers in transaction mode need 0.
_db_options["server_side_binding"] = True
_db_options["prepare_threshold"] = env.int("DB_PREPARE_THRESHOLD", default=2) or None

# --- broker, cache, Celery ------------------------------------------------------------------------

#: Wake-ups, rate buckets and the cache. Losing its data costs delay, never mail.
REDIS_URL = env.str("REDIS_URL")
if not REDIS_URL.startswith(("redis://", "rediss://", "unix://")):
    raise ImproperlyConfigured("REDIS_URL: begin with redis://, rediss:// or unix://.")
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "cache",
    }
}
CELERY_BROKER_URL = env.str("BROKER_URL", default=REDIS_URL)
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "maintenance"
CELERY_TASK_ACKS_LATE = False
CELERY_TASK_PUBLISH_RETRY = False
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_DISABLE_PREFETCH = CELERY_BROKER_URL.startswith(("redis", "valkey"))
CELERY_WORKER_CONCURRENCY = _at_least("WORKER_CONCURRENCY", 4, 1)
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {
    # Tasks are wake-ups of seconds; what a killed worker held is offered again after two minutes.
    "visibility_timeout": 120,
    "unacked_restore_throttle": 1,
    "socket_connect_timeout": 2,
    "socket_timeout": 10,
    "socket_keepalive": True,
}
if not CELERY_BROKER_URL.startswith(("redis", "valkey")):
    CELERY_BROKER_TRANSPORT_OPTIONS = {}
CELERY_BEAT_SCHEDULER = "mailservice.schedule:CodeFirstScheduler"
CELERY_TIMEZONE = TIME_ZONE
# Tasks are bounded; keep each child's database connection over many of them (a new one costs 9 ms).
CELERY_DB_REUSE_MAX = 1000

# --- delivery -------------------------------------------------------------------------------------

#: From when neither the request nor the provider names one; empty means `from` is then required.
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="mailservice@localhost")
EMAIL_BACKEND = env.str("EMAIL_BACKEND", default="delivery.backend.QueueBackend")
#: A drain task gives its worker slot back after so many seconds, even with mail left.
DRAIN_SECONDS = _at_least("DRAIN_SECONDS", 5, 1)
#: Messages claimed at once. Half of it should keep all sender threads busy.
DRAIN_CHUNK = _at_least("DRAIN_CHUNK", 200, 1)
#: Sender threads of one draining process.
DRAIN_THREADS = _at_least("DRAIN_THREADS", 16, 1)
#: A claim not renewed for so long is given to another worker.
LEASE_SECONDS = _at_least("LEASE_SECONDS", 30, 5)
#: Where draining processes keep what a kill must not take; memory of this host does. It outlives a
#: container's restart only on a volume.
_memory = Path("/dev/shm")  # noqa: S108 - we make a private folder there
WIRE_JOURNAL_DIR = env.str("WIRE_JOURNAL_DIR", default="") or str(
    (_memory if _memory.is_dir() else Path(gettempdir())) / f"mailservice-{os.geteuid()}"
)
#: After so long in the queue a lower priority gets its share of every claim.
AGEING_SECONDS = _at_least("AGEING_SECONDS", 30, 1)
#: Alerts and webhooks may go to addresses of private networks: for stand-ins and closed networks.
OUTGOING_HTTP_ALLOW_PRIVATE = env.flag("OUTGOING_HTTP_ALLOW_PRIVATE", default=False)
#: How many days idempotency keys are remembered.
IDEMPOTENCY_DAYS = _at_least("IDEMPOTENCY_DAYS", 2, 1)

# --- what comes back ------------------------------------------------------------------------------

#: After so many days what providers posted is forgotten; its events stay with the messages.
RAW_EVENT_DAYS = _at_least("RAW_EVENT_DAYS", 30, 1)
#: After so many days hits of pixels and links are forgotten; events stay with the messages.
TRACKING_HIT_DAYS = _at_least("TRACKING_HIT_DAYS", 90, 1)
#: A stand-in for Amazon SNS, such as http://127.0.0.1:4566: its certificates are believed too.
SNS_STAND_IN_URL = env.str("SNS_STAND_IN_URL", default="").rstrip("/")

#: Percent of the mails that an account accepted in 24 hours: (warning, critical) of alerts.
BOUNCE_RATE_ALERT = _percents("BOUNCE_RATE_ALERT", "5,10")
COMPLAINT_RATE_ALERT = _percents("COMPLAINT_RATE_ALERT", "0.1,0.3")
#: Of fewer mails neither is told.
RATE_ALERT_MIN_MAILS = _at_least("RATE_ALERT_MIN_MAILS", 500, 1)

# --- verification ---------------------------------------------------------------------------------

#: Name servers such as 192.0.2.1 or 192.0.2.1:5353; none: those of the system.
DNS_RESOLVERS: list[str] = env.list("DNS_RESOLVERS", default=[])
for _server in DNS_RESOLVERS:
    if not re.fullmatch(r"[0-9.]+(:\d+)?|\[[0-9A-Fa-f:.]+\](:\d+)?|[0-9A-Fa-f:.]+", _server):
        raise ImproperlyConfigured(f"DNS_RESOLVERS: {_server!r} is no address with optional port.")
#: One question to the DNS takes no longer, over all name servers.
DNS_TIMEOUT_SECONDS = _at_least("DNS_TIMEOUT_SECONDS", 3, 1)
#: Verification mails within an hour: to one address for one owner, and started by one API key.
VERIFICATIONS_PER_ADDRESS = _at_least("VERIFICATIONS_PER_ADDRESS", 6, 1)
VERIFICATIONS_PER_KEY = _at_least("VERIFICATIONS_PER_KEY", 1_000, 1)
#: After so many days a verification that is over is forgotten.
VERIFICATION_DAYS = _at_least("VERIFICATION_DAYS", 90, 1)
#: How long a validation job may wait for DNS in all; the rest of its domains is then unknown.
VALIDATION_JOB_DNS_SECONDS = _at_least("VALIDATION_JOB_DNS_SECONDS", 3600, 1)
VALIDATION_MAX_ADDRESSES = _at_least("VALIDATION_MAX_ADDRESSES", 1_000_000, 1)
#: Chunks of validation jobs in work at the same time, on all hosts.
VALIDATION_CONCURRENCY = _at_least("VALIDATION_CONCURRENCY", 2, 1)
VALIDATION_RESULT_DAYS = _at_least("VALIDATION_RESULT_DAYS", 7, 1)
#: Whether mail servers may be asked about mailboxes: docs/validation.md tells what that risks.
VALIDATION_PROBE = env.flag("VALIDATION_PROBE", default=False)
VALIDATION_PROBE_HELO = env.str("VALIDATION_PROBE_HELO", default=urlsplit(PUBLIC_URL).hostname)
VALIDATION_PROBE_FROM = env.str("VALIDATION_PROBE_FROM", default="")
VALIDATION_PROBE_PORT = _at_least("VALIDATION_PROBE_PORT", 25, 1)
#: Probes per minute and operator of mail servers.
VALIDATION_PROBE_RATE = _at_least("VALIDATION_PROBE_RATE", 20, 1)
#: Also probe hosts with addresses of private networks.
VALIDATION_PROBE_PRIVATE = env.flag("VALIDATION_PROBE_PRIVATE", default=False)

#: Bounds of one request, each named in the error that it causes.
MAX_RECIPIENTS = _at_least("MAX_RECIPIENTS", 100, 1)
MAX_BATCH = _at_least("MAX_BATCH", 1000, 1)
MAX_MESSAGE_BYTES = _at_least("MAX_MESSAGE_BYTES", 26_214_400, 1024)
MAX_ATTACHMENT_BYTES = _at_least("MAX_ATTACHMENT_BYTES", 20_971_520, 1024)
DATA_UPLOAD_MAX_MEMORY_SIZE = _at_least("MAX_REQUEST_BYTES", 41_943_040, 1024)
FILE_UPLOAD_MAX_MEMORY_SIZE = 1_048_576

# --- API ------------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["accounts.api.authentication.ApiKeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["accounts.api.permissions.HasScope"],
    "DEFAULT_RENDERER_CLASSES": ["mailservice.core.rest.OrjsonRenderer"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "mailservice.core.rest.JsonNegotiation",
    "DEFAULT_PARSER_CLASSES": ["mailservice.core.rest.OrjsonParser"],
    "EXCEPTION_HANDLER": "mailservice.core.rest.exception_handler",
    "UNAUTHENTICATED_USER": None,
    "URL_FORMAT_OVERRIDE": None,
}

# --- static files, media --------------------------------------------------------------------------

#: Serve static files as they lie in the packages: no `collectstatic`, no caching for ever.
_STATIC_FROM_SOURCE = env.flag("STATIC_FROM_SOURCE", default=DEBUG)
STATIC_URL = "static/"
_static_root = env.path("STATIC_ROOT", default=str(BASE_DIR / "staticfiles"))()
STATIC_ROOT = None if _STATIC_FROM_SOURCE else _static_root
STATICFILES_DIRS = [BASE_DIR / "mailservice" / "static"]
MEDIA_ROOT = env.path("MEDIA_ROOT", default=str(BASE_DIR / "var" / "media"))()
#: Attachments lie in this bucket instead of MEDIA_ROOT, where more than one host needs them.
S3_BUCKET = env.str("S3_BUCKET", default="")
_media: dict[str, Any] = {"BACKEND": "django.core.files.storage.FileSystemStorage"}
if S3_BUCKET:
    _media = {
        "BACKEND": "storages.backends.s3.S3Storage",
        "OPTIONS": {
            "bucket_name": S3_BUCKET,
            "endpoint_url": env.str("S3_ENDPOINT_URL", default="") or None,
            "region_name": env.str("S3_REGION", default="") or None,
            "access_key": env.str("S3_ACCESS_KEY", default="") or None,
            "secret_key": env.str("S3_SECRET_KEY", default="") or None,
            "default_acl": None,
            # The name of bytes that a purge is about to remove must not be taken again.
            "file_overwrite": False,
            # Beyond, what is read from it goes to a temporary file.
            "max_memory_size": FILE_UPLOAD_MAX_MEMORY_SIZE,
        },
    }
STORAGES = {
    "default": _media,
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if _STATIC_FROM_SOURCE
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}
WHITENOISE_USE_FINDERS = _STATIC_FROM_SOURCE

# --- safety ---------------------------------------------------------------------------------------

#: True behind TLS (directly or through a proxy): cookies and redirects then insist on it.
HTTPS = env.flag("HTTPS", default=not DEBUG)
SECURE_SSL_REDIRECT = HTTPS
SECURE_REDIRECT_EXEMPT = [r"^livez$", r"^readyz$"]
SESSION_COOKIE_SECURE = HTTPS
CSRF_COOKIE_SECURE = HTTPS
SECURE_HSTS_SECONDS = _at_least("HSTS_SECONDS", 31_536_000 if HTTPS else 0, 0)
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SECURE_HSTS_PRELOAD = HTTPS
BEHIND_PROXY = env.flag("BEHIND_PROXY", default=False)
if BEHIND_PROXY:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_HTTPONLY = True
# What the admin theme needs; API and previews set their own, stricter ones.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "script-src": ["'self'", "'unsafe-eval'"],
        "style-src": ["'self'", "'unsafe-inline'"],
        "img-src": ["'self'", "data:"],
        "frame-ancestors": ["'self'"],
    }
}

#: Title, colours and navigation of the admin.
UNFOLD = console.UNFOLD
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"

# --- logging --------------------------------------------------------------------------------------

LOG_LEVEL = env.str("LOG_LEVEL", default="INFO").upper()
if LOG_LEVEL not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
    raise ImproperlyConfigured("LOG_LEVEL: use DEBUG, INFO, WARNING or ERROR.")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {
            "class": "mailservice.core.masking.MaskingFormatter",
            "format": "%(asctime)s %(levelname)-7s %(name)s: %(message)s",
            "datefmt": "%H:%M:%S",
        }
    },
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": "line", "stream": sys.stderr}
    },
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    "loggers": {
        "celery": {"level": "WARNING" if LOG_LEVEL == "INFO" else LOG_LEVEL},
        "kombu": {"level": "WARNING" if LOG_LEVEL == "INFO" else LOG_LEVEL},
        # What it says at DEBUG holds the session token and what it signs.
        "botocore": {"level": "INFO" if LOG_LEVEL == "DEBUG" else LOG_LEVEL},
    },
}
