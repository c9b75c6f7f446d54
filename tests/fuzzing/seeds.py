"""Good inputs of each kind, as small as the program takes them, made by the writers of libraries and of the other tests."""

import hashlib
import json
import shutil

import numpy as np
import tifffile
import torch
import zarr
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from vendor_slides import write_aperio

from counterstain.inference.bundle import Manifest, write_bundle
from counterstain.panel import SEGMENTATION, Channel, Panel
from counterstain.training.checkpoint import Checkpoint, save_checkpoint
from counterstain.training.networks.deepliif import DeepLIIFNetwork, DeepLIIFOptions
from counterstain.training.networks.layers import GeneratorOptions

MPP = 0.25


def field(side=128):
    """Dark disks on a light ground, brown and blue in turn; (side, side, 3) uint8."""
    rows, cols = np.mgrid[:side, :side]
    image = np.full((side, side, 3), (235, 232, 235), np.uint8)
    image += np.uint8((rows[..., None] * 7 + cols[..., None] * 5) % 8)
    for number, (row, col) in enumerate((row, col) for row in range(24, side, 40) for col in range(24, side, 40)):
        image[(rows - row) ** 2 + (cols - col) ** 2 <= 100] = [(90, 50, 20), (90, 110, 170)][number % 2]
    return image


def png(folder):
    Image.fromarray(field()).save(folder / "a.png", dpi=(101_600, 101_600))


def jpeg(folder):
    Image.fromarray(field()).save(folder / "a.jpg", quality=90, dpi=(25_400, 25_400))


def tiff(folder):
    scale = {"resolution": (1e4 / MPP, 1e4 / MPP), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(folder / "a.tif", field(), photometric="rgb", compression="zlib", rowsperstrip=16, **scale)


def tiled_tiff(folder):
    scale = {"resolution": (1e4 / MPP, 1e4 / MPP), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(folder / "a.tif", field(), photometric="rgb", tile=(32, 32), **scale)


def ome_tiff(folder):
    metadata = {"axes": "YXS", "PhysicalSizeX": MPP, "PhysicalSizeY": MPP, "PhysicalSizeXUnit": "µm", "PhysicalSizeYUnit": "µm"}
    options = {"photometric": "rgb", "tile": (64, 64), "compression": "zlib"}
    with tifffile.TiffWriter(folder / "a.ome.tif") as writer:
        writer.write(field(), subifds=1, metadata=metadata, **options)
        writer.write(field()[::2, ::2], subfiletype=1, **options)


def jpeg_tiff(folder):
    """A pyramid of JPEG tiles, as scanners and converters write."""
    options = {"photometric": "ycbcr", "tile": (32, 32), "compression": "jpeg", "metadata": None}
    with tifffile.TiffWriter(folder / "a.tif") as writer:
        for step in (1, 2):
            scale = {"resolution": (1e4 / MPP / step,) * 2, "resolutionunit": "CENTIMETER"}
            writer.write(field()[::step, ::step], subfiletype=int(step > 1), **scale, **options)


def svs(folder):
    write_aperio(folder / "a", field(), MPP)


def ome_zarr(folder):
    group = zarr.open_group(folder / "a.ome.zarr", mode="w", zarr_format=2)
    axes = [{"name": "c", "type": "channel"}, *({"name": name, "type": "space", "unit": "micrometer"} for name in "yx")]
    scale = [{"type": "scale", "scale": [1, MPP, MPP]}]
    group.attrs["multiscales"] = [
        {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}], "version": "0.4"}
    ]
    planes = field().transpose(2, 0, 1)
    group.create_array("0", shape=planes.shape, dtype=planes.dtype, chunks=(1, 48, 48))[:] = planes


def zipped_zarr(folder):
    ome_zarr(folder)
    shutil.make_archive(str(folder / "a.ome.zarr"), "zip", folder / "a.ome.zarr")
    shutil.rmtree(folder / "a.ome.zarr")


def geojson(folder):
    ring = [[10, 10], [100, 10], [100, 90], [10, 90], [10, 10]]
    hole = [[40, 40], [60, 40], [60, 60], [40, 60], [40, 40]]
    properties = {"objectType": "annotation", "name": "tumour", "classification": {"name": "Tumour", "color": [200, 0, 0]}}
    features = [
        {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring, hole]}, "properties": properties},
        {"type": "Feature", "geometry": {"type": "MultiPolygon", "coordinates": [[hole]]}, "properties": {}},
    ]
    (folder / "a.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))


def boxes(folder):
    (folder / "a.csv").write_text("name,row_px,col_px,height_px,width_px\nleft,0,0,128,60\nright,0,60,128,68\n")


def bundle(folder):
    """A model whose segmentation is brown and blue, so that it finds nuclei."""
    weights = np.array([[-3, 0.5, 2.5], [0, 0, 0], [-3, -3, 3]], np.float32).reshape(3, 3, 1, 1)
    nodes = [
        helper.make_node("Conv", ["image", "weights", "bias"], ["sums"]),
        helper.make_node("Sigmoid", ["sums"], ["segmentation"]),
    ]
    tensors = {"weights": weights, "bias": np.array([-2, -9, 0], np.float32)}
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 4) for name in ("image", "segmentation")]
    graph = helper.make_graph(
        nodes, "g", values[:1], values[1:], [numpy_helper.from_array(value, name) for name, value in tensors.items()]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    manifest = Manifest(
        name="tiny",
        version="1",
        panel=Panel(channels=(SEGMENTATION,)),
        mpp=MPP,
        tile_px=64,
        margin_px=8,
        stride_px=4,
        expected_nuclear_area_um2=(5, 90),
        licence="CC0-1.0",
    )
    write_bundle(folder / "bundle", manifest, {"model.onnx": model.SerializeToString()})


def state_checksums(folder):
    """Write the checksums of a bundle anew, as a stranger would who made its files."""
    path = folder / "bundle" / "manifest.json"
    manifest = json.loads(path.read_text())
    for weight in manifest["weights"]:
        weight["sha256"] = hashlib.sha256((folder / "bundle" / weight["file"]).read_bytes()).hexdigest()
    path.write_text(json.dumps(manifest))


def zipped_bundle(folder):
    bundle(folder)
    shutil.make_archive(str(folder / "bundle"), "zip", folder / "bundle")
    shutil.rmtree(folder / "bundle")


def recipe(folder):
    (folder / "a.toml").write_text(
        'name = "a"\nfolder = "runs"\ntask = "compact"\n\n[data]\nroot = "none"\npatches = 7\nworkers = 1\n\n'
        "[data.mixture]\ntissue = 0.5\n\n[augment]\nnoise_sigma = 0.01\n\n[losses]\ndice = 0.6\n"
        'class_weights = [0.8, 1.0, 1.6, 1.2]\n\n[loop]\nsteps = 9\nbatch = 2\nlearning_rate = 1e-3\nprecision = "32-true"\n'
    )


OPTIONS_TEXT = """
modalities_names: ['IHC', 'DAPI', 'Marker']
modalities_no: 2
background_colors: [(200, 205, 210), (9, 8, 7)]
model: DeepLIIF
net_g: resnet_1blocks
net_gs: unet_32
no_dropout: False
norm: batch
padding: zero
seg_weights: [0.2, 0.3, 0.5]
"""


def published(folder):
    """The smallest model that the published software could have written."""
    panel = Panel(channels=(Channel(name="dapi", planes=3), Channel(name="marker", planes=3), SEGMENTATION), marker="marker")
    options = DeepLIIFOptions(
        translator="resnet_1blocks",
        segmenter="unet_32",
        generator=GeneratorOptions(width=2),
        segmentation_weights=(0.2, 0.3, 0.5),
    )
    network, model = DeepLIIFNetwork(panel, options), folder / "model"
    model.mkdir()
    (model / "train_opt.txt").write_text(OPTIONS_TEXT)
    for letter, first, parts in (("G", 1, network.translators), ("GS", 0, network.segmenters)):
        for number, part in enumerate(parts.values(), start=first):
            torch.save(part.state_dict(), model / f"latest_net_{letter}{number}.pth")


def checkpoint(folder):
    values = {name: torch.zeros(4) for name in ("a", "b")}
    optimizers = {"model": {"state": {}, "param_groups": [{"lr": 0.1}]}}
    state = Checkpoint(step=3, model=values, average=values, others={}, optimizers=optimizers, best_score=0.1, stale=0)
    save_checkpoint(state, folder / "a.pt")
