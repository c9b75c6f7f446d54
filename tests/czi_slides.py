"""CZI files (ZEISS), as small as their readers take them, after the public description of the format.

A file is a chain of segments: a header, tiles of all levels ("subblocks"), a directory that repeats where each tile lies, the
metadata, and attachments, of which the label is one.
"""

import io
import struct
import uuid

import imagecodecs
import numpy as np
from conformance.slide import LABEL
from PIL import Image

UNCOMPRESSED, JPEG_XR = 0, 4
TILE = 64

_KINDS = {"Gray8": (0, 1), "Bgr24": (3, 3)}
"""Number of a type of pixels, and its components."""

_JXR_RGB, _JXR_BGR = (bytes.fromhex(f"24c3dd6f034efe4bb1853d77768dc9{last}") for last in ("0d", "0c"))
"""Names of the order of colours in a JPEG XR stream. CZI has blue first, imagecodecs writes red first."""


def write_czi(
    path, image, mpp, *, sides=None, compression=JPEG_XR, corner=(0, 0), steps=(1, 2), gap=None, pixels="Bgr24", other=None
):
    """Write a slide and return its path.

    Parameters
    ----------
    image : (h, w, 3) uint8 RGB; of each channel of grey pixels, one component.
    mpp, sides : micrometres per pixel, and down and across where these differ; None states none.
    corner : row and column of the first pixel on the stage.
    gap : number of a tile that is left out on each level.
    pixels : ``Bgr24``, or ``Gray8`` for three channels apart.
    other : another scene, 5000 pixels to the left.
    """
    content, entries = bytearray(_segment(b"ZISRAWFILE", bytes(512))), []
    scenes = [(image, corner)] if other is None else [(other, (corner[0], corner[1] - 5000)), (image, corner)]
    for scene, (part, (top, left)) in enumerate(scenes):
        for step, channel, row, col, tile in _tiles(part, steps, pixels, gap):
            places = [("X", left + col * step, tile.shape[1] * step, tile.shape[1])]
            places += [("Y", top + row * step, tile.shape[0] * step, tile.shape[0])]
            places += [("C", channel, 1, 1), ("M", len(entries), 1, 1), ("S", scene, 1, 1)]
            entry = _entry(len(content), places, compression, pixels, is_smaller=step > 1)
            data = _packed(tile, compression)
            head = struct.pack("<iiq", 0, 0, len(data)) + entry
            content += _segment(b"ZISRAWSUBBLOCK", head.ljust(max(256, len(head)), b"\0") + data)
            entries.append(entry)
    directory = len(content)
    content += _segment(b"ZISRAWDIRECTORY", struct.pack("<i124x", len(entries)) + b"".join(entries))
    metadata = len(content)
    text = _metadata(image.shape, sides or (mpp and (mpp, mpp)), pixels)
    content += _segment(b"ZISRAWMETADATA", struct.pack("<ii248x", len(text), 0) + text)
    attachments = _add_label(content)
    identity = uuid.UUID(int=2).bytes
    header = struct.pack("<iiii16s16siqqiq", 1, 0, 0, 0, identity, identity, 0, directory, metadata, 0, attachments)
    content[32 : 32 + len(header)] = header
    path.write_bytes(content)
    return path


def _tiles(image, steps, pixels, gap):
    channels = [image] if pixels == "Bgr24" else [image[..., channel] for channel in range(3)]
    for step in steps:
        for channel, plane in enumerate(channels):
            level = plane[::step, ::step]
            places = [(row, col) for row in range(0, level.shape[0], TILE) for col in range(0, level.shape[1], TILE)]
            for number, (row, col) in enumerate(places):
                if number != gap:
                    yield step, channel, row, col, np.ascontiguousarray(level[row : row + TILE, col : col + TILE])


def _segment(name, data):
    size = -(-len(data) // 32) * 32
    return name.ljust(16, b"\0") + struct.pack("<qq", size, len(data)) + data.ljust(size, b"\0")


def _entry(position, places, compression, pixels, *, is_smaller):
    head = struct.pack("<2siqiiB5xi", b"DV", _KINDS[pixels][0], position, 0, compression, int(is_smaller), len(places))
    return head + b"".join(
        struct.pack("<4siifi", name.encode(), start, size, start, stored) for name, start, size, stored in places
    )


def _packed(tile, compression):
    if compression == JPEG_XR:
        return imagecodecs.jpegxr_encode(tile).replace(_JXR_RGB, _JXR_BGR)
    return (tile[..., ::-1] if tile.ndim == 3 else tile).tobytes()


def _metadata(shape, sides, pixels):
    kind = f"<PixelType>{pixels}</PixelType><ComponentBitCount>8</ComponentBitCount>"
    channels = 1 if pixels == "Bgr24" else 3
    listed = "".join(f'<Channel Id="Channel:{number}" Name="Channel {number}">{kind}</Channel>' for number in range(channels))
    scaling = "".join(
        f'<Distance Id="{axis}"><Value>{side * 1e-6:.12g}</Value></Distance>'
        for axis, side in zip("YX", sides or (), strict=False)
    )
    return (
        f'<?xml version="1.0"?><ImageDocument><Metadata><Information><Image>{kind}<SizeX>{shape[1]}</SizeX>'
        f"<SizeY>{shape[0]}</SizeY><SizeC>{channels}</SizeC><Dimensions><Channels>{listed}</Channels></Dimensions></Image>"
        f"</Information><Scaling><Items>{scaling}</Items></Scaling></Metadata></ImageDocument>"
    ).encode()


def _add_label(content):
    """Append the label and the directory of attachments, and return where that lies."""
    label = io.BytesIO()
    Image.fromarray(np.full((40, 60, 3), LABEL, np.uint8)).save(label, "JPEG", quality=100, subsampling=0)
    entry = struct.pack("<2s10xqi16s8s80s", b"A1", len(content), 0, uuid.UUID(int=1).bytes, b"JPG", b"Label")
    content += _segment(b"ZISRAWATTACH", struct.pack("<i12x", label.tell()) + entry + bytes(112) + label.getvalue())
    directory = len(content)
    content += _segment(b"ZISRAWATTDIR", struct.pack("<i252x", 1) + entry)
    return directory
