"""Rows of images that were sent, and how much of each has come."""

import secrets
from collections.abc import Sequence

from sqlalchemy import Engine, RowMapping, delete, func, insert, select, update

from counterstain.web.store.connecting import now
from counterstain.web.store.tables import uploads


def add_upload(engine: Engine, owner: str, name: str, size_bytes: int) -> RowMapping:
    """Note an image that will be sent."""
    values = {
        "upload_id": secrets.token_hex(16),
        "owner": owner,
        "name": name,
        "size_bytes": size_bytes,
        "created_at": now(engine),
    }
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        return connection.execute(insert(uploads).values(values).returning(uploads)).mappings().one()


def upload(engine: Engine, upload_id: str) -> RowMapping | None:
    """Return an upload; None where there is none of this number."""
    with engine.connect() as connection:
        return connection.execute(select(uploads).where(uploads.c.upload_id == upload_id)).mappings().one_or_none()


def uploads_of(engine: Engine, owner: str | None) -> Sequence[RowMapping]:
    """Return the uploads of a user, the newest first; of all users where the owner is None."""
    query = select(uploads).order_by(uploads.c.created_at.desc())
    with engine.connect() as connection:
        return connection.execute(query if owner is None else query.where(uploads.c.owner == owner)).mappings().all()


def note_offset(engine: Engine, upload_id: str, offset_bytes: int) -> None:
    """Note how much has come."""
    _update(engine, upload_id, {"offset_bytes": offset_bytes})


def note_complete(engine: Engine, upload_id: str, file_name: str) -> None:
    """Note that all has come, and under which name it lies in the folder of the upload."""
    _update(engine, upload_id, {"is_complete": True, "file_name": file_name})


def forget_upload(engine: Engine, upload_id: str) -> None:
    """Remove the row."""
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        connection.execute(delete(uploads).where(uploads.c.upload_id == upload_id))


def usage_of(engine: Engine, owner: str) -> tuple[int, int]:
    """Return how many uploads of a user are not complete, and the bytes of all of them."""
    query = select(func.count().filter(~uploads.c.is_complete), func.coalesce(func.sum(uploads.c.size_bytes), 0))
    with engine.connect() as connection:
        unfinished, stored = connection.execute(query.where(uploads.c.owner == owner)).one()
    return unfinished, int(stored)


def _update(engine: Engine, upload_id: str, changes: dict[str, object]) -> None:
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        connection.execute(update(uploads).where(uploads.c.upload_id == upload_id).values(changes))
