"""The tables of the database. Times are seconds since 1970, by the clock of the database."""

from sqlalchemy import JSON, BigInteger, Boolean, Column, Float, Index, Integer, MetaData, String, Table, Text

metadata = MetaData()

uploads = Table(
    "uploads",
    metadata,
    Column("upload_id", String(32), primary_key=True),
    Column("owner", String(64), nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("file_name", Text, nullable=False, default=""),
    Column("size_bytes", BigInteger, nullable=False),
    Column("offset_bytes", BigInteger, nullable=False, default=0),
    Column("is_complete", Boolean, nullable=False, default=False),
    Column("created_at", Float, nullable=False),
)
"""Images that were sent, and how much of each has come."""

jobs = Table(
    "jobs",
    metadata,
    Column("job_id", String(32), primary_key=True),
    Column("number", BigInteger, nullable=False, unique=True),
    Column("owner", String(64), nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("upload_id", String(32)),
    Column("file_name", Text),
    Column("image", Text),
    Column("options", JSON, nullable=False),
    Column("state", String(16), nullable=False),
    Column("stage", String(16), nullable=False, default=""),
    Column("done_mpx", Float, nullable=False, default=0.0),
    Column("total_mpx", Float, nullable=False, default=0.0),
    Column("attempts", Integer, nullable=False, default=0),
    Column("lease", String(64), nullable=False, default=""),
    Column("lease_until", Float, nullable=False, default=0.0),
    Column("is_cancelled", Boolean, nullable=False, default=False),
    Column("problem", JSON),
    Column("created_at", Float, nullable=False),
    Column("started_at", Float),
    Column("ended_at", Float),
    Index("jobs_by_state", "state", "number"),
)
"""What was asked for, who is at work on it, and how far it is."""
