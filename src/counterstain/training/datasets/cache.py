"""Render patches once and keep them in one memory-mapped file, so that training waits for nothing.

Patch ``i`` depends on the options, the images and ``i`` alone: the cache is the same whatever the number of workers.
"""

import hashlib
import json
import multiprocessing
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from counterstain.errors import TrainingError
from counterstain.geometry import DEFAULT_MPP
from counterstain.training.datasets.crops import Annotated, random_crop
from counterstain.training.datasets.folders import read_counterstained, read_polygons, read_scenes, read_strips
from counterstain.training.options import DataOptions
from counterstain.training.synthesis.drawing import draw_scene
from counterstain.training.synthesis.render import Sample, render_field
from counterstain.training.synthesis.scenes import Scene, tissue_texture, vary_nuclei, warp_scene

PLANES = {"image": 3, "hematoxylin": 3, "dapi": 1, "lap2": 1, "marker": 1, "classes": 1, "distance": 1}
"""Name -> number of planes, in the order in which a patch stores them."""

RENDERER_VERSION = 5
"""Raised when the same options would render other patches; a cache of another version is made anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Everything patches are made of."""

    counterstained: tuple[Scene, ...]
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
    """Read all images that may be trained on.

    Raises
    ------
    TrainingError
        Images are missing or damaged, or none is left to train on.
    """
    root = Path(options.root)
    tissue = read_scenes(root / "dsb2018" / "tissue")
    fields = [
        field for pattern in options.train_fields
        for field in read_polygons(root / "glioma-ki67", pattern=pattern, shrink=options.field_shrink)
    ]  # fmt: skip
    learned = tuple(scene for index, scene in enumerate(tissue.values()) if index % options.hold_out_every)
    if not learned:
        raise TrainingError(f"{root / 'dsb2018' / 'tissue'} has one tile, which is held out for validation; expected more")
    return Sources(
        counterstained=tuple(scene for scene, held_out in _counterstained_scenes(options) if not held_out),
        tissue=learned,
        fluorescence=tuple(read_scenes(root / "dsb2018" / "fluorescence").values()),
        polygons=tuple(fields),
        strips=tuple(read_strips(root / "deepliif-train")),
    )


def read_held_out_scenes(options: DataOptions) -> list[Scene]:
    """Return the tiles that training never sees: tissue tiles, whole organs and whole patients, in turn."""
    tissue = read_scenes(Path(options.root) / "dsb2018" / "tissue")
    plain = [scene for index, scene in enumerate(tissue.values()) if index % options.hold_out_every == 0]
    return [*plain, *(scene for scene, held_out in _counterstained_scenes(options) if held_out)]


def _counterstained_scenes(options: DataOptions) -> list[tuple[Scene, bool]]:
    """Return the H&E tiles that show a nucleus, each with whether it is held out; none where the mixture has none."""
    if not options.mixture.counterstained:
        return []
    root = Path(options.root)
    runs, patients = options.nuinsseg_held_out, options.tnbc_held_out
    many = read_counterstained(root / "nuinsseg", mpp=options.nuinsseg_mpp)
    breast = read_counterstained(root / "tnbc", mpp=DEFAULT_MPP)
    found = [(scene, any(first <= int(name) <= last for first, last in runs)) for name, scene in many.items()]
    found += [(scene, name.split("_")[0] in patients) for name, scene in breast.items()]
    return [(scene, held_out) for scene, held_out in found if scene.labels.any()]


def render_patch(rng: np.random.Generator, sources: Sources, options: DataOptions) -> Sample:
    """Make one patch of a kind chosen by the mixture."""
    shares = asdict(options.mixture)
    kind = str(rng.choice(list(shares), p=np.array(list(shares.values())) / sum(shares.values())))
    return _MAKERS[kind](rng, sources, options.patch_px)


def _counterstained(rng: np.random.Generator, sources: Sources, side: int) -> Sample:
    scene = sources.counterstained[rng.integers(len(sources.counterstained))]
    return render_field(rng, vary_nuclei(rng, warp_scene(rng, scene, side)))


def _tissue(rng: np.random.Generator, sources: Sources, side: int) -> Sample:
    scene = sources.tissue[rng.integers(len(sources.tissue))]
    return render_field(rng, vary_nuclei(rng, warp_scene(rng, scene, side)))


def _fluorescence(rng: np.random.Generator, sources: Sources, side: int) -> Sample:
    scene = sources.fluorescence[rng.integers(len(sources.fluorescence))]
    varied = vary_nuclei(rng, warp_scene(rng, scene, side))
    return render_field(rng, replace(varied, density=varied.density + tissue_texture(rng, (side, side))))


def _drawn(rng: np.random.Generator, sources: Sources, side: int) -> Sample:
    scene = draw_scene(rng, side)
    return render_field(rng, vary_nuclei(rng, scene) if rng.random() < 0.6 else scene)


def _polygons(rng: np.random.Generator, sources: Sources, side: int) -> Sample:
    return random_crop(rng, sources.polygons[rng.integers(len(sources.polygons))], side)


def _strips(rng: np.random.Generator, sources: Sources, side: int) -> Sample:
    return random_crop(rng, sources.strips[rng.integers(len(sources.strips))], side)


_MAKERS: dict[str, Callable[[np.random.Generator, Sources, int], Sample]] = {
    "counterstained": _counterstained,
    "tissue": _tissue,
    "drawn": _drawn,
    "fluorescence": _fluorescence,
    "polygons": _polygons,
    "strips": _strips,
}


def open_cache(options: DataOptions, seed: int) -> PatchCache:
    """Return the patches for these options and images, rendering them first where that was not done yet.

    Raises
    ------
    TrainingError
        Images are missing or damaged, the disk has no room, or a rendering process was ended.
    """
    folder = Path(options.cache) / _key(options, seed)
    try:
        if not folder.exists():
            _render_all(options, seed, folder)
        planes = np.load(folder / "planes.npy", mmap_mode="r")
        return PatchCache(planes=planes, has_modalities=np.load(folder / "has_modalities.npy"))
    except (OSError, ValueError, EOFError) as error:
        raise TrainingError(f"cannot keep or read patches in {folder}: {error}; remove it, or set data.cache") from error


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
    patterns += [f"{kind}/{part}" for kind in ("nuinsseg", "tnbc") for part in ("images/*.jpg", "labels/*.png")]
    patterns += ["deepliif-train/*.png", *(f"glioma-ki67/{pattern}" for pattern in options.train_fields)]
    patterns += [f"glioma-ki67/{Path(pattern).with_suffix('.geojson')}" for pattern in options.train_fields]
    found = {path for pattern in patterns for path in root.glob(pattern)}
    return {path.relative_to(root).as_posix(): path.stat().st_size for path in found}


def _render_all(options: DataOptions, seed: int, folder: Path) -> None:
    """Render under a temporary name, then rename: of two runs at once, the patches of the faster one are used."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    _check_room(options, folder.parent)
    read_training_sources(options)  # what is wrong with the images ends this before any process starts
    with tempfile.TemporaryDirectory(prefix=f"{folder.name}-", suffix=".partial", dir=folder.parent) as temporary:
        rendered = Path(temporary) / "patches"
        rendered.mkdir()
        _render_into(options, seed, rendered)
        try:
            rendered.rename(folder)
        except OSError:
            if not folder.exists():
                raise


def _check_room(options: DataOptions, folder: Path) -> None:
    needed = options.patches * sum(PLANES.values()) * options.patch_px**2
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise TrainingError(
            f"{options.patches:,} patches of {options.patch_px} px take {needed / 1e9:.1f} GB, and the disk of {folder} has "
            f"{free / 1e9:.1f} GB left; set fewer data.patches, or data.cache to another disk"
        )


def _render_into(options: DataOptions, seed: int, folder: Path) -> None:
    shape = (options.patches, sum(PLANES.values()), options.patch_px, options.patch_px)
    np.lib.format.open_memmap(folder / "planes.npy", mode="w+", dtype=np.uint8, shape=shape)
    chunks = np.array_split(np.arange(options.patches), max(1, options.patches // 50))
    flags = list(_in_processes(partial(_render_chunk, options, seed, folder), chunks, options.workers))
    np.save(folder / "has_modalities.npy", np.concatenate(flags))


def _in_processes(
    work: Callable[[NDArray[np.int64]], NDArray[np.bool_]], chunks: list[NDArray[np.int64]], workers: int
) -> Iterator[NDArray[np.bool_]]:
    """Yield what processes make of chunks, in order; the first error ends all of them with its own message.

    Raises
    ------
    TrainingError
        A process was ended from outside.
    """
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
    try:
        yield from pool.map(work, chunks)
    except BrokenProcessPool as error:
        raise TrainingError(
            "a process that renders patches was ended by the system, perhaps for want of memory; set fewer data.workers"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


@lru_cache(maxsize=1)
def _sources(options: DataOptions) -> Sources:
    """Read the images once in each process."""
    return read_training_sources(options)


def _render_chunk(options: DataOptions, seed: int, folder: Path, indices: NDArray[np.int64]) -> NDArray[np.bool_]:
    sources = _sources(options)
    planes = np.load(folder / "planes.npy", mmap_mode="r+")
    flags = []
    for index in indices:
        rng = np.random.default_rng([seed, int(index)])
        sample = render_patch(rng, sources, options)
        planes[index] = to_planes(sample)
        flags.append(sample.has_modalities)
    return np.array(flags)


def to_planes(sample: Sample) -> NDArray[np.uint8]:
    """Return a sample as (11, h, w) uint8 in the order of ``PLANES``."""
    images = [getattr(sample, name) for name in PLANES]
    return np.concatenate([image.transpose(2, 0, 1) if image.ndim == 3 else image[None] for image in images])
