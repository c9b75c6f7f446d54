"""Read a model of the published DeepLIIF software: a folder of checkpoints and ``train_opt.txt``.

Nothing in the folder is executed: options are read as literals, weights as tensors. Generators whose weight in the
segmentation is 0 are not read.
"""

import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from counterstain.errors import TrainingError
from counterstain.panel import DEFAULT_PANEL, SEGMENTATION, Channel, Colour, Panel
from counterstain.training.importing.options_file import read_options
from counterstain.training.importing.torchscript import read_torchscript
from counterstain.training.networks.deepliif import INPUT, DeepLIIFNetwork, DeepLIIFOptions, segmentation_weights
from counterstain.training.networks.layers import GeneratorOptions

MAX_NUMBER = 1e9
"""No option of a network is larger; one that is, or is not a number, comes from a damaged file."""

MODELS = ("DeepLIIF", "DeepLIIFKD")
"""Kinds of published models that have this architecture."""

DEFAULT_NAMES = ("Hema", "DAPI", "Lap2", "Marker")
OLD_WEIGHTS = (0.5, 0.0, 0.0, 0.0, 0.5)
"""What the published command uses for four modalities whose options do not name them, as those of the released models."""

DEFAULT_BACKGROUNDS: tuple[Colour, ...] = ((201, 211, 208), (10, 10, 10), (0, 0, 0), (10, 10, 10))
"""What the published software returns for empty tiles of the four default modalities; black for others."""

_FIRST_WEIGHTS = ("model.1.weight", "model.model.0.weight", "Conv1.conv.0.weight")
_RUNNING = ("running_mean", "running_var", "num_batches_tracked")
_NORMS, _PADDINGS, _UPSAMPLES = ("batch", "instance", "none"), ("zero", "reflect"), ("convtranspose", "resize_conv")
_SYNONYMS = {"hema": "hematoxylin", "hematoxylin": "hematoxylin"}

State = dict[str, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedModel:
    """A published model, ready to run."""

    network: DeepLIIFNetwork
    """In eval mode."""
    panel: Panel
    options: DeepLIIFOptions
    backgrounds: dict[str, Colour]
    """Modality -> what the published software returns for an empty tile."""
    files: tuple[str, ...]
    """Names of the weight files that were read."""


def read_deepliif(folder: Path, *, epoch: str = "latest", weights: tuple[float, ...] | None = None) -> ImportedModel:
    """Build the model of a folder.

    Parameters
    ----------
    folder : with ``train_opt.txt`` and, for each generator, ``EPOCH_net_NAME.pth`` or the TorchScript file ``NAME.pt``.
    epoch : which checkpoints to take.
    weights : of the segmentations of the input and of each modality; None takes those of the options, and where the options
        do not name the modalities, those that the published command takes.

    Raises
    ------
    TrainingError
        A file is missing, damaged or hostile, the options describe something else, or the weights do not fit them.
    """
    stored = read_options(folder)
    panel, count = _panel(stored), len(_names(stored))
    try:
        needed = segmentation_weights(panel, DeepLIIFOptions(segmentation_weights=weights or _weights(stored, count)))
    except (ValueError, TypeError) as error:
        raise TrainingError(f"{folder}: {error}") from error
    paths = _files(folder, panel, list(needed), epoch)
    states = {name: read_weights(path) for name, path in paths.items()}
    options = _options(stored, next(iter(states.values()), {}), weights or _weights(stored, count))
    return ImportedModel(
        network=_network(panel, options, states, folder),
        panel=panel,
        options=options,
        backgrounds=_backgrounds(stored, panel),
        files=tuple(path.name for path in paths.values()),
    )


def read_weights(path: Path) -> State:
    """Return the weights of a ``.pth`` or TorchScript file without running statistics and without the prefix ``module.``.

    Raises
    ------
    TrainingError
        The file holds anything but tensors.
    """
    if _is_torchscript(path):
        content: Any = read_torchscript(path)
    else:
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:
            raise TrainingError(f"{path} is not a file of weights alone, and is not read further: {error}") from error
    if not isinstance(content, Mapping) or not all(_is_weight(*entry) for entry in content.items()):
        raise TrainingError(f"{path} does not hold a table of tensors; expected the weights of one generator")
    return {name.removeprefix("module."): value for name, value in content.items() if not name.endswith(_RUNNING)}


def _is_weight(name: object, value: object) -> bool:
    return isinstance(name, str) and isinstance(value, Tensor)


def _is_torchscript(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("constants.pkl") for name in archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):  # what it is instead, its reader says
        return False


def _names(stored: Mapping[str, Any]) -> list[str]:
    """Return the published names of the modalities.

    Raises
    ------
    TrainingError
        The number of modalities, or their names, make no sense, or the model is of another kind.
    """
    if stored.get("model") not in MODELS:
        raise TrainingError(f"the options say model: {stored.get('model')}; expected one of {', '.join(MODELS)}")
    if int(_number(stored, "input_no", 1)) != 1:
        raise TrainingError(f"the model reads {stored['input_no']} images at once; a bundle reads one")
    count = int(_number(stored, "modalities_no", _number(stored, "targets_no", 5) - 1))
    names = stored.get("modalities_names")
    if names and (not isinstance(names, list) or len(names) != count + 1):
        raise TrainingError(f"expected the input and {count} modalities in modalities_names, got {names!r}")
    if names:
        return [str(name) for name in names[1:]]
    return list(DEFAULT_NAMES) if count == len(DEFAULT_NAMES) else [f"mod{number}" for number in range(1, count + 1)]


def _panel(stored: Mapping[str, Any]) -> Panel:
    published = _names(stored)
    known = {channel.name: channel.title for channel in DEFAULT_PANEL.channels}
    names = [_SYNONYMS.get(name.lower(), re.sub(r"[^a-z0-9_]+", "_", name.lower()).strip("_")) for name in published]
    marker = next((name for name, title in zip(names, published, strict=True) if title.endswith("Marker")), None)
    segmentation = (SEGMENTATION,) if stored.get("seg_gen", True) else ()
    try:
        channels = [
            Channel(name=name, planes=3, title=known.get(name, title)) for name, title in zip(names, published, strict=True)
        ]
        return Panel(channels=(*channels, *segmentation), marker=marker)
    except ValueError as error:
        raise TrainingError(f"modalities_names {published} cannot be channels: {error}") from error


def _weights(stored: Mapping[str, Any], modalities: int) -> tuple[float, ...] | None:
    if "modalities_names" not in stored and modalities == len(DEFAULT_NAMES):
        return OLD_WEIGHTS
    found = stored.get("seg_weights")
    return tuple(float(weight) for weight in found) if isinstance(found, list | tuple) and found else None


def _files(folder: Path, panel: Panel, sources: list[str], epoch: str) -> dict[str, Path]:
    """Return the file of each generator: modalities by name, segmentations as ``segmentation of SOURCE``."""
    modalities = [channel.name for channel in panel.modalities]
    paths = {name: _file(folder, [f"G{number}"], epoch) for number, name in enumerate(modalities, start=1)}
    prefix = f"G{len(modalities) + 1}"  # of the released models: G51 to G55 beside G1 to G4
    first = 0 if _candidates(folder, f"{prefix}0", epoch) else 1
    for number, source in enumerate([INPUT, *modalities]):
        if source in sources:
            paths[_segmentation_of(source)] = _file(folder, [f"GS{number}", f"{prefix}{number + first}"], epoch)
    return paths


def _segmentation_of(source: str) -> str:
    return f"segmentation of {source}"


def _file(folder: Path, names: list[str], epoch: str) -> Path:
    """Return the first file of a generator of one of these names.

    Raises
    ------
    TrainingError
        There is none.
    """
    found = [path for name in names for path in _candidates(folder, name, epoch)]
    if not found:
        expected = [f"{epoch}_net_{name}.pth or {name}.pt" for name in names]
        raise TrainingError(f"{folder} has no weights of a generator; expected {', or '.join(expected)}")
    return found[0]


def _candidates(folder: Path, name: str, epoch: str) -> list[Path]:
    return [path for path in (folder / f"{epoch}_net_{name}.pth", folder / f"{name}.pt") if path.is_file()]


def _options(stored: Mapping[str, Any], state: State, weights: tuple[float, ...] | None) -> DeepLIIFOptions:
    """Return the architecture; the width is that of the weights, since the published software does not store it reliably."""
    first = next((state[name] for name in _FIRST_WEIGHTS if name in state), None)
    return DeepLIIFOptions(
        translator=_architecture(stored.get("net_g", stored.get("netG", "resnet_9blocks"))),
        segmenter=_architecture(stored.get("net_gs", "unet_512")),
        generator=GeneratorOptions(
            width=GeneratorOptions().width if first is None else int(first.shape[0]),
            norm=_one_of(stored, "norm", _NORMS),
            padding=_one_of(stored, "padding", _PADDINGS),
            upsample=_one_of(stored, "upsample", _UPSAMPLES),
            dropout=not stored.get("no_dropout", False),
        ),
        segmentation_weights=weights,
    )


def _architecture(value: Any) -> str | tuple[str, ...]:
    names = [str(name) for name in value] if isinstance(value, list | tuple) else [str(value)]
    return names[0] if len(set(names)) == 1 else tuple(names)


def _one_of(stored: Mapping[str, Any], key: str, known: tuple[str, ...]) -> Any:
    value = stored.get(key, known[0])
    value = "none" if value is None else value  # the text None is read as the value
    if value not in known:
        raise TrainingError(f"the options say {key}: {value}; expected one of {', '.join(known)}")
    return value


def _number(stored: Mapping[str, Any], key: str, default: float) -> float:
    value = stored.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < MAX_NUMBER:
        raise TrainingError(f"the options say {key}: {value}; expected a number")
    return value


def _network(panel: Panel, options: DeepLIIFOptions, states: dict[str, State], folder: Path) -> DeepLIIFNetwork:
    try:
        network = DeepLIIFNetwork(panel, options)
        for name, generator in network.translators.items():
            generator.load_state_dict(states[name])
        for source, generator in network.segmenters.items():
            generator.load_state_dict(states[_segmentation_of(source)])
    except (ValueError, RuntimeError) as error:
        raise TrainingError(f"the weights in {folder} do not fit its options: {error}") from error
    return network.eval()


def _backgrounds(stored: Mapping[str, Any], panel: Panel) -> dict[str, Colour]:
    names = [channel.name for channel in panel.modalities]
    colours: Any = stored.get("background_colors")
    if not isinstance(colours, list) or len(colours) != len(names):
        colours = DEFAULT_BACKGROUNDS if len(names) == len(DEFAULT_BACKGROUNDS) else [(0, 0, 0)] * len(names)
    try:
        return {name: (int(red), int(green), int(blue)) for name, (red, green, blue) in zip(names, colours, strict=True)}
    except (TypeError, ValueError) as error:
        raise TrainingError(f"background_colors {colours} are not colours") from error


def model_card(model: ImportedModel) -> str:
    """Return a page that says what was imported."""
    weights = "\n".join(f"| {source} | {weight:g} |" for source, weight in model.network.weights.items())
    colours = "\n".join(f"| {name} | {colour} |" for name, colour in model.backgrounds.items())
    return (
        "# A model of the published DeepLIIF software\n\n"
        "Imported by Counterstain. The weights and their licence are those of their authors (Ghahremani et al., Nature Machine "
        "Intelligence 4 (2022) 401-412).\n\n"
        f"Files: {', '.join(model.files)}.\n\nOptions: `{model.options}`.\n\n"
        f"| segmentation of | weight |\n|---|---|\n{weights}\n\n"
        f"| modality | published colour of empty tiles |\n|---|---|\n{colours}\n"
    )
