"""``/health``, ``/ready``, ``/metrics``: for those who run the service."""

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from sqlalchemy import text

from counterstain.web.problems import Problem
from counterstain.web.service import Served
from counterstain.web.store.queue import count_by_state

router = APIRouter(tags=["operations"])

STATES = ("queued", "running", "done", "failed", "cancelled")


@router.get("/health", response_class=PlainTextResponse)
def health() -> str:
    """Say that the process answers."""
    return "ok"


@router.get("/ready", response_class=PlainTextResponse)
def ready(served: Served) -> str:
    """Say that the database answers and that results can be written."""
    with served.engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    if not served.settings.results.is_dir():
        raise Problem(503, "the folder of results is not there")
    return "ready"


class _Jobs:
    """Jobs by state, counted when they are asked for."""

    def __init__(self, counts: dict[str, int]) -> None:
        self._counts = counts

    def collect(self) -> list[GaugeMetricFamily]:
        """Return the one metric that the database knows."""
        family = GaugeMetricFamily("counterstain_jobs", "Jobs that are not deleted, by state.", labels=["state"])
        for state in STATES:
            family.add_metric([state], self._counts.get(state, 0))
        return [family]


@router.get("/metrics", response_class=PlainTextResponse)
def metrics(served: Served) -> Response:
    """Return numbers for Prometheus."""
    registry = CollectorRegistry()
    registry.register(_Jobs(count_by_state(served.engine)))
    content = generate_latest(registry) + generate_latest(served.numbers.registry)
    return Response(content, media_type="text/plain; version=0.0.4; charset=utf-8")
