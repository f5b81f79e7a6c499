"""The pages behind the links in mails."""

from django.urls import path

from inbound.unsubscribe.views import PreferencesPage, UnsubscribePage

urlpatterns = [
    path("u/<str:token>", UnsubscribePage.as_view(), name="unsubscribe"),
    path("u/<str:token>/preferences", PreferencesPage.as_view(), name="preferences"),
]
