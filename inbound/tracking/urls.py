"""Addresses of pixels and tracked links."""

from django.urls import path

from inbound.tracking.views import link, pixel

urlpatterns = [
    path("o/<str:token>.gif", pixel, name="tracking-pixel"),
    path("c/<str:token>", link, name="tracking-link"),
]
