"""The composed model of DeepLIIF (Ghahremani et al., 2022).

One generator infers each modality from the input. One segments the input and one each inferred modality; the segmentation is
the weighted sum of theirs. Generators whose weight is 0 do not exist.
"""

import math
from dataclasses import dataclass, field
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from counterstain.options import Finite
from counterstain.panel import Panel
from counterstain.training.networks.layers import GeneratorOptions, check_sides
from counterstain.training.networks.names import generator

MAX_MODALITIES = 10

PAPER_WEIGHTS = (0.25, 0.15, 0.25, 0.1, 0.25)
"""Of the segmentations of the input, hematoxylin, DAPI, LAP2 and the marker."""

INPUT = "input"
PART = "segmentation_from_"
"""Prefix of the outputs that hold the segmentation from one source: ``segmentation_from_input``, ``segmentation_from_dapi``."""

_IMAGE_PLANES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepLIIFOptions:
    """Which generators make up the model."""

    translator: str | tuple[str, ...] = "resnet_9blocks"
    """Published name of the generator of every modality, or one name each."""
    segmenter: str | tuple[str, ...] = "unet_512"
    """Published name of the generator of every segmentation, or one name each, the input's first."""
    generator: GeneratorOptions = field(default_factory=GeneratorOptions)
    inputs: Annotated[int, Field(ge=1, le=10)] = 1
    """Number of input images, stacked plane by plane."""
    segmentation_weights: tuple[Finite, ...] | None = None
    """Of the segmentation of the input and of each modality, in the order of the panel; they add up to 1. None takes those of
    the paper for four modalities, and equal ones for another number."""


def segmentation_weights(panel: Panel, options: DeepLIIFOptions) -> dict[str, float]:
    """Return the weight of each source of the segmentation, ``input`` first, those of 0 left out; empty without segmentation.

    Raises
    ------
    ValueError
        Their number does not fit the panel, one is negative or not finite, or they do not add up to 1.
    """
    if not any(channel.role == "segmentation" for channel in panel.channels):
        return {}
    sources = [INPUT, *(channel.name for channel in panel.modalities)]
    weights = options.segmentation_weights
    if weights is None:
        weights = PAPER_WEIGHTS if len(sources) == len(PAPER_WEIGHTS) else (1 / len(sources),) * len(sources)
    if len(weights) != len(sources):
        raise ValueError(f"expected {len(sources)} segmentation weights, for {sources}, got {len(weights)}")
    if not all(0 <= weight <= 1 for weight in weights) or not math.isclose(sum(weights), 1, abs_tol=1e-3):
        raise ValueError(f"segmentation weights must be in [0, 1] and add up to 1, got {list(weights)}")
    return {source: weight for source, weight in zip(sources, weights, strict=True) if weight}


class DeepLIIFNetwork(nn.Module):
    """All generators together.

    Parameters
    ----------
    panel : its modalities, 0 to 10 of any number of planes, and whether there is a segmentation. Distance channels are refused.
    options : architecture and weights.

    Attributes
    ----------
    translators : modality -> generator, by name.
    segmenters : source (``input`` or a modality) -> generator.
    weights : source -> weight in the segmentation.
    stride_px : sides of the input must be multiples of it.

    Raises
    ------
    ValueError
        The panel or the options cannot be built.
    """

    def __init__(self, panel: Panel, options: DeepLIIFOptions) -> None:
        super().__init__()
        _check_panel(panel)
        self.weights = segmentation_weights(panel, options)
        planes = {channel.name: channel.planes for channel in panel.modalities}
        planes_in, build = _IMAGE_PLANES * options.inputs, options.generator
        translators = _one_each(options.translator, len(planes), "translator")
        self.translators = nn.ModuleDict(
            {name: generator(kind, planes_in, planes[name], build) for name, kind in zip(planes, translators, strict=True)}
        )
        sources = {INPUT: planes_in, **planes}
        segmenters = dict(zip(sources, _one_each(options.segmenter, len(sources), "segmenter"), strict=True))
        self.segmenters = nn.ModuleDict(
            {name: generator(segmenters[name], sources[name], _IMAGE_PLANES, build) for name in self.weights}
        )
        used = [*self.translators.values(), *self.segmenters.values()]
        self.stride_px = math.lcm(*(int(network.stride_px) for network in used))  # type: ignore[arg-type]

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Infer all modalities and the segmentation.

        Parameters
        ----------
        image : (n, 3 * inputs, h, w) float in [-1, 1]; h and w are multiples of ``stride_px``.

        Returns
        -------
        Modalities by name, (n, planes, h, w); with a segmentation also ``segmentation`` and its parts
        ``segmentation_from_...``, (n, 3, h, w). All in [-1, 1].
        """
        check_sides(image, multiple=self.stride_px)
        outputs: dict[str, Tensor] = {name: network(image) for name, network in self.translators.items()}
        read = {INPUT: image, **outputs}
        parts = {name: network(read[name]) for name, network in self.segmenters.items()}
        if parts:
            outputs["segmentation"] = torch.stack([self.weights[name] * part for name, part in parts.items()]).sum(dim=0)
        return outputs | {PART + name: part for name, part in parts.items()}


def _check_panel(panel: Panel) -> None:
    if len(panel.modalities) > MAX_MODALITIES:
        raise ValueError(f"at most {MAX_MODALITIES} modalities, got {len(panel.modalities)}")
    names = {channel.name for channel in panel.modalities}
    if INPUT in names:
        raise ValueError(f"no modality may be called {INPUT!r}")
    others = [channel for channel in panel.channels if channel.role != "modality"]
    for channel in others:
        if channel.role != "segmentation" or channel.name != "segmentation" or channel.planes != _IMAGE_PLANES:
            raise ValueError(f"the model infers no channel like {channel}; expected modalities and SEGMENTATION")
    if not panel.channels:
        raise ValueError("the panel is empty: there is nothing to infer")


def _one_each(names: str | tuple[str, ...], count: int, kind: str) -> tuple[str, ...]:
    if isinstance(names, str):
        return (names,) * count
    if len(names) != count:
        raise ValueError(f"expected one {kind} or {count} of them, got {len(names)}")
    return names
