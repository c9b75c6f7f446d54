"""Render patches once and keep them in one memory-mapped file, so that training waits for nothing.

Patch ``i`` depends on the options, the images and ``i`` alone: the cache is the same whatever the number of workers.
"""

import hashlib
import json
import multiprocessing
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from counterstain.training.datasets.crops import Annotated, random_crop
from counterstain.training.datasets.folders import read_polygons, read_scenes, read_strips
from counterstain.training.options import DataOptions
from counterstain.training.synthesis.drawing import draw_scene
from counterstain.training.synthesis.render import Sample, render_field
from counterstain.training.synthesis.scenes import Scene, tissue_texture, vary_nuclei, warp_scene

PLANES = {"image": 3, "hematoxylin": 3, "dapi": 1, "lap2": 1, "marker": 1, "classes": 1, "distance": 1}
"""Name -> number of planes, in the order in which a patch stores them."""

RENDERER_VERSION = 3
"""Raised when the same options would render other patches; a cache of another version is made anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Everything patches are made of."""

    tissue: tuple[Scene, ...]
    fluorescence: tuple[Scene, ...]
    polygons: tuple[Annotated, ...]
    strips: tuple[Annotated, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchCache:
    """Patches on disk."""

    planes: NDArray[np.uint8]
    """(n, 11, side, side) uint8, memory-mapped; planes in the order of ``PLANES``."""
    has_modalities: NDArray[np.bool_]
    """(n,)"""

    def __len__(self) -> int:
        return len(self.planes)


def read_training_sources(options: DataOptions) -> Sources:
    """Read all images that may be trained on."""
    root = Path(options.root)
    tissue = read_scenes(root / "dsb2018" / "tissue")
    fields = [
        field for pattern in options.train_fields
        for field in read_polygons(root / "glioma-ki67", pattern=pattern, shrink=options.field_shrink)
    ]  # fmt: skip
    return Sources(
        tissue=tuple(scene for index, scene in enumerate(tissue.values()) if index % options.hold_out_every),
        fluorescence=tuple(read_scenes(root / "dsb2018" / "fluorescence").values()),
        polygons=tuple(fields),
        strips=tuple(read_strips(root / "deepliif-train")),
    )


def read_held_out_scenes(options: DataOptions) -> list[Scene]:
    """Return the tissue tiles that training never sees."""
    tissue = read_scenes(Path(options.root) / "dsb2018" / "tissue")
    return [scene for index, scene in enumerate(tissue.values()) if index % options.hold_out_every == 0]


def render_patch(rng: np.random.Generator, sources: Sources, options: DataOptions) -> Sample:
    """Make one patch of a kind chosen by the mixture."""
    shares = asdict(options.mixture)
    kind = str(rng.choice(list(shares), p=np.array(list(shares.values())) / sum(shares.values())))
    return _MAKERS[kind](rng, sources, options.patch_px)


def _tissue(rng: np.random.Generator, sources: Sources, side: int) -> Sample:
    scene = sources.tissue[rng.integers(len(sources.tissue))]
    return render_field(rng, vary_nuclei(rng, warp_scene(rng, scene, side)))


def _fluorescence(rng: np.random.Generator, sources: Sources, side: int) -> Sample:
    scene = sources.fluorescence[rng.integers(len(sources.fluorescence))]
    varied = vary_nuclei(rng, warp_scene(rng, scene, side))
    return render_field(rng, Scene(density=varied.density + tissue_texture(rng, (side, side)), labels=varied.labels))


def _drawn(rng: np.random.Generator, sources: Sources, side: int) -> Sample:
    scene = draw_scene(rng, side)
    return render_field(rng, vary_nuclei(rng, scene) if rng.random() < 0.6 else scene)


def _polygons(rng: np.random.Generator, sources: Sources, side: int) -> Sample:
    return random_crop(rng, sources.polygons[rng.integers(len(sources.polygons))], side)


def _strips(rng: np.random.Generator, sources: Sources, side: int) -> Sample:
    return random_crop(rng, sources.strips[rng.integers(len(sources.strips))], side)


_MAKERS: dict[str, Callable[[np.random.Generator, Sources, int], Sample]] = {
    "tissue": _tissue,
    "drawn": _drawn,
    "fluorescence": _fluorescence,
    "polygons": _polygons,
    "strips": _strips,
}


def open_cache(options: DataOptions, seed: int) -> PatchCache:
    """Return the patches for these options and images, rendering them first where that was not done yet."""
    folder = Path(options.cache) / _key(options, seed)
    if not folder.exists():
        _render_all(options, seed, folder)
    planes = np.load(folder / "planes.npy", mmap_mode="r")
    return PatchCache(planes=planes, has_modalities=np.load(folder / "has_modalities.npy"))


def _key(options: DataOptions, seed: int) -> str:
    """Return a name for everything that patches depend on; images count by name and size."""
    free = {"root", "cache", "workers", "validation_patches", "validation_fields"}
    chosen = {name: value for name, value in asdict(options).items() if name not in free}
    content = json.dumps([chosen, _image_sizes(options), seed, RENDERER_VERSION], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _image_sizes(options: DataOptions) -> dict[str, int]:
    """Return the bytes of each file that ``read_training_sources`` reads, by its name in ``options.root``."""
    root = Path(options.root)
    patterns = [f"dsb2018/{kind}/{part}/*.png" for kind in ("tissue", "fluorescence") for part in ("images", "labels")]
    patterns += ["deepliif-train/*.png", *(f"glioma-ki67/{pattern}" for pattern in options.train_fields)]
    patterns += [f"glioma-ki67/{Path(pattern).with_suffix('.geojson')}" for pattern in options.train_fields]
    found = {path for pattern in patterns for path in root.glob(pattern)}
    return {path.relative_to(root).as_posix(): path.stat().st_size for path in found}


def _render_all(options: DataOptions, seed: int, folder: Path) -> None:
    """Render under a temporary name, then rename: of two runs at once, the patches of the faster one are used."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{folder.name}-", suffix=".partial", dir=folder.parent) as temporary:
        rendered = Path(temporary) / "patches"
        rendered.mkdir()
        _render_into(options, seed, rendered)
        try:
            rendered.rename(folder)
        except OSError:
            if not folder.exists():
                raise


def _render_into(options: DataOptions, seed: int, folder: Path) -> None:
    shape = (options.patches, sum(PLANES.values()), options.patch_px, options.patch_px)
    np.lib.format.open_memmap(folder / "planes.npy", mode="w+", dtype=np.uint8, shape=shape)
    chunks = np.array_split(np.arange(options.patches), max(1, options.patches // 50))
    context = multiprocessing.get_context("spawn")
    with context.Pool(options.workers, initializer=_start_worker, initargs=(options, seed, folder)) as pool:
        flags = pool.map(_render_chunk, chunks, chunksize=1)
    np.save(folder / "has_modalities.npy", np.concatenate(flags))


_worker: dict[str, object] = {}
"""What a rendering process read at its start, so that it is not sent with every chunk."""


def _start_worker(options: DataOptions, seed: int, folder: Path) -> None:
    _worker.update(options=options, seed=seed, folder=folder, sources=read_training_sources(options))


def _render_chunk(indices: NDArray[np.int64]) -> NDArray[np.bool_]:
    options, sources = _worker["options"], _worker["sources"]
    assert isinstance(options, DataOptions) and isinstance(sources, Sources)  # noqa: S101, PT018 - for the type checker
    planes = np.load(Path(str(_worker["folder"])) / "planes.npy", mmap_mode="r+")
    flags = []
    for index in indices:
        rng = np.random.default_rng([int(str(_worker["seed"])), int(index)])
        sample = render_patch(rng, sources, options)
        planes[index] = to_planes(sample)
        flags.append(sample.has_modalities)
    return np.array(flags)


def to_planes(sample: Sample) -> NDArray[np.uint8]:
    """Return a sample as (11, h, w) uint8 in the order of ``PLANES``."""
    images = [getattr(sample, name) for name in PLANES]
    return np.concatenate([image.transpose(2, 0, 1) if image.ndim == 3 else image[None] for image in images])
