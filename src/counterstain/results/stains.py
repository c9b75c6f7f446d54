"""What a record says of the stains of an image."""

from counterstain.images import Stain
from counterstain.inference.bundle import Manifest
from counterstain.results.part import Part
from counterstain.tiling.stains import HEMATOXYLIN_AND_DAB, Hue, Stains, Verdict, stain_warning


class StainsRecord(Part):
    """Which stains the image shows, and which ones the model knows."""

    verdict: Verdict
    reason: str
    known_to_model: tuple[str, ...]
    hues: tuple[Hue, ...]
    counterstain_od: Stain | None
    chromogen_od: Stain | None
    stained_share: float
    chromogen_share: float
    background_rgb: tuple[int, int, int]

    def stains(self) -> Stains:
        """Return what was seen."""
        return Stains(
            verdict=self.verdict,
            hues=self.hues,
            reason=self.reason,
            background=self.background_rgb,
            stained_share=self.stained_share,
            chromogen_share=self.chromogen_share,
            counterstain_od=self.counterstain_od,
            chromogen_od=self.chromogen_od,
        )

    def warnings(self) -> tuple[str, ...]:
        """Return what to tell people; nothing when the stains are as they should be."""
        warning = stain_warning(self.stains(), self.known_to_model)
        return (warning,) if warning else ()


def stains_record(stains: Stains, manifest: Manifest) -> dict[str, object]:
    """Return what a ``StainsRecord`` holds, as JSON's own types."""
    return {
        "verdict": stains.verdict,
        "reason": stains.reason,
        "known_to_model": manifest.stains,
        "hues": stains.hues,
        "counterstain_od": stains.counterstain_od,
        "chromogen_od": stains.chromogen_od,
        "stained_share": stains.stained_share,
        "chromogen_share": stains.chromogen_share,
        "background_rgb": stains.background,
    }


def unsaid_stains(manifest: Manifest) -> set[str]:
    """Return the keys of a manifest that a record leaves out: its stains, where they are those that a missing key means."""
    return {"stains"} if manifest.stains == HEMATOXYLIN_AND_DAB else set()
