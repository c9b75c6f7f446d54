"""Run a composed model in PyTorch, eagerly, as a ``Backend``: to compare with, to teach, and on a GPU.

Bundles run in ONNX Runtime; analysing a slide never needs this.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from counterstain.inference.backend import Outputs, check_outputs
from counterstain.inference.bundle import Manifest
from counterstain.training.networks.deepliif import DeepLIIFNetwork


class TorchBackend:
    """A ``Backend`` over a network in memory.

    Parameters
    ----------
    network : in eval mode, on any device.
    manifest : says what its outputs are.
    """

    def __init__(self, network: DeepLIIFNetwork, manifest: Manifest) -> None:
        self.manifest = manifest
        self.fingerprint = f"{manifest.name}-{manifest.version}-in-memory"
        self._network = network.eval()

    @torch.no_grad()
    def run(self, batch: NDArray[np.float32]) -> Outputs:
        """Infer all channels; see ``Backend.run``."""
        device = next(self._network.parameters()).device
        inferred = self._network((torch.from_numpy(batch).to(device) - 0.5) / 0.5)
        names = [channel.name for channel in self.manifest.panel.channels]
        outputs = {name: ((inferred[name] + 1) / 2).float().cpu().numpy() for name in names}
        return check_outputs(outputs, self.manifest.panel, batch.shape)
