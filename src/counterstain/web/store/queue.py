"""The queue: jobs are added, claimed with a lease, told of, and end once.

Whoever holds the lease of a job may write to it. A lease that is not renewed runs out, and the next worker takes the job up.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, Engine, RowMapping, and_, delete, func, insert, or_, select, update

from counterstain.web.store.connecting import now
from counterstain.web.store.tables import jobs

State = Literal["queued", "running", "done", "failed", "cancelled"]
Held = Literal["held", "cancelled", "lost"]
ENDED = ("done", "failed", "cancelled")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """What a client asks for."""

    owner: str
    name: str
    """Of the image, as people know it."""
    upload_id: str | None = None
    file_name: str | None = None
    """Of the upload in its folder."""
    image: str | None = None
    """Of the folder of the operator; either this or ``upload_id``."""
    options: Mapping[str, Any]


def add_job(engine: Engine, new: NewJob) -> RowMapping:
    """Put a job at the end of the queue."""
    values = {
        "job_id": secrets.token_hex(16),
        "number": select(func.coalesce(func.max(jobs.c.number), 0) + 1).scalar_subquery(),
        "owner": new.owner,
        "name": new.name,
        "upload_id": new.upload_id,
        "file_name": new.file_name,
        "image": new.image,
        "options": dict(new.options),
        "state": "queued",
        "created_at": now(engine),
    }
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("LOCK TABLE jobs IN SHARE ROW EXCLUSIVE MODE")  # two jobs get two numbers
        return connection.execute(insert(jobs).values(values).returning(jobs)).mappings().one()


def job(engine: Engine, job_id: str) -> RowMapping | None:
    """Return a job; None where there is none of this number."""
    with engine.connect() as connection:
        return connection.execute(select(jobs).where(jobs.c.job_id == job_id)).mappings().one_or_none()


def jobs_of(engine: Engine, owner: str | None, limit: int = 200, before: int | None = None) -> Sequence[RowMapping]:
    """Return the jobs of a user, the newest first; of all users where the owner is None."""
    query = select(jobs).order_by(jobs.c.number.desc()).limit(limit)
    if owner is not None:
        query = query.where(jobs.c.owner == owner)
    if before is not None:
        query = query.where(jobs.c.number < before)
    with engine.connect() as connection:
        return connection.execute(query).mappings().all()


def count_by_state(engine: Engine, owner: str | None = None) -> dict[str, int]:
    """Return how many jobs are in each state."""
    query = select(jobs.c.state, func.count()).group_by(jobs.c.state)
    if owner is not None:
        query = query.where(jobs.c.owner == owner)
    with engine.connect() as connection:
        return dict(list(connection.execute(query)))


def claim(engine: Engine, lease_s: float) -> RowMapping | None:
    """Take the first job that waits, or whose worker is no longer heard of; None where there is none."""
    waits = or_(jobs.c.state == "queued", and_(jobs.c.state == "running", jobs.c.lease_until < now(engine)))
    first = select(jobs.c.job_id).where(waits).order_by(jobs.c.number).limit(1)
    if engine.dialect.name == "postgresql":
        first = first.with_for_update(skip_locked=True)
    changes = {
        "state": "running",
        "lease": secrets.token_hex(16),
        "lease_until": now(engine) + lease_s,
        "attempts": jobs.c.attempts + 1,
        "started_at": func.coalesce(jobs.c.started_at, now(engine)),
    }
    query = update(jobs).where(jobs.c.job_id == first.scalar_subquery()).values(changes).returning(jobs)
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        return connection.execute(query).mappings().one_or_none()


def renew(engine: Engine, claimed: RowMapping, lease_s: float) -> Held:
    """Keep a job for longer, and return whether it is still this worker's and still wanted."""
    query = update(jobs).where(_is_held(claimed)).values(lease_until=now(engine) + lease_s).returning(jobs.c.is_cancelled)
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        is_cancelled = connection.execute(query).scalar_one_or_none()
    return "lost" if is_cancelled is None else "cancelled" if is_cancelled else "held"


def tell(engine: Engine, claimed: RowMapping, stage: str, done_mpx: float, total_mpx: float) -> None:
    """Say how far a job is."""
    changes = {"stage": stage, "done_mpx": done_mpx, "total_mpx": total_mpx}
    _write(engine, update(jobs).where(_is_held(claimed)).values(changes))


def end(engine: Engine, claimed: RowMapping, state: State, problem: Mapping[str, Any] | None = None) -> bool:
    """End a job; return whether it was still this worker's to end, so that a job ends once."""
    changes = {"state": state, "ended_at": now(engine), "problem": problem, "lease": ""}
    return _write(engine, update(jobs).where(_is_held(claimed)).values(changes)) == 1


def give_back(engine: Engine, claimed: RowMapping) -> None:
    """Leave a job to the next worker, as this one stops; that it was begun here does not count as an attempt."""
    changes = {"state": "queued", "lease": "", "lease_until": 0.0, "attempts": jobs.c.attempts - 1}
    _write(engine, update(jobs).where(_is_held(claimed)).values(changes))


def cancel(engine: Engine, job_id: str) -> None:
    """End a job that waits; let the worker of one that runs end it."""
    is_it = jobs.c.job_id == job_id
    changes = {"state": "cancelled", "is_cancelled": True, "ended_at": now(engine)}
    if not _write(engine, update(jobs).where(is_it, jobs.c.state == "queued").values(changes)):
        _write(engine, update(jobs).where(is_it, jobs.c.state == "running").values(is_cancelled=True))


def forget(engine: Engine, job_id: str) -> bool:
    """Remove a job that has ended; return whether it had."""
    return _write(engine, delete(jobs).where(jobs.c.job_id == job_id, jobs.c.state.in_(ENDED))) == 1


def uses_of(engine: Engine, upload_id: str) -> int:
    """Return how many jobs were made of an upload."""
    with engine.connect() as connection:
        return connection.execute(select(func.count()).where(jobs.c.upload_id == upload_id)).scalar_one()


def _is_held(claimed: RowMapping) -> ColumnElement[bool]:
    return and_(jobs.c.job_id == claimed["job_id"], jobs.c.lease == claimed["lease"], jobs.c.state == "running")


def _write(engine: Engine, query: Any) -> int:
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        return int(connection.execute(query).rowcount)
