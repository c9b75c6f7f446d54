"""A model bundle: a folder (or a zip of it) with ``manifest.json`` and ONNX weights.

Loading a bundle checks the SHA-256 of every weight file and executes nothing.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from counterstain.panel import Panel

FORMAT_VERSION = 1


class WeightFile(BaseModel):
    """One file of weights, relative to the manifest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    sha256: str


class Normalisation(BaseModel):
    """The network reads ``(x - mean) / std`` for RGB x in [0, 1]."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)


class Manifest(BaseModel):
    """Everything about a model that is not a weight."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1] = 1
    name: str
    version: str
    panel: Panel
    mpp: float
    """Micrometres per pixel that the model was trained at; slides are resampled to it."""
    tile_px: int
    margin_px: int
    stride_px: int = 1
    """Tile sides must be multiples of this."""
    normalisation: Normalisation = Normalisation()
    decoder: Literal["watershed", "deepliif"] = "watershed"
    expected_nuclear_area_um2: tuple[float, float]
    """The range in which the median nuclear area of an image normally lies; outside it a warning says so."""
    licence: str
    training_data: tuple[str, ...] = ()
    weights: tuple[WeightFile, ...] = ()
