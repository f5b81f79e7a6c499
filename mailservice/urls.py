"""All addresses of the service."""

from django.contrib import admin
from django.urls import include, path

from mailservice.health import livez, readyz

handler400 = "mailservice.core.rest.bad_request"
handler403 = "mailservice.core.rest.permission_denied"
handler404 = "mailservice.core.rest.page_not_found"
handler500 = "mailservice.core.rest.server_error"

urlpatterns = [
    path("livez", livez),
    path("readyz", readyz),
    path("", include("verification.urls")),
    path("", include("inbound.urls")),
    path("", include("inbound.unsubscribe.urls")),
    path("", include("inbound.tracking.urls")),
    path("admin/", admin.site.urls),
    path("api/v1/", include("mailservice.api")),
    path("api/", include("mailservice.api")),
]
