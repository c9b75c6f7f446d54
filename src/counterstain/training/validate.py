"""How good is a model on images it never saw: rendered ones from held-out tiles, and real fields of another slide."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from counterstain.cells.decoders.base import Decoder, Nuclei
from counterstain.metrics.instances import detection_scores, match_points
from counterstain.metrics.pixels import confusion_matrix, pixel_scores
from counterstain.training.datasets.batches import to_batch
from counterstain.training.datasets.cache import read_held_out_scenes, to_planes
from counterstain.training.datasets.crops import crop
from counterstain.training.datasets.folders import annotate, read_polygons
from counterstain.training.datasets.paired import read_images
from counterstain.training.datasets.set_list import read_set_list
from counterstain.training.options import DataOptions, PairedOptions
from counterstain.training.synthesis.render import Sample, render_field
from counterstain.training.synthesis.scenes import vary_nuclei, warp_scene
from counterstain.training.synthesis.targets import BACKGROUND, BOUNDARY, NEGATIVE, POSITIVE, UNKNOWN

MATCH_DISTANCE_PX = 10.0
_FIELD_CROP_PX = 384

Infer = Callable[[Tensor], dict[str, Tensor]]
"""(n, 3, h, w) RGB in [0, 1] -> ``segmentation`` (n, 3, h, w) and, from some models, ``distance`` (n, 1, h, w)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationScores:
    """Mean over one validation set; all but the last in [0, 1], NaN where the set has nothing of the kind."""

    dice_negative: float
    dice_positive: float
    f1_negative: float
    f1_positive: float
    f1_any: float
    fraction_error: float
    """Absolute error of the positive fraction, in percentage points."""

    @property
    def total(self) -> float:
        """What the best checkpoint is chosen by: the mean of Dice and F1 where there is any, less the fraction error."""
        ratios = np.array([self.dice_negative, self.dice_positive, self.f1_negative, self.f1_positive, self.f1_any])
        ratios = ratios[~np.isnan(ratios)]
        return float(ratios.mean() if ratios.size else 0.0) - self.fraction_error / 100

    def as_dict(self) -> dict[str, float]:
        """Return the numbers by name, the total included."""
        return {field.name: getattr(self, field.name) for field in fields(self)} | {"total": self.total}


def rendered_set(options: DataOptions, seed: int) -> list[Sample]:
    """Render the held-out tiles; the same patches for the same seed."""
    scenes = read_held_out_scenes(options)
    samples = []
    for index in range(options.validation_patches):
        rng = np.random.default_rng([seed, 11, index])
        samples.append(render_field(rng, vary_nuclei(rng, warp_scene(rng, scenes[index % len(scenes)], options.patch_px))))
    return samples


def field_set(options: DataOptions) -> list[Sample]:
    """Divide the validation fields into squares at 0.25 um/px, without overlap."""
    samples = []
    for pattern in options.validation_fields:
        for source in read_polygons(Path(options.root) / "glioma-ki67", pattern=pattern, shrink=options.field_shrink):
            extent = _FIELD_CROP_PX * 1.25 / source.scale[1]
            rows = np.arange(0, source.labels.shape[0] - extent + 1, extent)
            cols = np.arange(0, source.labels.shape[1] - extent + 1, extent)
            samples += [crop(source, (row, col, extent), _FIELD_CROP_PX) for row in rows for col in cols]
    return samples


def listed_set(options: PairedOptions) -> list[Sample]:
    """Divide the validation split of a set list into squares, without overlap; empty when it has none."""
    samples = []
    for found in read_set_list(Path(options.manifest), "validation", ("image", "segmentation")):
        source = annotate(found.name, read_images(found, options.shrink))
        height, width = source.labels.shape
        rows, cols = (range(0, side - options.crop_px + 1, options.crop_px) for side in (height, width))
        samples += [crop(source, (row, col, options.crop_px), options.crop_px) for row in rows for col in cols]
    return samples


def validate(infer: Infer, samples: list[Sample], decoder: Decoder) -> ValidationScores:
    """Score a model on samples.

    Parameters
    ----------
    decoder : that of the bundle which is made of the model, for maps of 0.25 um per pixel.
    """
    confusion = np.zeros((3, 3), np.int64)
    counts = np.zeros((3, 3), np.int64)  # rows: any, negative, positive; columns: matched, true, found
    for sample in samples:
        segmentation, distance = _infer_one(infer, sample)
        confusion += confusion_matrix(*known_classes(sample, segmentation))
        counts += _count_nuclei(sample, decoder(segmentation, distance))
    scores = pixel_scores(confusion)
    f1 = [detection_scores(matched=int(m), truth=int(t), found=int(f)).f1 for m, t, f in counts]
    true_fraction, found_fraction = (counts[2, column] / max(1, counts[0, column]) for column in (1, 2))
    return ValidationScores(
        dice_negative=float(scores.dice[NEGATIVE]),
        dice_positive=float(scores.dice[POSITIVE]),
        f1_negative=f1[1],
        f1_positive=f1[2],
        f1_any=f1[0],
        fraction_error=float(100 * abs(true_fraction - found_fraction)),
    )


@torch.no_grad()
def _infer_one(infer: Infer, sample: Sample) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    batch = to_batch(to_planes(sample)[None], np.array([sample.has_modalities]))
    outputs = infer(batch.image)
    planes = {name: outputs[name][0].float().cpu().numpy() for name in ("segmentation", "distance") if name in outputs}
    return planes["segmentation"].transpose(1, 2, 0), planes["distance"][0] if "distance" in planes else None


def known_classes(sample: Sample, segmentation: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return true and predicted classes of the known pixels, each (1, n) int64; the boundary counts as background.

    Parameters
    ----------
    segmentation : (h, w, 3) float32; a pixel is nuclear when positive and negative together exceed one half.
    """
    known = sample.classes != UNKNOWN
    truth = np.where(sample.classes == BOUNDARY, BACKGROUND, sample.classes)[known]
    positive, negative = segmentation[..., 0], segmentation[..., 2]
    nucleus = np.where(positive >= negative, POSITIVE, NEGATIVE)
    predicted = np.where(positive + negative > 0.5, nucleus, BACKGROUND)[known]
    return truth.astype(np.int64)[None], predicted.astype(np.int64)[None]


def _count_nuclei(sample: Sample, nuclei: Nuclei) -> NDArray[np.int64]:
    """Return (3, 3) int64: any, negative and positive nuclei in the rows; matched, true and found in the columns."""
    centres = _centres(nuclei.labels)
    known = np.array([sample.classes[int(row), int(col)] != UNKNOWN for row, col in centres], bool)
    found, is_positive = centres[known], nuclei.p_positive[known] >= 0.5
    true_labels, _ = ndimage.label(np.isin(sample.classes, (NEGATIVE, POSITIVE)))
    truth = _centres(true_labels)
    truth_positive = ndimage.mean(sample.classes == POSITIVE, true_labels, np.arange(1, true_labels.max() + 1)) >= 0.5
    rows = []
    for choose in (None, False, True):
        a = truth if choose is None else truth[truth_positive == choose]
        b = found if choose is None else found[is_positive == choose]
        rows.append((len(match_points(a, b, MATCH_DISTANCE_PX)), len(a), len(b)))
    return np.array(rows)


def _centres(labels: NDArray[np.integer]) -> NDArray[np.float64]:
    count = int(labels.max())
    if not count:
        return np.zeros((0, 2))
    return np.array(ndimage.center_of_mass(labels > 0, labels, np.arange(1, count + 1))).reshape(-1, 2)
