"""Weights of a composed model for other programs, and to go on training: one safetensors file that also says what it is of."""

import json
from dataclasses import asdict

from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save

from counterstain.errors import Remedy, TrainingError
from counterstain.inference.bundle import Bundle
from counterstain.training.networks.deepliif import DeepLIIFNetwork, DeepLIIFOptions

FILE = "weights.safetensors"

_OPTIONS = "deepliif_options"


def weights_file(network: DeepLIIFNetwork, options: DeepLIIFOptions) -> bytes:
    """Return the content of a safetensors file with the weights and, as metadata, the options of the network."""
    tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    return save(tensors, {_OPTIONS: json.dumps(asdict(options))})


def read_network(bundle: Bundle) -> DeepLIIFNetwork:
    """Build the network of a bundle that holds ``weights.safetensors``, in eval mode.

    Raises
    ------
    TrainingError
        The bundle has no such file, or it does not fit the bundle's panel.
    """
    if FILE not in bundle.weights:
        raise TrainingError(f"the bundle {bundle.source} has no {FILE}", Remedy("make it again", "weights"))
    content = bundle.weights[FILE]
    try:
        options = TypeAdapter(DeepLIIFOptions).validate_json(_metadata(content)[_OPTIONS])
        network = DeepLIIFNetwork(bundle.manifest.panel, options)
        network.load_state_dict(load(content))
    except (SafetensorError, KeyError, ValidationError, ValueError, RuntimeError) as error:
        raise TrainingError(f"{FILE} of {bundle.source} does not fit its manifest: {error}") from error
    return network.eval()


def _metadata(content: bytes) -> dict[str, str]:
    """Return the strings in the header: its length in 8 bytes, then JSON (safetensors has no call for bytes)."""
    length = int.from_bytes(content[:8], "little")
    found: dict[str, str] = json.loads(content[8 : 8 + length]).get("__metadata__", {})
    return found
