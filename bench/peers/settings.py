"""Settings of the peers' Django project: the same servers as ours, a database of its own."""

from __future__ import annotations

import os

SECRET_KEY = "benchmark"  # noqa: S105 - signs nothing
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "post_office",
    "mailer",
    "bench.peers",
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": os.environ["PEERS_DB_HOST"],
        "PORT": os.environ["PEERS_DB_PORT"],
        "USER": os.environ["PEERS_DB_USER"],
        "PASSWORD": os.environ["PEERS_DB_PASSWORD"],
        "NAME": os.environ["PEERS_DB_NAME"],
        "CONN_MAX_AGE": int(os.environ.get("PEERS_CONN_MAX_AGE", "600")),
    }
}
TEMPLATES = [
    {"BACKEND": "django.template.backends.django.DjangoTemplates", "DIRS": [], "APP_DIRS": True}
]
EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
EMAIL_HOST = "127.0.0.1"
EMAIL_PORT = int(os.environ.get("PEERS_SMTP_PORT", "25"))

# django-post_office: one large batch, split over the processes of `--processes`, threads with kept
# connections in each; every success logged, as we record ours.
POST_OFFICE = {"BATCH_SIZE": 5000, "THREADS_PER_PROCESS": 4, "LOG_LEVEL": 2}

# django-mailer: its documented way to let several processes send at once, and an SMTP backend that
# keeps its connection (Django's own opens one for each mail here).
MAILER_EMAIL_BACKEND = "bench.peers.smtp.KeptBackend"
MAILER_USE_FILE_LOCK = False
MAILER_MESSAGES_BATCH_SIZE = 1000

CELERY_BROKER_URL = os.environ.get("PEERS_BROKER_URL", "")
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "peers"
#: Django's default of Celery is a new database connection for each task.
if reuse := os.environ.get("PEERS_DB_REUSE_MAX"):
    CELERY_DB_REUSE_MAX = int(reuse)
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"stderr": {"class": "logging.StreamHandler", "level": "ERROR"}},
    "root": {"handlers": ["stderr"], "level": "ERROR"},
}
