"""The ``Task`` protocol: what the loop needs to know of something that can be learned."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn
from torch.optim import Optimizer

from counterstain.geometry import DEFAULT_MPP
from counterstain.inference.bundle import Manifest
from counterstain.panel import Panel
from counterstain.training.synthesis.render import Sample
from counterstain.training.validate import Infer

Step = tuple[str, dict[str, Tensor]]
"""Name of the network that learns next, and the weighted terms of its loss; their sum is lowered."""


EXPECTED_NUCLEAR_AREA_UM2 = (15.0, 90.0)
"""The range in which the median nuclear area of an image normally lies, in square micrometres."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A model that was learned, in the form in which a bundle runs it, and what its manifest says of it."""

    network: nn.Module
    """In evaluation mode: (n, 3, h, w) RGB in [-1, 1] -> each channel of the panel in order, (n, planes, h, w) in [0, 1]."""
    panel: Panel
    decoder: str
    """Name of what cuts its maps into nuclei."""
    tile_px: int
    margin_px: int
    stride_px: int

    def manifest(self, *, name: str, version: str, licence: str, training_data: tuple[str, ...] = ()) -> Manifest:
        """Return the manifest of the bundle."""
        return Manifest(
            name=name,
            version=version,
            panel=self.panel,
            mpp=DEFAULT_MPP,
            tile_px=self.tile_px,
            margin_px=self.margin_px,
            stride_px=self.stride_px,
            decoder=self.decoder,
            expected_nuclear_area_um2=EXPECTED_NUCLEAR_AREA_UM2,
            licence=licence,
            training_data=training_data,
        )


class Task(Protocol):
    """Something to learn. It owns networks and optimizers; the loop trains them."""

    networks: dict[str, nn.Module]
    """By name. The one called ``model`` is averaged, validated and exported; the others help to train it."""
    optimizers: dict[str, Optimizer]
    """One for each network, of the same name."""

    def batches(self, start: int, rank: int) -> Iterator[Any]:
        """Return batches for ever, from that of step ``start``; the ``rank`` of a process makes them differ between processes.

        A batch has ``to(device)``. Opening the data happens here, so that it happens once.
        """

    def steps(self, networks: Mapping[str, nn.Module], batch: Any) -> Iterator[Step]:
        """Yield the losses of one update in the order in which networks learn.

        The loop updates the named network before it asks for the next, so a later loss sees the networks as the earlier ones
        left them.

        Parameters
        ----------
        networks : those of the task, as the loop has wrapped them for precision and for several processes.
        """

    def infer(self, network: nn.Module) -> Infer:
        """Return what a copy of ``model``, in evaluation mode, infers from RGB images in [0, 1]; all maps in [0, 1]."""

    def example(self, batch: Any) -> Tensor:
        """Return the (n, 3, h, w) images in [0, 1] of a batch, for pictures."""

    def validation(self) -> dict[str, list[Sample]]:
        """Return named sets of images to validate on; empty when there are none."""

    def exported(self, network: nn.Module) -> Exported:
        """Return what a bundle of ``model``, or of a copy of it, is made of.

        Raises
        ------
        TrainingError
            No bundle can be made of what is learned.
        """
