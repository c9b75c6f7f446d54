"""Files of regions as QuPath and people write them: each is read right, or refused by name."""

import gzip
import io
import json
import zipfile

import numpy as np
import pytest

from counterstain.errors import UsageError
from counterstain.scoring import region_files
from counterstain.scoring.region_files import read_regions

HEADER = "name,row_px,col_px,height_px,width_px\n"


def square(left=0, top=0, side=10):
    return [[left, top], [left + side, top], [left + side, top + side], [left, top + side], [left, top]]


def polygon(*rings):
    return {"type": "Polygon", "coordinates": [*rings]}


def feature(geometry=None, **properties):
    geometry = polygon(square()) if geometry is None else geometry
    return {"type": "Feature", "id": "x", "geometry": geometry, "properties": properties}


@pytest.fixture
def read(tmp_path):
    def read_content(content, mpp=0.25):
        path = tmp_path / "regions"
        if not isinstance(content, bytes):
            content = (content if isinstance(content, str) else json.dumps(content)).encode()
        path.write_bytes(content)
        return read_regions(path, mpp)

    return read_content


def names(regions):
    return [region.name for region in regions.parts]


BOW_TIE = [[0, 0], [512, 512], [512, 0], [0, 400], [0, 0]]
TWICE = [*square()[:-1], *square()]


@pytest.mark.parametrize(
    ("geometry", "fault"),
    [
        (polygon(BOW_TIE), "its outline crosses itself"),
        (polygon(TWICE), "its outline crosses itself"),
        (polygon([[0, 0], [10, 10], [8, 10], [6, 0], [0, 0]]), "its outline crosses itself"),
        (polygon(square(), square(30)), "a hole of it reaches outside"),
        (polygon(square(), square(5, 5)), "a hole of it reaches outside"),
        (polygon(square(side=20), square(2, 2, 6), square(4, 4, 6)), "into another hole"),
        ({"type": "MultiPolygon", "coordinates": [[square()], [square(5, 5)]]}, "its parts lie over each other"),
        ({"type": "MultiPolygon", "coordinates": [[square(side=9)], [square(2, 2, 3)]]}, "its parts lie over each other"),
        ({"type": "GeometryCollection", "geometries": [polygon(square()), polygon(square())]}, "its parts lie over each other"),
        (polygon([[0, 0], [5, 5], [9, 9], [0, 0]]), "it has no area"),
        (polygon([[0, 0], [9, 9], [0, 0], [0, 0]]), "it has no area"),
        (polygon([[0, 0], [1e-6, 0], [0, 1e-6], [0, 0]]), "it has no area"),
        (polygon(square(), square()), "it has no area"),
    ],
)
def test_an_area_that_is_not_clear_is_refused_by_the_name_of_its_region(read, geometry, fault):
    with pytest.raises(UsageError, match=f"'tumour': .*{fault}"):
        read([feature(name="good"), feature(geometry, name="tumour")])


def test_many_wrong_regions_are_named_up_to_five(read):
    with pytest.raises(UsageError, match=r"'bow 4': .*and 2 more; draw it again"):
        read([feature(polygon(BOW_TIE), name=f"bow {number}") for number in range(7)])


def test_parts_that_touch_and_an_island_in_a_hole_are_right(read):
    touching = {"type": "MultiPolygon", "coordinates": [[square()], [square(10)]]}
    island = {"type": "MultiPolygon", "coordinates": [[square(side=30), square(5, 5, 20)], [square(10, 10, 5)]]}
    spike = polygon([[0, 0], [10, 0], [20, 0], [10, 0], [10, 10], [0, 10], [0, 0]])
    areas = [region.area_px() for region in read([feature(touching), feature(island), feature(spike)]).parts]
    assert areas == [200, 900 - 400 + 25, 100]


def test_regions_of_overlapping_area_are_two_regions(read):
    assert names(read([feature(name="a"), feature(polygon(square(5, 5)), name="b")])) == ["a", "b"]


def test_a_geometry_collection_of_areas_is_one_region(read):
    parts = [polygon(square()), {"type": "GeometryCollection", "geometries": [polygon(square(20))]}]
    geometry = {"type": "GeometryCollection", "geometries": parts}
    for content in (geometry, feature(geometry)):
        assert [region.area_px() for region in read(content).parts] == [200]
    with pytest.raises(UsageError, match=r"feature 1 \(mixed\): it is a LineString, which has no area"):
        read(feature({**geometry, "geometries": [*parts, {"type": "LineString", "coordinates": []}]}, name="mixed"))


@pytest.mark.parametrize("geometry", [{}, 3, "none", {"type": None}, {"type": ["Polygon"]}])
def test_an_annotation_without_a_geometry_is_refused_by_name(read, geometry):
    with pytest.raises(UsageError, match=r"feature 2 \(lost\): it has no geometry"):
        read([feature(), feature(geometry, name="lost")])
    with pytest.raises(UsageError, match=r"feature 1 \(lost\): it has no geometry"):
        read({"type": "Feature", "geometry": None, "properties": {"name": "lost"}})


@pytest.mark.parametrize(
    ("properties", "name"),
    [
        ({"classification": {"name": "Tumor", "color": [200, 0, 0]}}, "Tumor"),
        ({"classification": {"names": ["Tumor", "CD3"]}}, "Tumor: CD3"),
        ({"classification": "Tumor"}, "Tumor"),
        ({"classification": {"name": "Tumor"}, "name": "core 3"}, "core 3"),
        ({"classification": {"name": "Tumor"}, "name": "  "}, "region 1"),
        ({"classification": {"name": None}, "name": None}, "region 1"),
        ({"classification": None}, "region 1"),
        ({"name": 7}, "7"),
    ],
)
def test_the_class_is_the_name_of_a_region_without_one(read, properties, name):
    assert names(read(feature(**properties))) == [name]


def test_regions_of_one_class_are_told_apart(read):
    assert names(read([feature(classification={"name": "Tumor"})] * 2)) == ["Tumor", "Tumor (2)"]


@pytest.mark.parametrize("key", ["objectType", "object_type"])
def test_detections_cells_tiles_and_the_root_of_an_export_of_all_objects_are_no_regions(read, key):
    others = [{key: kind} for kind in ("detection", "cell", "cell", "tile", "root")]
    found = read([feature(name="ROI", **{key: "annotation"}), *(feature(**kind) for kind in others)])
    assert names(found) == ["ROI"]
    (said,) = found.left_out
    assert "2 of the type cell, 1 of the type detection, 1 of the type root, 1 of the type tile" in said


def test_the_types_of_early_exports_are_known_too(read):
    early = [{**feature(name=kind), "id": kind} for kind in ("PathAnnotationObject", "PathCellObject", "PathDetectionObject")]
    assert names(read(early)) == ["PathAnnotationObject"]


def test_a_root_without_geometry_does_not_matter(read):
    root = {"type": "Feature", "geometry": None, "properties": {"objectType": "root", "name": "Root"}}
    assert names(read([root, feature(name="ROI")])) == ["ROI"]


def test_a_file_of_detections_alone_is_refused_with_what_it_holds(read):
    with pytest.raises(UsageError, match=r"holds no region; .* 3 of the type detection"):
        read([feature(objectType="detection")] * 3)


@pytest.mark.parametrize("missing", [True, "true"])
def test_cores_that_are_missing_are_left_out_and_said(read, missing):
    cores = [feature(objectType="tma_core", name=f"A-{n}", isMissing=gone) for n, gone in ((1, False), (2, missing))]
    found = read(cores)
    assert names(found) == ["A-1"]
    assert found.left_out == ("marked as missing in the file of regions and left out: A-2",)


def zipped(**files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        for name, content in files.items():
            packed.writestr(name.replace("__", "/"), content)
    return buffer.getvalue()


TEXT = json.dumps(feature(name="packed"))


@pytest.mark.parametrize(
    "content",
    [
        gzip.compress(TEXT.encode()),
        zipped(**{"a.geojson": TEXT}),
        zipped(**{"folder__": "", "folder__a.geojson": TEXT}),
        TEXT.encode("utf-16"),
        TEXT.encode("utf-8-sig"),
        gzip.compress(TEXT.encode("utf-16")),
        gzip.compress((HEADER + "packed,0,0,10,10\n").encode()),
    ],
)
def test_packed_files_and_other_encodings_are_read(read, content):
    found = read(content)
    assert names(found) == ["packed"]
    assert found.parts[0].area_px() == 100


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(TEXT.encode())[:-10], "cannot read the regions"),
        (b"\x1f\x8b damaged", "cannot read the regions"),
        (b"PK damaged", "cannot read the regions"),
        (zipped(), "a zip must hold one file, and it holds nothing"),
        (zipped(**{"a.geojson": TEXT, "b.geojson": TEXT}), "it holds a.geojson, b.geojson"),
        (zipped(**{"a.geojson": TEXT})[:60], "cannot read the regions"),
        ("näme".encode("latin-1"), "cannot read the regions"),
    ],
)
def test_damaged_packages_are_refused_with_what_is_wrong(read, content, message):
    with pytest.raises(UsageError, match=message):
        read(content)


@pytest.mark.parametrize("pack", [lambda text: text, gzip.compress, lambda text: zipped(**{"a.csv": text})])
def test_what_unpacks_to_more_than_the_limit_is_refused(read, pack, monkeypatch):
    monkeypatch.setattr(region_files, "MOST_BYTES", 1_000_000)
    with pytest.raises(UsageError, match="more than 1 MB of text"):
        read(pack(b" " * 1_000_001))


@pytest.mark.parametrize("name", ["\\ud800", "tumour \\udfff"])
@pytest.mark.parametrize("where", ['"name": "{}"', '"classification": {{"name": "{}"}}'])
def test_a_name_that_is_no_text_is_refused(read, where, name):
    text = json.dumps(feature(place=1)).replace('"place": 1', where.format(name))
    with pytest.raises(UsageError, match="feature 1: its name is not text"):
        read(text)


def test_a_corner_further_away_than_any_slide_is_refused(read):
    with pytest.raises(UsageError, match="further away"):
        read(feature(polygon([[0, 0], [1e300, 0], [0, 1e300], [0, 0]])))


def test_a_very_long_field_is_refused_with_a_message(read):
    with pytest.raises(UsageError, match="row 1: field larger than field limit"):
        read(HEADER + "2" * 200_000 + ",0,0,16,16\n")


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + HEADER + "A,0,0.5,16,16\n",
        "name;row_px;col_px;height_px;width_px\nA;0;0,5;16;16\n",
        "sep=;\nname;row_px;col_px;height_px;width_px\nA;0;0,5;16;16\n;;;;\n",
        '"","name","row_px","col_px","height_px","width_px"\n"1","A",0,0.5,16,16\n',
        "width_px\theight_px\tname\tcol_px\trow_px\r\n16\t16\tA\t0.5\t0\r\n\r\n",
        HEADER + "A,0,0.5,16,16,,\n",
        'name,row_px,col_px,height_px,width_px\n"A","0","0,5","16","16"\n',
    ],
)
def test_boxes_are_read_as_spreadsheets_pandas_and_r_save_them(read, text):
    (region,) = read(text).parts
    assert region.name == "A"
    np.testing.assert_array_equal(region.polygons[0][0], [[0, 0.5], [0, 16.5], [16, 16.5], [16, 0.5]])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("A,0,0,16\n", "row 1 has 4 fields and the header 5"),
        ("A,0,0,16,16,7\n", "row 1 has 6 fields and the header 5"),
        ("A,,0,16,16\n", "box 1: .* be numbers"),
        ("A,0,0,1e999,16\n", "box 1: .* be numbers"),
        ("A,0,0,ten,16\n", "box 1: .*'ten'"),
    ],
)
def test_a_row_that_is_no_box_is_refused_with_its_number(read, row, message):
    with pytest.raises(UsageError, match=message):
        read(HEADER + row)
