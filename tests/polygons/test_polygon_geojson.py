import json

import numpy as np
import pytest
import shapely

from counterstain.polygons.geojson import closed_ring, features_of, open_ring, polygons_of


def test_a_ring_is_closed_and_whole_numbers_are_written_short():
    assert json.dumps(closed_ring(np.array([[0.0, 1.0], [2.0, 1.5], [3.25, 0.0]]))) == "[[1, 0], [1.5, 2], [0, 3.25], [1, 0]]"


def test_what_was_written_is_read_back():
    ring = np.array([[0.0, 1.0], [2.0, 1.5], [3.25, 0.0]])
    np.testing.assert_array_equal(open_ring(closed_ring(ring)), ring)


@pytest.mark.parametrize("kind", ["Polygon", "MultiPolygon"])
def test_polygons_are_read_as_shapely_writes_them(kind):
    one = shapely.Polygon([(0, 0), (9, 0), (9, 5), (0, 5)], [[(2, 2), (3, 2), (3, 3)]])
    geometry = shapely.geometry.mapping(one if kind == "Polygon" else shapely.MultiPolygon([one, shapely.box(20, 0, 30, 4)]))
    found = polygons_of(geometry)
    assert [[len(ring) for ring in polygon] for polygon in found] == [[4, 3], [4]][: 1 if kind == "Polygon" else 2]
    assert found[0][0].max(axis=0).tolist() == [5, 9]  # row, col


@pytest.mark.parametrize("content", [{"type": "Feature"}, [{"type": "Feature"}], {"features": [{"type": "Feature"}]}])
def test_features_come_alone_in_a_list_or_in_a_collection(content):
    assert features_of(content) == [{"type": "Feature"}]


@pytest.mark.parametrize("content", [3, "x", None, {"features": None}])
def test_what_holds_no_list_of_features_is_refused(content):
    with pytest.raises(ValueError, match="not a list"):
        features_of(content)
