"""Where the steps lie, which Alembic reads as files."""

from pathlib import Path

FOLDER = Path(__file__).parent
