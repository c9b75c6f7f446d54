import json

import numpy as np
import pytest
import shapely
from scipy.stats import chi2

from counterstain.cells.table import COLUMNS, Cells
from counterstain.errors import UsageError
from counterstain.geometry import Size
from counterstain.scoring.base import Population
from counterstain.scoring.density import density, poisson, positive_density
from counterstain.scoring.names import DEFAULT, scorers
from counterstain.scoring.region_files import read_regions
from counterstain.scoring.regions import Region, Regions, inside, region_warnings, score_regions
from counterstain.slides.base import Resolution

SQUARE = [[0, 0], [10, 0], [10, 10], [0, 10], [0, 0]]
HOLE = [[4, 4], [6, 4], [6, 6], [4, 6], [4, 4]]


def cells_at(points, positive=()):
    columns = {name: np.zeros(len(points), kind) for name, kind in COLUMNS.items()}
    columns["row_px"], columns["col_px"] = np.array(points, float).reshape(-1, 2).T
    columns["is_positive"][list(positive)] = True
    return Cells(columns=columns, outlines=[np.zeros((0, 2))] * len(points))


def feature(geometry, name=None):
    return {"type": "Feature", "geometry": geometry, "properties": {"name": name} if name else {}}


def written(folder, content):
    path = folder / "regions"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_a_hole_is_not_part_of_the_region_and_x_comes_first(tmp_path):
    (region,) = read_regions(written(tmp_path, feature({"type": "Polygon", "coordinates": [SQUARE, HOLE]})), 0.25).parts
    assert region.area_px() == shapely.Polygon(SQUARE, [HOLE]).area == 96
    assert inside(region, cells_at([(1, 1), (4.5, 4.5), (9.4, 0), (9.6, 0)])).tolist() == [True, False, True, False]


def test_a_multipolygon_is_one_region(tmp_path):
    far = [[x + 20, y] for x, y in SQUARE]
    (region,) = read_regions(
        written(tmp_path, feature({"type": "MultiPolygon", "coordinates": [[SQUARE], [far]]}, "two")), 1
    ).parts
    assert (region.name, region.area_px()) == ("two", 200)
    assert inside(region, cells_at([(5, 5), (5, 15), (5, 25)])).tolist() == [True, False, True]


@pytest.mark.parametrize("kind", ["collection", "list"])
def test_features_come_as_a_collection_or_a_list_and_names_are_made_different(tmp_path, kind):
    polygon = {"type": "Polygon", "coordinates": [SQUARE]}
    features = [feature(polygon, "tumour"), feature(polygon), feature(polygon, "tumour"), feature(polygon, "all")]
    content = {"type": "FeatureCollection", "features": features} if kind == "collection" else features
    names = [region.name for region in read_regions(written(tmp_path, content), 1).parts]
    assert names == ["tumour", "region 2", "tumour (2)", "all (2)"]


def test_a_tissue_microarray_is_a_csv_of_boxes_in_micrometres_or_pixels(tmp_path):
    um = written(tmp_path, "name,row_um,col_um,height_um,width_um\nA1,0,0,5,5\nA2,0,5,5,5\n")
    in_um = read_regions(um, 0.5).parts
    px = written(tmp_path, "name,row_px,col_px,height_px,width_px\nA1,0,0,10,10\nA2,0,10,10,10\n")
    for one, other in zip(in_um, read_regions(px, 0.5).parts, strict=True):
        assert one.name == other.name
        np.testing.assert_array_equal(one.polygons[0][0], other.polygons[0][0])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "it is empty"),
        ("a,b\n1,2\n", "row, col, height and width"),
        ("row_px,col_px,height_px,width_px\n1,2,x,4\n", "box 1: .*'x'"),
        ("row_px,col_px,height_px,width_px\n1,2,-3,4\n", "above 0"),
        ("{", "is not GeoJSON"),
        ([], "no region"),
        ([3], "feature 1 is not a GeoJSON"),
        (feature({"type": "Point", "coordinates": [1, 2]}), "is a Point"),
        (feature({"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [0, 0]]]}), "four or more"),
        (feature({"type": "Polygon", "coordinates": 5}), "not those of a Polygon"),
        (feature({"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [2, 2], [0, 0]]]}, "line"), "'line': it has no area"),
    ],
)
def test_a_wrong_file_is_refused_with_what_is_wrong(tmp_path, content, message):
    with pytest.raises(UsageError, match=message):
        read_regions(written(tmp_path, content), 0.25)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"features": null}', "is not GeoJSON"),
        ('{"features": 5}', "is not GeoJSON"),
        ("[" * 100_000, "nested too deeply"),
        (json.dumps({"type": "Polygon", "coordinates": []}), "feature 1: .* a ring is missing"),
        (json.dumps({"type": "MultiPolygon", "coordinates": [[]]}), "feature 1: .* a ring is missing"),
        (json.dumps({"type": "Polygon", "coordinates": [[[0, 0], [9, 0], [9, 9], [0, 9]]]}), "the last like the first"),
        (json.dumps({"type": "Polygon", "coordinates": [[[10**400, 0], [9, 0], [9, 9], [10**400, 0]]]}), "feature 1: "),
    ],
)
def test_geojson_that_breaks_its_own_rules_is_refused_with_what_is_wrong(tmp_path, content, message):
    path = tmp_path / "broken.geojson"
    path.write_text(content)
    with pytest.raises(UsageError, match=message):
        read_regions(path, 0.25)


def test_a_missing_or_binary_file_is_refused(tmp_path):
    (tmp_path / "x").write_bytes(b"\xff\xfe\xff")
    for name in ("x", "none"):
        with pytest.raises(UsageError, match="cannot read the regions"):
            read_regions(tmp_path / name, 0.25)


def test_each_region_is_scored_on_its_own_nuclei_and_area():
    cells = cells_at([(2, 2), (3, 3), (2, 15)], positive=[0])
    ring = np.array([[0, 0], [0, 10], [10, 10], [10, 0]], float)
    whole = Population(cells=cells, area_mm2=3.0, resolution=Resolution(100.0, "metadata"))
    scores = score_regions(whole, [Region(name="left", polygons=((ring,),))], scorers(DEFAULT))
    found = {(score.region, score.name): score.value for score in scores}
    assert found == pytest.approx(
        {
            ("all", "percent_positive"): 100 / 3,
            ("all", "density"): 1.0,
            ("all", "positive_density"): 1 / 3,
            ("left", "percent_positive"): 50.0,
            ("left", "density"): 2.0,
            ("left", "positive_density"): 1.0,
        }
    )


def test_regions_beyond_the_slide_are_named():
    def box(name, top, left, low, right):
        return Region(name=name, polygons=((np.array([[top, left], [top, right], [low, right], [low, left]], float),),))

    within = [box("in", 0, 0, 10, 20), box("rounded", -0.5, -0.5, 10.5, 20.5)]
    assert region_warnings(Regions(parts=tuple(within)), Size(10, 20)) == ()
    beyond = [box(f"core {number}", 5, 5, 8, 30 + number) for number in range(6)] + [box("left", 0, -9, 5, 5)]
    said, warning = region_warnings(Regions(parts=(*within, *beyond), left_out=("said",)), Size(10, 20))
    assert said == "said"
    assert warning.startswith("7 of 9 regions reach beyond the slide (core 0, core 1, core 2, core 3, core 4, ...)")


@pytest.mark.parametrize(("area_mm2", "why"), [(0.0, "is 0 mm2"), (None, "was not measured")])
def test_a_density_without_an_area_is_nan_and_says_why(area_mm2, why):
    population = Population(cells=cells_at([(1, 1)]), area_mm2=area_mm2, resolution=Resolution(0.25, "metadata"))
    for score in (density(population), positive_density(population)):
        assert np.isnan([score.value, *score.interval]).all()
        assert why in score.warnings[0]


def test_a_region_that_is_moved_is_another_region():
    ring = np.array([[0, 0], [0, 10], [10, 10], [10, 0]], float)
    here, same, moved = (Region(name="a", polygons=((ring + by,),)) for by in (0, 0, 1))
    assert here.digest() == same.digest() != moved.digest()


@pytest.mark.parametrize("count", [0, 1, 7, 4000])
def test_the_interval_of_a_count_is_that_of_garwood(count):
    expected = (chi2.ppf(0.025, 2 * count) / 2 if count else 0.0, chi2.ppf(0.975, 2 * count + 2) / 2)
    assert poisson(count) == pytest.approx(expected)
