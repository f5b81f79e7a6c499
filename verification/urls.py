"""The hosted pages."""

from django.urls import path

from verification.views import VerifyPage

urlpatterns = [path("verify/<str:token>", VerifyPage.as_view(), name="verify")]
