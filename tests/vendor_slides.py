"""Files in the formats of scanner vendors, as small as OpenSlide takes them, after the public descriptions of the formats.

Each writer takes a path without suffix, an RGB image whose sides are multiples of 64 and micrometres per pixel, and returns the
path to open. The second level has every second pixel. Labels and overviews have the colour ``LABEL``.
"""

import base64
import io
import struct

import numpy as np
import tifffile
from conformance.slide import LABEL
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

TILE = 32
STEPS = (1, 2)
LEICA_CORNER, LEICA_SIZE = (16, 32), (192, 256)
"""(row, col) of the scanned part on the glass, and (height, width) of the glass, in pixels."""


def associated(height=40, width=60):
    return np.full((height, width, 3), LABEL, np.uint8)


def jpeg(image):
    """Encode with restart markers, by which OpenSlide finds tiles in the large JPEGs of Hamamatsu."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=100, subsampling=0, restart_marker_rows=1)
    return buffer.getvalue()


def per_cm(mpp):
    return {"resolution": (1e4 / mpp, 1e4 / mpp), "resolutionunit": "CENTIMETER"}


def write_aperio(stem, image, mpp):
    path = stem.with_suffix(".svs")
    options = {"photometric": "rgb", "compression": "zlib", "metadata": None}
    text = "Aperio Image Library v1\r\n"
    with tifffile.TiffWriter(path) as writer:
        for step in STEPS:
            description = f"{text}192x128 [0,0 192x128] (32x32)|AppMag = 20|MPP = {mpp}"
            writer.write(image[::step, ::step], tile=(TILE, TILE), description=description, **options)
        for name, kind in (("label", 1), ("macro", 9)):
            description = f"{text}{name} 60x40"
            writer.write(associated(), rowsperstrip=40, description=description, subfiletype=kind, **options)
    return path


def write_leica(stem, image, mpp):
    """The view of the macro covers the whole glass, that of the slide a part of it; both in nanometres."""
    path, pages = stem.with_suffix(".scn"), [associated(), *(image[::step, ::step] for step in STEPS)]
    (top, left), (height, width) = LEICA_CORNER, LEICA_SIZE

    def described(numbers, row, col, size):
        view = dict(zip(("sizeY", "sizeX", "offsetY", "offsetX"), (*size, row, col), strict=True))
        levels = "".join(
            f'<dimension sizeX="{pages[page].shape[1]}" sizeY="{pages[page].shape[0]}" r="{number}" ifd="{page}"/>'
            for number, page in enumerate(numbers)
        )
        first = pages[numbers[0]].shape
        return (
            f'<image name="i"><pixels sizeX="{first[1]}" sizeY="{first[0]}">{levels}</pixels><view '
            + " ".join(f'{name}="{value * mpp * 1000:.0f}"' for name, value in view.items())
            + "/><scanSettings><objectiveSettings><objective>20</objective></objectiveSettings><illuminationSettings>"
            "<illuminationSource>brightfield</illuminationSource></illuminationSettings></scanSettings></image>"
        )

    text = (
        '<?xml version="1.0"?><scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01">'
        f'<collection name="c" sizeX="{width * mpp * 1000:.0f}" sizeY="{height * mpp * 1000:.0f}">'
        f"{described([0], 0, 0, LEICA_SIZE)}{described([1, 2], top, left, image.shape[:2])}</collection></scn>"
    )
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        for page, step, description in zip(pages, (1, *STEPS), (text, None, None), strict=True):
            options = {"photometric": "rgb", "tile": (16, 16), "compression": "zlib", "metadata": None}
            writer.write(page, description=description, **options, **per_cm(mpp * step))
    return path


def write_philips(stem, image, mpp):
    path = stem.with_suffix(".tiff")

    def attribute(name, value):
        return f'<Attribute Name="{name}" Group="0x301D" Element="0x1004" PMSVR="IString">{value}</Attribute>'

    def array(name, content):
        head = f'<Attribute Name="{name}" Group="0x301D" Element="0x1003" PMSVR="IDataObjectArray">'
        return f"{head}<Array>{content}</Array></Attribute>"

    def item(kind, content):
        return f'<DataObject ObjectType="{kind}">{content}</DataObject>'

    def spacing(step):
        return attribute("DICOM_PIXEL_SPACING", " ".join([f"&quot;{mpp * step / 1000:.9f}&quot;"] * 2))

    data = attribute("PIM_DP_IMAGE_DATA", base64.b64encode(jpeg(associated())).decode())
    others = [attribute("PIM_DP_IMAGE_TYPE", kind) + data for kind in ("LABELIMAGE", "MACROIMAGE")]
    levels = "".join(item("PixelDataRepresentation", spacing(step)) for step in STEPS)
    slide = attribute("PIM_DP_IMAGE_TYPE", "WSI") + spacing(1) + array("PIIM_PIXEL_DATA_REPRESENTATION_SEQUENCE", levels)
    images = "".join(item("DPScannedImage", content) for content in (*others, slide))
    text = f'<?xml version="1.0" encoding="UTF-8" ?>{item("DPUfsImport", array("PIM_DP_SCANNED_IMAGES", images))}'
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        for step, description in zip(STEPS, (text, None), strict=True):
            options = {"photometric": "rgb", "tile": (16, 16), "compression": "zlib", "metadata": None}
            page = {"description": description, "software": "Philips DP v1.0", "subfiletype": int(step > 1)}
            writer.write(image[::step, ::step], **options, **page)
    return path


def write_trestle(stem, image, mpp):
    """Trestle writes micrometres per pixel where TIFF has pixels per unit."""
    path = stem.with_suffix(".tif")
    text = "Background Color=E6E6E6;White Balance=C7BDB9;Objective Power=20;JPEG Quality=70;OverlapsXY= 0 0 0 0"
    with tifffile.TiffWriter(path) as writer:
        for step in STEPS:
            options = {"photometric": "rgb", "tile": (16, 16), "compression": "zlib", "metadata": None}
            writer.write(image[::step, ::step], description=text, software="MedScan 1.0", resolution=(mpp, mpp), **options)
    return path


def write_ventana(stem, image, mpp):
    """Tiles are joined without overlap, and numbered as the stage moves: from below, every second row from the right."""
    path, (rows, cols) = stem.with_suffix(".bif"), (side // TILE for side in image.shape[:2])

    def number(row, col):
        above = rows - 1 - row
        return above * cols + (cols - 1 - col if above % 2 else col) + 1

    def joint(direction, one, other):
        tiles = f'Direction="{direction}" Tile1="{one}" Tile2="{other}"'
        return f'<TileJointInfo FlagJoined="1" Confidence="99" {tiles} OverlapX="0" OverlapY="0"/>'

    joints = [joint("RIGHT", number(row, col), number(row, col + 1)) for row in range(rows) for col in range(cols - 1)]
    joints += [joint("UP", number(row + 1, col), number(row, col)) for row in range(rows - 1) for col in range(cols)]
    area = f'NumRows="{rows}" NumCols="{cols}" Pos-X="0" Pos-Y="0"'
    stitched = (
        f'<EncodeInfo Ver="2"><SlideInfo><AoiInfo XIMAGESIZE="{TILE}" YIMAGESIZE="{TILE}" {area}/></SlideInfo>'
        f'<SlideStitchInfo><ImageInfo AOIScanned="1" AOIIndex="0" Width="{TILE}" Height="{TILE}" {area}>{"".join(joints)}'
        '</ImageInfo></SlideStitchInfo><AoiOrigin><AOI0 OriginX="0" OriginY="0"/></AoiOrigin></EncodeInfo>'
    )
    scan = f'<iScan Magnification="20" ScanRes="{mpp}" UnitNumber="1"><AOI0 Left="0" Top="0" Right="1" Bottom="1"/></iScan>'
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        writer.write(associated(), photometric="rgb", description="Label_Image", metadata=None, extratags=[_xmp(scan)])
        for level, step in enumerate(STEPS):
            options = {"photometric": "rgb", "compression": "jpeg", "compressionargs": {"level": 100}, "subsampling": (1, 1)}
            page = {
                "description": f"level={level} mag={20 // step} quality=100",
                "extratags": [] if level else [_xmp(stitched)],
            }
            writer.write(image[::step, ::step], tile=(TILE, TILE), metadata=None, **options, **page)
    return path


def _xmp(text):
    return 700, 1, len(text), text.encode(), True


def write_hamamatsu_ndpi(stem, image, mpp):
    """Pages are single JPEGs; the private tag 65421 has the objective, -1 for the macro."""
    path = stem.with_suffix(".ndpi")
    levels = [(image[::step, ::step], 20 / step, mpp * step) for step in STEPS]
    with tifffile.TiffWriter(path, byteorder="<") as writer:
        for page, objective, page_mpp in (*levels, (associated(), -1.0, 100.0)):
            numbers = [(65420, 4, 1, 1, True), (65421, 11, 1, objective, True)]
            offsets = [(tag, 9, 1, 0, True) for tag in (65422, 65423, 65424)]
            options = {"photometric": "ycbcr", "subsampling": (1, 1), "compression": "jpeg", "metadata": None}
            shape = {"shape": page.shape, "dtype": np.uint8, "rowsperstrip": page.shape[0]}
            tags = [*numbers, *offsets, (65427, 2, 0, "reference", True)]
            writer.write(iter([jpeg(page)]), extratags=tags, **options, **shape, **per_cm(page_mpp))
    return path


def write_hamamatsu_vms(stem, image, mpp):
    """An index of JPEG files; smaller levels come from the file of the map and from decoding at a part of the size."""
    path, (height, width) = stem.with_suffix(".vms"), image.shape[:2]
    for name, page in (("image", image), ("map", image[::4, ::4]), ("macro", associated())):
        stem.with_name(f"{stem.name}_{name}.jpg").write_bytes(jpeg(page))
    path.write_text(
        "[Virtual Microscope Specimen]\nNoLayers=1\nNoJpegColumns=1\nNoJpegRows=1\nSourceLens=20\n"
        f"ImageFile={stem.name}_image.jpg\nMapFile={stem.name}_map.jpg\nMacroImage={stem.name}_macro.jpg\n"
        f"PhysicalWidth={width * mpp * 1000:.0f}\nPhysicalHeight={height * mpp * 1000:.0f}\n"
    )
    return path


def write_mirax(stem, image, mpp):
    """Beside a ``.mrxs``, which is a JPEG of the overview, a folder: an ini, a file of tiles, and lists of where each lies."""
    path, folder, identity = stem.with_suffix(".mrxs"), stem, "0" * 32
    folder.mkdir()
    path.write_bytes(jpeg(associated()))
    rows, cols = (side // TILE for side in image.shape[:2])
    head = b"01.02" + identity.encode()
    data, lists = bytearray(head), []
    for step in STEPS:
        level, entries = image[::step, ::step], []
        for row, col in np.ndindex(rows // step, cols // step):
            tile = io.BytesIO()
            Image.fromarray(level[row * TILE :, col * TILE :][:TILE, :TILE]).save(tile, "PNG")
            entries.append(((row * cols + col) * step, len(data), tile.tell(), 0))
            data += tile.getvalue()
        lists.append([number for entry in entries for number in entry])
    macro = jpeg(associated())
    lists.append([0, 0, len(data), len(macro), 0])
    (folder / "Data0000.dat").write_bytes(data + macro)
    (folder / "Index.dat").write_bytes(_mirax_index(head, lists))
    (folder / "Slidedat.ini").write_text(_mirax_ini(identity, rows, cols, mpp))
    return path


def _mirax_index(head, lists):
    """The places of the two tables of lists, the places of the lists, then each list: empty first page, and one with all."""
    table = len(head) + 8
    body, places = b"", []
    for numbers in lists:
        place = table + 4 * len(lists) + len(body)
        places.append(place)
        count = len(numbers) // 4
        body += struct.pack(f"<{4 + len(numbers)}i", 0, place + 8, count, 0, *numbers)
    return head + struct.pack(f"<{2 + len(places)}i", table, table + 4 * len(STEPS), *places) + body


def _mirax_ini(identity, rows, cols, mpp):
    general = {"SLIDE_VERSION": "01.02", "SLIDE_ID": identity, "IMAGENUMBER_X": cols, "IMAGENUMBER_Y": rows}
    general |= {"OBJECTIVE_MAGNIFICATION": 20, "CameraImageDivisionsPerSide": 1}
    tree = {"HIER_COUNT": 1, "NONHIER_COUNT": 1, "INDEXFILE": "Index.dat", "HIER_0_NAME": "Slide zoom level"}
    tree |= {"HIER_0_COUNT": len(STEPS), "HIER_0_SECTION": "S"}
    tree |= {"NONHIER_0_NAME": "Scan data layer", "NONHIER_0_COUNT": 1, "NONHIER_0_VAL_0": "ScanDataLayer_SlideThumbnail"}
    sections = {"GENERAL": general, "HIERARCHICAL": tree | {"NONHIER_0_VAL_0_SECTION": "M"}}
    sections |= {"M": {"THUMBNAIL_IMAGE_TYPE": "JPEG"}, "DATAFILE": {"FILE_COUNT": 1, "FILE_0": "Data0000.dat"}}
    for level, step in enumerate(STEPS):
        tree |= {f"HIER_0_VAL_{level}": f"ZoomLevel_{level}", f"HIER_0_VAL_{level}_SECTION": f"L{level}"}
        section = dict.fromkeys(("OVERLAP_X", "OVERLAP_Y"), 0) | {"IMAGE_FORMAT": "PNG", "IMAGE_FILL_COLOR_BGR": 16777215}
        section |= dict.fromkeys(("MICROMETER_PER_PIXEL_X", "MICROMETER_PER_PIXEL_Y"), mpp * step)
        section |= dict.fromkeys(("DIGITIZER_WIDTH", "DIGITIZER_HEIGHT"), TILE) | {"IMAGE_CONCAT_FACTOR": min(level, 1)}
        sections |= {f"L{level}": section}
    sections["HIERARCHICAL"] |= tree
    lines = [[f"[{name}]", *(f"{key}={value}" for key, value in section.items())] for name, section in sections.items()]
    return "\n".join(line for section in lines for line in section) + "\n"


def write_dicom(stem, image, mpp):
    """One file per level and one for the label, in tiles without compression."""
    stem.mkdir()
    shared = {name: generate_uid() for name in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")}
    levels = [(f"{step}.dcm", image[::step, ::step], "VOLUME", step) for step in STEPS]
    for name, page, kind, step in (*levels, ("label.dcm", associated(TILE, TILE), "LABEL", 1)):
        _dicom(page, kind, mpp * step / 1000, step, shared).save_as(stem / name, enforce_file_format=True)
    return stem / "1.dcm"


def _dicom(page, kind, spacing_mm, step, shared):
    height, width = page.shape[:2]
    file = Dataset()
    values = shared | {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.77.1.6",
        "SOPInstanceUID": generate_uid(),
        "Modality": "SM",
        "ImageType": ["ORIGINAL", "PRIMARY", kind, "NONE" if step == 1 else "RESAMPLED"],
        "PhotometricInterpretation": "RGB",
        "SamplesPerPixel": 3,
        "DimensionOrganizationType": "TILED_FULL",
        "NumberOfOpticalPaths": 1,
        "TotalPixelMatrixFocalPlanes": 1,
        "TotalPixelMatrixRows": height,
        "TotalPixelMatrixColumns": width,
        "NumberOfFrames": height * width // TILE**2,
    }
    values |= dict.fromkeys(("Rows", "Columns"), TILE) | dict.fromkeys(("BitsAllocated", "BitsStored"), 8)
    values |= {"HighBit": 7, "PixelRepresentation": 0, "PlanarConfiguration": 0}
    for name, value in values.items():
        setattr(file, name, value)
    file.OpticalPathSequence = [_item(OpticalPathIdentifier="1", ObjectiveLensPower=20.0)]
    measures = _item(PixelSpacing=[spacing_mm, spacing_mm], SliceThickness=0.001)
    file.SharedFunctionalGroupsSequence = [_item(PixelMeasuresSequence=[measures])]
    tiles = page.reshape(height // TILE, TILE, width // TILE, TILE, 3).swapaxes(1, 2)
    file.add_new("PixelData", "OB", tiles.tobytes())
    file.file_meta = FileMetaDataset()
    file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return file


def _item(**values):
    item = Dataset()
    for name, value in values.items():
        setattr(item, name, value)
    return item
