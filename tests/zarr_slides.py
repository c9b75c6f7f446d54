"""OME-Zarr images as programs write them."""

import zipfile

import numpy as np
import zarr

MPP = 0.25


def tissue(height=101, width=131):
    rows, cols = np.mgrid[:height, :width]
    return np.uint8(np.stack([rows + 100, cols + 60, 180 + 40 * np.sin(rows / 9)], axis=-1))


def attributes(version, *, axes="cyx", steps=(1, 2, 4), scale=(MPP, MPP), unit="micrometer", **more):
    kinds = {"c": "channel", "t": "time"}
    described = [{"name": axis, "type": kinds.get(axis, "space")} | ({"unit": unit} if axis in "yx" else {}) for axis in axes]
    sides = {"y": scale[0], "x": scale[1]}
    datasets = [
        {
            "path": str(number),
            "coordinateTransformations": [{"type": "scale", "scale": [sides.get(axis, 1) * step for axis in axes]}],
        }
        for number, step in enumerate(steps)
    ]
    multiscales = [{"axes": described, "datasets": datasets, "version": version}]
    content = {"multiscales": multiscales, **more}
    return content if version == "0.4" else {"ome": {"version": version, **content}}


def write_image(group, version, image, *, axes="cyx", steps=(1, 2, 4), chunk=48, shards=False, changes=None, **options):
    """Write the levels and attributes of one image into a group."""
    described = attributes(version, axes=axes, steps=steps, **options)
    group.attrs.update(described if changes is None else changes(described))
    for number, step in enumerate(steps):
        level = np.einsum(f"yxc->{axes.translate({ord('t'): None, ord('z'): None})}", image[::step, ::step])
        level = np.expand_dims(level, [number for number, axis in enumerate(axes) if axis in "tz"])
        chunks = tuple(chunk if axis in "yx" else 1 for axis in axes)
        sharding = (
            {"shards": tuple(2 * chunk if axis in "yx" else length for axis, length in zip(axes, level.shape, strict=True))}
            if shards
            else {}
        )
        array = group.create_array(str(number), shape=level.shape, dtype=level.dtype, chunks=chunks, **sharding)
        array[:] = level


def write(path, version="0.4", image=None, **options):
    group = zarr.open_group(path, mode="w", zarr_format=2 if version == "0.4" else 3)
    write_image(group, version, tissue() if image is None else image, **options)
    return path


def zipped(folder):
    path = folder.with_name(folder.name + ".zip")
    with zipfile.ZipFile(path, "w") as file:
        for part in sorted(folder.rglob("*")):
            if part.is_file():
                file.write(part, part.relative_to(folder))
    return path
