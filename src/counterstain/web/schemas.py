"""What comes in and what goes out, as OpenAPI describes it."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from counterstain.web.problems import RemedyBody


class Body(BaseModel):
    """What a client sends: a field that is not known is refused, and a number is finite."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class UploadRequest(Body):
    """An image that will be sent."""

    name: str = Field(min_length=1, max_length=400, description="Name of the file; its ending must be that of the content.")
    size_bytes: int = Field(gt=0, lt=2**53)


class Upload(BaseModel):
    """An image, and how much of it has come."""

    upload_id: str
    name: str
    size_bytes: int
    offset_bytes: int = Field(description="The next piece begins here.")
    is_complete: bool = Field(description="It has come as a whole, and can be read.")
    height_px: int | None = None
    width_px: int | None = None
    mpp: float | None = Field(default=None, description="Micrometres per pixel by the file; null: a job must say it.")
    mpp_source: str | None = None


class StoredImage(BaseModel):
    """An entry of the folder of images on the server."""

    name: str
    image: str = Field(description="What a job names it by.")
    is_folder: bool
    size_bytes: int | None = None


class JobOptions(Body):
    """How an image is analysed; what is left out has its default, as on the command line."""

    mpp: float | None = Field(default=None, gt=0, le=100, description="Micrometres per pixel, instead of what the file says.")
    magnification: float | None = Field(default=None, gt=0, le=200, description="Such as 20; another way to say mpp.")
    bundle: str | None = Field(default=None, max_length=200, description="The model: one of those that /api/v1/models lists.")
    decoder: Literal["watershed", "deepliif"] | None = None
    threshold: float | None = Field(default=None, ge=0, le=1)
    marker_threshold: float | None = Field(default=None, ge=0, le=1)
    min_area_um2: float | None = Field(default=None, ge=0)
    max_area_um2: float | None = Field(default=None, gt=0)
    series: int | None = Field(default=None, ge=0, le=100_000)
    any_stain: bool = False
    keep_maps: bool = Field(default=True, description="Keep what was inferred, so that it can be looked at.")


class JobRequest(Body):
    """An image to analyse: one that was uploaded, or one of the folder of the server."""

    upload_id: str | None = Field(default=None, pattern="^[0-9a-f]{32}$")
    image: str | None = Field(default=None, min_length=1, max_length=1000)
    options: JobOptions = Field(default_factory=JobOptions)

    @model_validator(mode="after")
    def one_source(self) -> "JobRequest":
        """Refuse a job of no image, or of two."""
        if (self.upload_id is None) == (self.image is None):
            raise ValueError("name either upload_id or image")
        return self


class JobProblem(BaseModel):
    """Why a job failed."""

    detail: str
    remedies: list[RemedyBody] = Field(default_factory=list)


class Job(BaseModel):
    """A job, and how far it is."""

    job_id: str
    name: str
    upload_id: str | None
    image: str | None
    options: dict[str, Any]
    state: Literal["queued", "running", "done", "failed", "cancelled"]
    stage: str = Field(description="tiles: the network runs; cells: nuclei are cut; empty before.")
    done_mpx: float = Field(description="Megapixels of the stage that are done.")
    total_mpx: float
    attempts: int
    is_cancelled: bool
    problem: JobProblem | None
    created_at: float = Field(description="Seconds since 1970.")
    started_at: float | None
    ended_at: float | None


class LevelBody(BaseModel):
    """A level of the slide; level 0 is the full one."""

    level: int
    height_px: int
    width_px: int
    rows: int = Field(description="Rows of tiles.")
    cols: int
    mpp: float


class LayerBody(BaseModel):
    """A picture that can be shown."""

    name: str
    title: str
    colour: tuple[int, int, int] | None = Field(description="In which it comes; null: it has colours of its own.")
    media_type: str


class PyramidBody(BaseModel):
    """Everything that a viewer must know to ask for tiles."""

    tile_px: int
    mpp: float
    levels: list[LevelBody]
    layers: list[LayerBody]
    slide_px: tuple[float, float] = Field(description="Pixels of the slide per pixel of level 0, down and across.")
    labels_drawn_up_to_mpp: float = Field(description="On coarser levels a nucleus is the one pixel of its centroid.")
    tag: str


class ColumnBody(BaseModel):
    """A column of the table of nuclei."""

    name: str
    dtype: str = Field(description="Of the bytes: float64, float32, int64, uint8; bool comes as uint8.")
    unit: str
    bytes: int
    address: str


class NucleiBody(BaseModel):
    """The table of nuclei: row i has the number i + 1 in label tiles."""

    nuclei: int
    columns: list[ColumnBody]
    thresholds: dict[str, Any]


class OutlinesBody(BaseModel):
    """Outlines of the nuclei in a box, in pixels of the slide at full size."""

    numbers: list[int]
    outlines: list[list[float]] = Field(description="Of each nucleus row, col, row, col, ... of its corners.")
    is_complete: bool = Field(description="False: there are more in the box than are sent.")


class Thresholds(Body):
    """What is counted, and what is positive."""

    threshold: float = Field(default=0.5, ge=0, le=1, description="p_positive from which a nucleus is positive.")
    marker_threshold: float | None = Field(default=None, ge=0, le=1, description="marker_max above which it is too.")
    min_dab_od: float | None = Field(default=None, ge=0, le=10, description="dab_od_mean below which none is positive.")
    min_area_um2: float | None = Field(default=None, ge=0, description="Smaller nuclei are not counted.")
    max_area_um2: float | None = Field(default=None, gt=0, description="Larger nuclei are not counted.")


class CountsBody(BaseModel):
    """A recount."""

    nuclei: int
    positive: int
    negative: int
    scores: list[dict[str, Any]] = Field(description="As in the record: the region all, then each region of the result.")
    thresholds: Thresholds
    warnings: list[str]


class FileBody(BaseModel):
    """A file of a result."""

    name: str
    size_bytes: int
    media_type: str
    address: str


class ModelBody(BaseModel):
    """A model that a job may name."""

    name: str
    is_default: bool


class Session(Body):
    """Who signs in."""

    user: str = Field(default="", max_length=64)
    password: str = Field(default="", max_length=1000)
    token: str = Field(default="", max_length=1000)


class Who(BaseModel):
    """Who is signed in."""

    user: str
    needs_sign_in: bool
