"""What the comparison of ways to cut a field calls equal is equal."""

import numpy as np
import pytest
import splits

from counterstain.cells.table import COLUMNS, Cells
from counterstain.slides.opening import open_slide

LABELS = np.int32([[0, 1, 1, 0], [2, 2, 1, 0], [2, 0, 0, 3]])


@pytest.mark.parametrize(
    ("other", "equal"),
    [
        (np.int32([[0, 9, 9, 0], [1, 1, 9, 0], [1, 0, 0, 4]]), True),
        (np.int32([[0, 1, 1, 0], [2, 2, 1, 0], [2, 0, 0, 0]]), False),
        (np.int32([[0, 1, 1, 0], [1, 1, 1, 0], [1, 0, 0, 3]]), False),
        (np.int32([[0, 1, 1, 0], [2, 2, 4, 0], [2, 0, 0, 3]]), False),
        (np.int32([[5, 1, 1, 5], [2, 2, 1, 5], [2, 5, 5, 3]]), False),
    ],
)
def test_label_images_are_equal_when_they_part_the_pixels_alike(other, equal):
    assert splits.equal_but_for_names(LABELS, other, border_px=0) is equal
    assert splits.equal_but_for_names(other, LABELS, border_px=0) is equal


def test_labels_near_the_border_are_not_compared():
    one, other = np.zeros((2, 6, 6), np.int32)
    other[0, :] = 1
    assert splits.equal_but_for_names(one, other, border_px=1)
    assert not splits.equal_but_for_names(one, other, border_px=0)


@pytest.mark.parametrize(("places", "distance"), [([], np.inf), ([(3, 3)], np.inf), ([(0, 0), (3, 4), (90, 90)], 5.0)])
def test_the_closest_pair_is_found(places, distance):
    columns = {name: np.zeros(len(places), kind) for name, kind in COLUMNS.items()}
    columns["row_px"], columns["col_px"] = np.array(places, float).reshape(-1, 2).T
    assert splits.closest(Cells(columns=columns, outlines=[np.zeros((3, 2))] * len(places))) == distance


def test_every_way_to_cut_a_field_gives_its_cells_by_the_classical_model(tmp_path, monkeypatch):
    monkeypatch.setattr(splits, "WORKERS", ())
    monkeypatch.setattr(splits, "TILES_PX", (256,))
    path = splits.make_field(tmp_path / "field.tif", 500)
    with open_slide(path) as slide:
        whole, *others = (way.cells() for way in splits.ways(slide, path, "classical", reach_px=64))
        assert len(whole) > 30
        assert len(others) == 1 + len(splits.BLOCKS_PX) + 1
        for cells in others:
            np.testing.assert_array_equal(cells["cell_id"], whole["cell_id"])
