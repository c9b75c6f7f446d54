"""The ``Backend`` protocol: a batch of images in, named maps out; and the check of what came out."""

import os
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from counterstain.errors import BackendError
from counterstain.inference.bundle import Manifest
from counterstain.panel import Panel

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


def check_outputs(outputs: Outputs, panel: Panel, batch_shape: tuple[int, ...]) -> Outputs:
    """Return the outputs unchanged when they are a full set of maps.

    Raises
    ------
    BackendError
        When a channel is missing, has another shape than the batch asks for, or holds NaN or infinity.
    """
    count, _, height, width = batch_shape
    for channel in panel.channels:
        if channel.name not in outputs:
            raise BackendError(f"the model returned no {channel.name!r}; it returned {sorted(outputs)}")
        values, expected = outputs[channel.name], (count, channel.planes, height, width)
        if values.shape != expected:
            raise BackendError(f"the model's {channel.name!r} has shape {values.shape}, expected {expected}")
        if not np.isfinite(values).all():
            bad = int(np.size(values) - np.isfinite(values).sum())
            raise BackendError(
                f"the model's {channel.name!r} has {bad} values that are NaN or infinite; the weights or the runtime are "
                "broken, check them with: counterstain doctor"
            )
    return outputs


def available_threads() -> int:
    """Return the number of CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
