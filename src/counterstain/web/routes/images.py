"""``/api/v1/images``: the folder of slides on the server, which need no upload; and the models that a job may name."""

from typing import Annotated

from fastapi import APIRouter, Query

from counterstain.errors import UnreadableSlideError
from counterstain.jobs.inputs import ZIPPED_ZARR
from counterstain.slides.opening import SLIDE_SUFFIXES
from counterstain.slides.sniffing import is_ome_zarr
from counterstain.web.problems import Problem
from counterstain.web.schemas import ModelBody, StoredImage
from counterstain.web.service import Served
from counterstain.web.working.places import stored_image

router = APIRouter(prefix="/api/v1", tags=["images"])

Folder = Annotated[str, Query(max_length=1000, description="As the field image of an entry says it; empty is the top.")]


@router.get("/images")
def listed(served: Served, folder: Folder = "") -> list[StoredImage]:
    """List a folder of the server's slides; empty where the operator has named none."""
    if served.settings.images is None:
        return []
    try:
        path = stored_image(served.settings, folder)
    except UnreadableSlideError as error:
        raise Problem(404, error.happened) from error
    if not path.is_dir():
        raise Problem(404, "this is no folder")
    found = []
    for entry in sorted(path.iterdir()):
        is_image = entry.suffix.lower() in SLIDE_SUFFIXES or entry.name.lower().endswith(ZIPPED_ZARR)
        is_folder = entry.is_dir() and not is_ome_zarr(entry)
        if not entry.name.startswith(".") and (is_folder or is_image):
            size = entry.stat().st_size if entry.is_file() else None
            name = f"{folder}/{entry.name}".lstrip("/")
            found.append(StoredImage(name=entry.name, image=name, is_folder=is_folder, size_bytes=size))
    return found


@router.get("/models")
def models(served: Served) -> list[ModelBody]:
    """List the models that a job may name."""
    return [ModelBody(name=name, is_default=name == served.settings.bundle) for name in served.settings.bundles]
