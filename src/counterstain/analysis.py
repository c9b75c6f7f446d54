"""``Analysis``: everything that was found out about one slide. It is what every output writes."""

from dataclasses import dataclass, field

from counterstain.cells.table import CellTable
from counterstain.inference.bundle import Manifest
from counterstain.panel import OUTLINE_PX
from counterstain.scoring.base import Population, Score
from counterstain.scoring.regions import Region
from counterstain.slides.base import Slide
from counterstain.stitching.maps import Maps
from counterstain.tiling.quality import TileQualities
from counterstain.tiling.stains import Stains


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """Maps, cells, scores and where they come from."""

    slide: Slide
    """Still open: outputs read the original pixels from it."""
    manifest: Manifest
    fingerprint: str
    """``Backend.fingerprint`` of the model that ran."""
    maps: Maps
    cells: CellTable
    scores: tuple[Score, ...]
    overview_sha256: str = ""
    """``digest`` of the slide's overview, by which the slide is recognised later; empty when none was made."""
    tissue_mm2: float | None = None
    """Area of the tissue on the slide in square millimetres: what shows on a thumbnail, and the ground around nuclei beside it;
    None when it was not looked for."""
    regions: tuple[Region, ...] = ()
    """The parts of the slide that were scored on their own."""
    stains: Stains | None = None
    """Which stains the slide shows, and whether the model knows them; None when they were not looked for."""
    tiles: TileQualities = ()
    """Quality of each inferred tile, with its kept box in pixels of the maps; empty when it was not judged."""
    source: str = ""
    """The input as it was named by the user, such as its path; empty for pixels that never were a file."""
    outline_px: int = OUTLINE_PX
    """Width of the outlines in pictures of the nuclei, in pixels of the picture; at least 1."""
    warnings: tuple[str, ...] = ()
    timings_s: dict[str, float] = field(default_factory=dict)
    """Seconds of wall time per stage: read, network, stitch, cells."""

    def _repr_html_(self) -> str:
        """Return what Jupyter shows: the picture with its nuclei, the scores and the warnings."""
        from counterstain.card import html_card

        return html_card(self.slide, self.cells, self.scores, self.warnings, title=self.slide.name)

    @property
    def population(self) -> Population:
        """All nuclei on the tissue of the slide: what is scored."""
        return Population(cells=self.cells, area_mm2=self.tissue_mm2, resolution=self.slide.resolution)
