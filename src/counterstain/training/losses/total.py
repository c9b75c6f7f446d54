"""The weighted sum of all terms of the compact network, each reported by name."""

from torch import Tensor, tensor

from counterstain.training.datasets.batches import Batch
from counterstain.training.losses.segmentation import cross_entropy, distance_error, soft_dice
from counterstain.training.losses.translation import gradient_error, smooth_l1
from counterstain.training.options import LossOptions

_NUCLEAR_CLASSES = (1, 2, 3)


def loss_terms(outputs: dict[str, Tensor], batch: Batch, options: LossOptions) -> dict[str, Tensor]:
    """Return each weighted term as a scalar; their sum is what training lowers."""
    logits, classes = outputs["class_logits"], batch.classes
    weights = tensor(options.class_weights, device=logits.device)
    terms = {
        "cross_entropy": options.cross_entropy * cross_entropy(logits, classes, weights),
        "dice": options.dice * soft_dice(logits, classes, _NUCLEAR_CLASSES),
        "distance": options.distance * distance_error(outputs["distance"], batch.distance, classes),
    }
    for name, true in batch.modalities.items():
        terms[name] = options.modality * smooth_l1(outputs[name], true, batch.has_modalities)
        terms[name] = terms[name] + options.gradient * gradient_error(outputs[name], true, batch.has_modalities)
    return terms
