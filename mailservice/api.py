"""The routes of the REST API, served under `/api/v1/` and `/api/`."""

from django.urls import URLPattern, URLResolver

urlpatterns: list[URLPattern | URLResolver] = []
