"""What every training run can be told about its data and its pace.

Options of a task are beside the task; ``recipe`` puts all of them together. Ranges are those in which training makes sense,
and wide: a value outside is a typing error. They are checked where a recipe is read, all at once.
"""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field

from counterstain.options import Count, Finite, Line, Weight

PATCH_STRIDE_PX = 32
"""Sides of rendered patches are multiples of it."""

Zoom = Annotated[Finite, Field(ge=0.05, le=20)]

Side = Annotated[int, Field(ge=16, le=8192)]
"""Of a square, in pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MixtureOptions:
    """Share of each source among the training patches; they need not add up to 1."""

    counterstained: Weight = 0.38
    """H&E tiles of many organs with outlined nuclei, whose hematoxylin is stained anew."""
    tissue: Weight = 0.15
    """Bright-field tiles of one purple stain with instance masks, stained anew."""
    drawn: Weight = 0.15
    """Nuclei drawn from nothing."""
    fluorescence: Weight = 0.06
    """Fluorescence tiles, rendered as hematoxylin."""
    polygons: Weight = 0.13
    """Real Ki-67 fields with outlined nuclei."""
    strips: Weight = 0.13
    """Real co-registered sets."""

    def __post_init__(self) -> None:
        if not any((self.counterstained, self.tissue, self.drawn, self.fluorescence, self.polygons, self.strips)):
            raise ValueError("every share is 0; at least one kind of patch must have one")


@dataclass(frozen=True, slots=True, kw_only=True)
class DataOptions:
    """Where images are and how patches are made of them."""

    root: Line = "../shared/data"
    """Folder with ``nuinsseg``, ``tnbc``, ``dsb2018``, ``deepliif-train`` and ``glioma-ki67``; relative to the working
    directory."""
    cache: Line = "runs/cache"
    """Folder for rendered patches; made when it is missing, reused when it was made with the same options from the same images.
    What a killed run leaves here ends in ``.partial``."""
    patches: Annotated[int, Field(ge=1, le=10_000_000)] = 7000
    """Number of training patches."""
    validation_patches: Annotated[int, Field(ge=0, le=100_000)] = 48
    """Number of patches rendered from tiles that training never sees."""
    patch_px: Annotated[int, Field(ge=32, le=8192, multiple_of=PATCH_STRIDE_PX)] = 256
    """Side of a patch; a multiple of 32."""
    mixture: MixtureOptions = field(default_factory=MixtureOptions)
    train_fields: tuple[str, ...] = ("slide1-*.jpg", "slide2-*.jpg")
    """Patterns of the polygon fields to train on."""
    validation_fields: tuple[str, ...] = ("slide3-*.jpg",)
    """Patterns of the polygon fields to validate on: other slides, never other tiles of the same slide."""
    field_shrink: Annotated[Finite, Field(ge=0.01, le=100)] = 0.4
    """Factor from pixels of the polygon fields to 0.25 um/px."""
    hold_out_every: Annotated[int, Field(ge=2, le=1_000_000)] = 10
    """Every n-th tissue tile is kept for validation."""
    nuinsseg_mpp: Annotated[Finite, Field(ge=0.05, le=2)] = 0.2
    """Micrometres per pixel of ``nuinsseg``, judged by the size of its nuclei."""
    nuinsseg_held_out: tuple[tuple[int, int], ...] = ((150, 184), (500, 534))
    """Runs of tile numbers, first and last, kept for validation: tiles of one organ follow each other."""
    tnbc_held_out: tuple[str, ...] = ("03", "11")
    """Patients of ``tnbc``, the first part of a tile's name, kept for validation."""
    workers: Annotated[int, Field(ge=1, le=256)] = 2
    """Processes that render patches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentOptions:
    """Changes made to each patch each time it is seen, in optical-density space."""

    strength_sigma: Annotated[Finite, Field(ge=0, le=10)] = 0.25
    """Deviation of the logarithm of one factor on all optical densities."""
    colour_sigma: Annotated[Finite, Field(ge=0, le=10)] = 0.1
    """Deviation of the logarithm of a factor per colour channel."""
    shift_sigma: Annotated[Finite, Field(ge=0, le=10)] = 0.03
    """Deviation of an optical density added per colour channel."""
    veil_share: Annotated[Finite, Field(ge=0, le=1)] = 0.25
    """Share of the patches that get a grey veil, as a dirty or thick slide has."""
    veil_od: Annotated[Finite, Field(ge=0, le=2)] = 0.18
    """Largest optical density of that veil."""
    noise_sigma: Annotated[Finite, Field(ge=0, le=10)] = 0.01
    """Upper limit of the deviation of pixel noise, in units of full scale."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LossOptions:
    """Weight of each term."""

    cross_entropy: Weight = 1.0
    dice: Weight = 0.6
    distance: Weight = 1.0
    modality: Weight = 4.0
    gradient: Weight = 2.0
    class_weights: tuple[Weight, Weight, Weight, Weight] = (0.9, 1.2, 1.2, 1.2)
    """Background, negative, positive, boundary."""

    def __post_init__(self) -> None:
        if not any(self.class_weights):
            raise ValueError("every one of class_weights is 0; at least one class must count")
        if not any((self.cross_entropy, self.dice, self.distance, self.modality, self.gradient)):
            raise ValueError("the weight of every loss is 0; there is nothing to learn")


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedOptions:
    """Real images: co-registered sets, unlabelled IHC, or two unpaired kinds, listed in a file."""

    manifest: str = ""
    """TOML or CSV file, relative to the working directory; see ``docs/training.md``."""
    crop_px: Side = 512
    """Side of the squares that are cut out; a multiple of what the network asks for."""
    shrink: Annotated[Finite, Field(ge=0.01, le=100)] = 1.0
    """Factor from pixels of the images to pixels of training."""
    zoom: tuple[Zoom, Zoom] = (1.0, 1.0)
    """Range of random enlargement of a square; the same for the image and all its targets."""
    turn: bool = True
    """Whether squares are turned and flipped at random, an image with all its targets."""

    def __post_init__(self) -> None:
        if self.zoom[0] > self.zoom[1]:
            raise ValueError(f"zoom must be a range, the smaller number first, got {list(self.zoom)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopOptions:
    """How long and how fast to learn."""

    steps: Count = 9000
    """Number of updates."""
    max_minutes: Annotated[Finite, Field(ge=0, le=1e7)] = 0.0
    """When above 0, the schedule is shortened so that training ends in this time; such runs do not repeat bit for bit."""
    batch: Annotated[int, Field(ge=1, le=65_536)] = 8
    """Samples of one update, per process."""
    learning_rate: Annotated[Finite, Field(gt=0, le=100)] = 2e-3
    """Peak of the schedule."""
    schedule: Literal["cosine", "linear"] = "cosine"
    """``cosine``: half a cosine to 0. ``linear``: constant for the first half, then in a line to 0, as pix2pix trains."""
    warmup_steps: Annotated[int, Field(ge=0, le=1_000_000_000)] = 200
    weight_decay: Annotated[Finite, Field(ge=0, le=10)] = 0.02
    """Of the compact network; adversarial networks learn without."""
    ema_decay: Annotated[Finite, Field(ge=0, lt=1)] = 0.998
    """Decay of the moving average of the weights; the average is what is validated and exported."""
    gradient_clip: Weight = 1.0
    """Largest norm of the gradient of one optimizer; 0 clips nothing."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "bf16-mixed"
    """``32-true``, ``bf16-mixed`` or ``16-mixed``, as Lightning Fabric names them."""
    validate_every: Count = 500
    patience: Annotated[int, Field(ge=0, le=1_000_000_000)] = 0
    """Stop after this many validations without a better score; 0 never stops early."""
    checkpoint_every: Count = 250
    log_every: Count = 25
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
