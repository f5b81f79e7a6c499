"""The hosted pages."""

from django.urls import path

from verification.views import VerifyPage

# Whatever a mail program makes of the link, a person gets a page.
urlpatterns = [path("verify/<path:token>", VerifyPage.as_view(), name="verify")]
