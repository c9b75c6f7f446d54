"""The ``Backend`` protocol: a batch of images in, named maps out."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from counterstain.inference.bundle import Manifest

Outputs = dict[str, NDArray[np.float32]]
"""Channel name -> (n, c, h, w) float32 in [0, 1]."""


class Backend(Protocol):
    """Something that runs a model. Results do not depend on how images are grouped into batches."""

    @property
    def manifest(self) -> Manifest:
        """What the model reads and writes."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the bundle's manifest and weights, or the name and version of a weightless model."""

    def run(self, batch: NDArray[np.float32]) -> Outputs:
        """Infer all channels of the panel.

        Parameters
        ----------
        batch : (n, 3, h, w) float32 RGB in [0, 1]; h and w are multiples of ``manifest.stride_px``.

        Returns
        -------
        For each channel of the panel (n, planes, h, w) float32 in [0, 1].
        """
