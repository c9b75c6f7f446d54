"""What every training run can be told about its data and its pace.

Options of a task are beside the task; ``recipe`` puts all of them together.
"""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class MixtureOptions:
    """Share of each source among the training patches; they need not add up to 1."""

    tissue: float = 0.37
    """Bright-field tiles with instance masks, stained anew."""
    drawn: float = 0.27
    """Nuclei drawn from nothing."""
    fluorescence: float = 0.08
    """Fluorescence tiles, rendered as hematoxylin."""
    polygons: float = 0.14
    """Real Ki-67 fields with outlined nuclei."""
    strips: float = 0.14
    """Real co-registered sets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataOptions:
    """Where images are and how patches are made of them."""

    root: str = "../shared/data"
    """Folder with ``dsb2018``, ``deepliif-train`` and ``glioma-ki67``; relative to the working directory."""
    cache: str = "runs/cache"
    """Folder for rendered patches; made when it is missing, reused when it was made with the same options from the same images.
    What a killed run leaves here ends in ``.partial``."""
    patches: int = 7000
    """Number of training patches."""
    validation_patches: int = 48
    """Number of patches rendered from tiles that training never sees."""
    patch_px: int = 256
    """Side of a patch; a multiple of 32."""
    mixture: MixtureOptions = field(default_factory=MixtureOptions)
    train_fields: tuple[str, ...] = ("slide1-*.jpg", "slide2-*.jpg")
    """Patterns of the polygon fields to train on."""
    validation_fields: tuple[str, ...] = ("slide3-*.jpg",)
    """Patterns of the polygon fields to validate on: other slides, never other tiles of the same slide."""
    field_shrink: float = 0.4
    """Factor from pixels of the polygon fields to 0.25 um/px."""
    hold_out_every: int = 10
    """Every n-th tissue tile is kept for validation."""
    workers: int = 2
    """Processes that render patches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentOptions:
    """Changes made to each patch each time it is seen, in optical-density space."""

    strength_sigma: float = 0.2
    """Deviation of the logarithm of one factor on all optical densities."""
    colour_sigma: float = 0.08
    """Deviation of the logarithm of a factor per colour channel."""
    shift_sigma: float = 0.015
    """Deviation of an optical density added per colour channel."""
    noise_sigma: float = 0.01
    """Upper limit of the deviation of pixel noise, in units of full scale."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LossOptions:
    """Weight of each term."""

    cross_entropy: float = 1.0
    dice: float = 0.6
    distance: float = 1.0
    modality: float = 4.0
    gradient: float = 2.0
    class_weights: tuple[float, float, float, float] = (0.8, 1.0, 1.6, 1.2)
    """Background, negative, positive, boundary."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedOptions:
    """Real images: co-registered sets, unlabelled IHC, or two unpaired kinds; a manifest lists them."""

    manifest: str = ""
    """TOML or CSV file, relative to the working directory; see ``docs/training.md``."""
    crop_px: int = 512
    """Side of the squares that are cut out; a multiple of what the network asks for."""
    shrink: float = 1.0
    """Factor from pixels of the images to pixels of training."""
    zoom: tuple[float, float] = (1.0, 1.0)
    """Range of random enlargement of a square; the same for the image and all its targets."""
    turn: bool = True
    """Whether squares are turned and flipped at random, an image with all its targets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopOptions:
    """How long and how fast to learn."""

    steps: int = 9000
    """Number of updates."""
    max_minutes: float = 0.0
    """When above 0, the schedule is shortened so that training ends in this time; such runs do not repeat bit for bit."""
    batch: int = 8
    """Samples of one update, per process."""
    learning_rate: float = 2e-3
    """Peak of the schedule."""
    schedule: Literal["cosine", "linear"] = "cosine"
    """``cosine``: half a cosine to 0. ``linear``: constant for the first half, then in a line to 0, as pix2pix trains."""
    warmup_steps: int = 200
    weight_decay: float = 0.02
    """Of the compact network; adversarial networks learn without."""
    ema_decay: float = 0.998
    """Decay of the moving average of the weights; the average is what is validated and exported."""
    gradient_clip: float = 1.0
    """Largest norm of the gradient of one optimizer; 0 clips nothing."""
    precision: str = "bf16-mixed"
    """``32-true``, ``bf16-mixed`` or ``16-mixed``, as Lightning Fabric names them."""
    validate_every: int = 500
    patience: int = 0
    """Stop after this many validations without a better score; 0 never stops early."""
    checkpoint_every: int = 250
    log_every: int = 25
    seed: int = 1
