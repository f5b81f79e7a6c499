"""Addresses of what comes back."""

from django.urls import path

from inbound.returned.views import ReturnedHook
from inbound.views import ProviderHook

urlpatterns = [
    path("hooks/<uuid:provider_id>/<str:token>", ProviderHook.as_view(), name="provider-hook"),
    path("hooks/returned/<str:token>", ReturnedHook.as_view(), name="returned-hook"),
]
