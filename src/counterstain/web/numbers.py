"""What is counted while the service runs, for Prometheus. Knows no request and no user."""

from prometheus_client import CollectorRegistry, Counter, Histogram


class Numbers:
    """The counters of one service."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "counterstain_requests", "Requests by method and status.", ["method", "status"], registry=self.registry
        )
        self.seconds = Histogram("counterstain_request_seconds", "Time to the first byte of an answer.", registry=self.registry)
