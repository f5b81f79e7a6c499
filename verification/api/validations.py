"""`/validations`: one address, a few at once, or a list as a job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.http import StreamingHttpResponse
from rest_framework.exceptions import PermissionDenied
from rest_framework.parsers import MultiPartParser
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.authentication import key_of
from accounts.scopes import Scope
from mailservice.core.errors import ConflictError, InvalidInputError, NotFoundError
from mailservice.core.rest import OrjsonParser, page_body, page_params, paginate
from verification.api.validation_input import (
    Asked,
    check_parameters,
    read_asked,
    require_uuid,
    verdict_of,
)
from verification.models import ValidationJob
from verification.selectors.validation import Place, csv_lines, result_page, visible_job
from verification.services.validation import validate_many
from verification.services.validation_jobs import cancel_job, create_job, delete_job

if TYPE_CHECKING:
    from rest_framework.request import Request

    from verification.validation import Result

#: What a request that asks mail servers may take beyond the look-ups.
PROBE_SECONDS = 10.0
_SCOPES = {
    "GET": Scope.VALIDATIONS_READ,
    "POST": Scope.VALIDATIONS_WRITE,
    "DELETE": Scope.VALIDATIONS_WRITE,
}


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A request as understood, and its results unless it becomes a job."""

    asked: Asked
    results: list[Result] | None


class Validations(APIView):
    """Validate addresses, or list the jobs that do."""

    scopes = _SCOPES
    parser_classes = [OrjsonParser, MultiPartParser]

    def get(self, request: Request) -> Response:
        """List the key's user's jobs, newest first."""
        check_parameters(request.query_params, {"cursor", "limit"})
        cursor, limit = page_params(request.query_params)
        jobs = ValidationJob.objects.owned_by(key_of(request).user_id)
        rows, after = paginate(jobs, cursor=cursor, limit=limit)
        return Response(page_body([_job(row) for row in rows], after))

    def prepare(self, request: Request) -> _Prepared:
        """Read the request, and ask the network while no transaction is open."""
        asked = read_asked(request)
        if asked.does_probe:
            self._require_probe(request)
        if asked.is_job:
            return _Prepared(asked, None)
        budget = float(settings.DNS_TIMEOUT_SECONDS)
        does_probe = asked.does_probe and not key_of(request).is_test
        results = validate_many(
            asked.emails,
            budget_seconds=budget + (PROBE_SECONDS if does_probe else 0),
            does_probe=does_probe,
        )
        return _Prepared(asked, results)

    def post(self, request: Request, *, prepared: _Prepared) -> Response:
        """Answer about one address or a few, or start a job."""
        key, asked = key_of(request), prepared.asked
        if prepared.results is not None:
            answers = [result.as_json() for result in prepared.results]
            return Response(answers[0] if asked.is_single else {"results": answers})
        job = create_job(
            owner_id=key.user_id,
            api_key_id=key.pk,
            name=asked.name,
            addresses=asked.addresses(),
            does_probe=asked.does_probe and not key.is_test,
            source=asked.source,
        )
        return Response({"message": "The addresses are being validated.", **_job(job)}, status=202)

    def _require_probe(self, request: Request) -> None:
        """Raise unless mail servers may be asked, by this installation and by this key."""
        if not settings.VALIDATION_PROBE:
            raise InvalidInputError.for_field(
                "probe", "Mail servers are not asked by this service.", code="not_available"
            )
        if not key_of(request).has_scope(Scope.VALIDATIONS_PROBE):
            raise PermissionDenied(f"This API key lacks the scope {Scope.VALIDATIONS_PROBE.value}.")


class Validation(APIView):
    """One job."""

    scopes = _SCOPES

    def get(self, request: Request, job_id: str) -> Response:
        """Tell how far it is."""
        return Response(_job(_find(request, job_id)))

    def delete(self, request: Request, job_id: str) -> Response:
        """Stop it, and remove what it has found."""
        delete_job(_find(request, job_id))
        return Response(status=204)


class ValidationCancel(APIView):
    """Stops a job."""

    scopes = _SCOPES

    def post(self, request: Request, job_id: str) -> Response:
        """Stop it; what was found stays readable."""
        job = cancel_job(_find(request, job_id))
        return Response({"message": "The job is cancelled.", **_job(job)})


class ValidationResults(APIView):
    """What a job has found."""

    scopes = _SCOPES

    def get(self, request: Request, job_id: str) -> Response:
        """Return results in the order of the list; `next` is null only after the last one."""
        check_parameters(request.query_params, {"cursor", "limit", "verdict"})
        job = _find(request, job_id)
        cursor, limit = page_params(request.query_params)
        page = result_page(
            job,
            place=Place.from_text(cursor),
            limit=limit,
            verdict=verdict_of(request.query_params.get("verdict", "")),
        )
        after = None if page.after is None else page.after.text
        return Response(page_body([result.as_json() for result in page.results], after))


class ValidationDownload(APIView):
    """What a job has found, as a table."""

    scopes = _SCOPES

    def get(self, request: Request, job_id: str) -> StreamingHttpResponse:
        """Stream the results as CSV. Raises `ConflictError` while the job runs."""
        job = _find(request, job_id)
        if job.is_open:
            raise ConflictError(
                "The job is not over; read /results meanwhile.",
                code="wrong_state",
                details={"status": job.status},
            )
        return _download(job)


def _download(job: ValidationJob) -> StreamingHttpResponse:
    response = StreamingHttpResponse(csv_lines(job), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="validation-{job.pk}.csv"'
    response["Cache-Control"] = "private, no-store"
    response["X-Content-Type-Options"] = "nosniff"
    return response


def _find(request: Request, job_id: str) -> ValidationJob:
    wanted = require_uuid(job_id)
    if wanted is None:
        raise NotFoundError("There is no such validation job.")
    return visible_job(wanted, owner_id=key_of(request).user_id)


def _job(job: ValidationJob) -> dict[str, Any]:
    place = f"/api/v1/validations/{job.pk}"
    return {
        "id": job.pk,
        "name": job.name or None,
        "status": job.status,
        "total": job.total_count,
        "done": job.done_count,
        "percent": job.percent,
        "counts": {
            "valid": job.valid_count,
            "risky": job.risky_count,
            "invalid": job.invalid_count,
            "unknown": job.unknown_count,
        },
        "probe": job.does_probe,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "expires_at": job.expires_at,
        "results_url": f"{settings.PUBLIC_URL}{place}/results",
        "download_url": f"{settings.PUBLIC_URL}{place}/download",
    }
