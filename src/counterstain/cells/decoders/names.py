"""Decoders by name: the one place that lists them."""

from collections.abc import Mapping
from dataclasses import fields

from counterstain.cells.decoders.base import Decoder, Request
from counterstain.cells.decoders.deepliif import PublishedRule
from counterstain.cells.decoders.watershed import Watershed
from counterstain.errors import UsageError
from counterstain.panel import Panel

DECODERS: dict[str, type[Decoder]] = {
    "watershed": Watershed,
    "deepliif": PublishedRule,
}
"""Name, as a bundle and an option call it -> class."""


def decoder_class(name: str) -> type[Decoder]:
    """Return the class of a decoder.

    Raises
    ------
    UsageError
        There is no decoder of that name.
    """
    if name not in DECODERS:
        raise UsageError(f"no decoder {name!r}; expected one of: {', '.join(sorted(DECODERS))}")
    return DECODERS[name]


def decoder_for(
    name: str, panel: Panel, mpp: float, *, min_area_um2: float | None = None, settings: Mapping[str, float] | None = None
) -> Decoder:
    """Return the decoder of a name for the maps of a model.

    Parameters
    ----------
    panel : of the model, with a segmentation channel.
    mpp : micrometres per pixel of the maps.
    min_area_um2 : smaller nuclei are dropped; None leaves the limit to the decoder.
    settings : those that the decoder alone reads; None takes their defaults.

    Raises
    ------
    UsageError
        There is no decoder of that name, or a setting is out of range.
    """
    segmentation = panel.of_role("segmentation")
    reach_um = segmentation.reach_um if segmentation else 0.0
    request = Request(mpp=mpp, reach_um=reach_um, min_area_um2=min_area_um2, settings=settings or {})
    return decoder_class(name).made_for(request)


def setting_faults(name: str, settings: Mapping[str, float]) -> list[str]:
    """Return what is wrong with the settings of a decoder: names that it does not have, values out of range."""
    known = {field.name for field in fields(decoder_class(name).settings_class)}
    unknown = [
        f"the decoder {name} has no setting {setting!r}; known here: {', '.join(sorted(known)) or 'none'}"
        for setting in settings
        if setting not in known
    ]
    try:
        decoder_class(name).settings_class(**{setting: value for setting, value in settings.items() if setting in known})
    except UsageError as error:
        return [*unknown, str(error)]
    return unknown
