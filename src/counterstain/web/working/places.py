"""Where the image and the result of a job lie. A name of a client is compared with names in folders, never opened."""

from pathlib import Path

from sqlalchemy import RowMapping

from counterstain.errors import UnreadableSlideError
from counterstain.web.settings import ServiceSettings

RECORD = "analysis.json"


def result_folder(settings: ServiceSettings, found: RowMapping) -> Path | None:
    """Return the folder of the result of a job; None where there is none."""
    home = settings.results / str(found["job_id"])
    folders = [path for path in sorted(home.iterdir()) if not path.name.startswith(".")] if home.is_dir() else []
    return next((path for path in folders if (path / RECORD).is_file()), None)


def source_of(settings: ServiceSettings, found: RowMapping) -> Path:
    """Return where the image of a job lies.

    Raises
    ------
    UnreadableSlideError
        It is no longer there.
    """
    if found["upload_id"]:
        path = settings.uploads / str(found["upload_id"]) / str(found["file_name"])
    else:
        path = stored_image(settings, str(found["image"]))
    if not path.exists():
        raise UnreadableSlideError(f"{found['name']} is no longer there")
    return path


def stored_image(settings: ServiceSettings, name: str) -> Path:
    """Return the image, or the folder, of a name below the folder of images: ``"a/b.svs"`` is ``b.svs`` in ``a``.

    Each part of the name is looked for among the names in a folder, so that no part can lead anywhere else.

    Raises
    ------
    UnreadableSlideError
        There is none.
    """
    if settings.images is None:
        raise UnreadableSlideError("this service has no folder of images")
    root = path = settings.images.resolve()
    for part in name.split("/") if name else []:
        inside = [entry for entry in path.iterdir() if entry.name == part] if path.is_dir() else []
        if not inside or part.startswith("."):
            raise UnreadableSlideError(f"there is no image {name[:200]!r}")
        path = inside[0]
    if not path.resolve().is_relative_to(root):
        raise UnreadableSlideError(f"there is no image {name[:200]!r}")  # a link that leads out of the folder
    return path
