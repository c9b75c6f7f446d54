import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from counterstain.polygons import validity
from counterstain.polygons.rings import ring_area
from counterstain.polygons.validity import fault_of


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(3, 9), st.booleans())
def test_outlines_that_pass_have_the_area_that_shapely_finds_and_valid_ones_pass(seed, corners, on_a_grid):
    generator = np.random.default_rng(seed)
    ring = generator.integers(0, 12, (corners, 2)) if on_a_grid else generator.uniform(0, 100, (corners, 2))
    ring = ring.astype(float)
    expected = shapely.Polygon(ring)
    if expected.is_valid:
        assert fault_of([(ring,)]) == ""
    elif fault_of([(ring,)]) == "":
        covered = shapely.make_valid(expected).area  # even-odd, as nuclei are counted
        assert ring_area(ring) == pytest.approx(covered, rel=0.002, abs=1e-9)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_boxes_pass_together_exactly_when_they_do_not_overlap(seed):
    left, top, width, height = np.random.default_rng(seed).integers(1, 8, (4, 3))
    boxes = [shapely.box(*map(float, (x, y, x + w, y + h))) for x, y, w, h in zip(left, top, width, height, strict=True)]
    polygons = [(np.array(box.exterior.coords)[:-1, ::-1],) for box in boxes]
    overlap = sum(box.area for box in boxes) - shapely.union_all(boxes).area
    assert (fault_of(polygons) == "") == (overlap == 0)


def test_the_result_does_not_depend_on_how_many_strips_are_looked_at_at_once(monkeypatch):
    angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    star = (100 + 50 * np.cos(7 * angle))[:, None] * np.column_stack([np.sin(angle), np.cos(angle)])
    whole = validity._ground([(star,), (star + 400,)])
    monkeypatch.setattr(validity, "PAIRS_AT_ONCE", 3)
    assert validity._ground([(star,), (star + 400,)]) == pytest.approx(whole)
    assert whole == pytest.approx((2 * ring_area(star), 0))


def test_an_outline_with_endlessly_many_edges_side_by_side_is_refused(monkeypatch):
    monkeypatch.setattr(validity, "MOST_PAIRS", 100)
    comb = np.column_stack([np.arange(40) % 2 * 100 + np.arange(40) / 10, np.arange(40)])
    assert "simplify its shape" in fault_of([(comb,)])
