"""What an operator decides about the service. Knows neither HTTP nor the command line."""

from dataclasses import dataclass
from pathlib import Path

MIB = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much one user may ask for."""

    upload_bytes: int = 20 * 1024 * MIB
    """Of one image."""
    piece_bytes: int = 64 * MIB
    """Of one request that brings a part of an image."""
    body_bytes: int = 16 * MIB
    """Of any other request."""
    pixels: int = 100_000_000_000
    """Of one image; more is refused when its header is read."""
    unfinished_jobs: int = 50
    """Queued and running ones of one user."""
    unfinished_uploads: int = 20
    """Of one user."""
    stored_bytes: int = 500 * 1024 * MIB
    """Of all uploads of one user."""
    requests_per_minute: int = 6000
    """Of one user; a page asks for a few dozen tiles a second while it is moved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    """Where the service keeps what it has, and what it allows."""

    data: Path
    """Folder of uploads and results, and of the database where none is named."""
    database: str = ""
    """Address of the database as SQLAlchemy writes it; empty is a file in ``data``."""
    images: Path | None = None
    """Folder of slides that need no upload; None where there is none."""
    bundle: str = "default"
    """Name or path of the model where a job names none."""
    bundles: tuple[str, ...] = ("default", "classical")
    """Models that a job may name: those of the operator, and never a path of a client."""
    token: str = ""
    """What a client must show; empty asks for none."""
    users: Path | None = None
    """File of users with the hashes of their passwords; None where there is none."""
    hosts: tuple[str, ...] = ("127.0.0.1", "localhost", "[::1]")
    """Names under which the service may be asked, without port."""
    limits: Limits = Limits()
    lease_s: float = 30.0
    """How long a job stays with a worker that is not heard of."""
    attempts: int = 3
    """How many workers may die of one job before it is given up."""

    @property
    def database_url(self) -> str:
        """Return the address of the database."""
        return self.database or f"sqlite:///{self.data / 'counterstain.sqlite'}"

    @property
    def uploads(self) -> Path:
        """Return the folder of uploads."""
        return self.data / "uploads"

    @property
    def results(self) -> Path:
        """Return the folder of results."""
        return self.data / "results"
