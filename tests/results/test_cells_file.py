"""``cells.npz``: written in squares, read back bit for bit, in parts, by box, and refused when it is damaged."""

import dataclasses
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from counterstain.cells.describe import ROW_STRIDE
from counterstain.cells.table import COLUMNS, Cells
from counterstain.errors import OutputError
from counterstain.geometry import Box
from counterstain.results import cells as cells_module
from counterstain.results.cells import open_cells, write_cells


def drawn_cells(seed, count, side, *, scale=1.0):
    """Diamonds at random places of maps of a side, each with corners on eighths of a pixel of the maps."""
    generator = np.random.default_rng(seed)
    columns = {name: (100 * generator.random(count)).astype(kind) for name, kind in COLUMNS.items()}
    places = generator.choice(side * side, count, replace=False)
    places.sort()
    rows, cols = np.divmod(places, side)
    columns |= {"cell_id": rows * ROW_STRIDE + cols, "row_px": rows * scale, "col_px": cols * scale}
    columns["lap2_mean"][:] = np.nan
    diamond = np.array([(0, 3), (3.125, 6), (6, 3), (3, -0.125)])
    outlines = [(diamond * generator.integers(1, 3) + place) * scale for place in zip(rows, cols, strict=True)]
    return Cells(columns=columns, outlines=outlines, thresholds={"decoder": "watershed", "threshold": 0.5})


def assert_equal(found, expected):
    assert len(found) == len(expected)
    for name in COLUMNS:
        np.testing.assert_array_equal(found[name], expected[name])
        assert found[name].dtype == expected[name].dtype
    for one, other in zip(found.outlines, expected.outlines, strict=True):
        np.testing.assert_array_equal(one, other)


@dataclass(frozen=True, kw_only=True)
class InPieces:
    """A table that comes in pieces of so many rows."""

    cells: Cells
    rows: int

    @property
    def thresholds(self):
        return self.cells.thresholds

    def parts(self) -> Iterator[Cells]:
        for first in range(0, len(self.cells), self.rows):
            part = slice(first, first + self.rows)
            columns = {name: column[part] for name, column in self.cells.columns.items()}
            yield Cells(columns=columns, outlines=self.cells.outlines[part])


@pytest.fixture
def small_squares(monkeypatch):
    monkeypatch.setattr(cells_module, "SQUARE_PX", 16)


@pytest.fixture
def stored(make_analysis, tmp_path, small_squares):
    def store(cells, *, maps_mpp=0.25):
        write_cells(dataclasses.replace(make_analysis(maps_mpp=maps_mpp), cells=cells), tmp_path / "cells.npz")
        return open_cells(tmp_path / "cells.npz", cells.thresholds, sum(len(part) for part in cells.parts()))

    return store


@pytest.mark.parametrize("maps_mpp", [0.25, 0.5, 0.496])
def test_what_was_written_is_read_back_bit_for_bit(stored, maps_mpp):
    expected = drawn_cells(1, 300, 100, scale=maps_mpp / 0.25)
    found = stored(expected, maps_mpp=maps_mpp)
    assert len(found) == 300
    for name in COLUMNS:
        np.testing.assert_array_equal(found[name], expected[name])
    parts = [*found.parts()]
    assert len(parts) == 7  # rows of squares of 16 px
    assert_equal(cells_module.joined(parts, {}), expected)
    assert (np.diff(np.concatenate([part["cell_id"] for part in parts])) > 0).all()


def test_outlines_that_are_cut_are_kept_as_steps_of_whole_numbers(stored, tmp_path):
    stored(drawn_cells(1, 50, 100, scale=0.496 / 0.25), maps_mpp=0.496)
    with np.load(tmp_path / "cells.npz") as file:
        assert {file[name].dtype for name in file.files if name.startswith("outlines")} == {np.dtype("<i4")}


def test_outlines_from_elsewhere_are_kept_as_they_are(stored):
    cells = drawn_cells(2, 40, 50)
    cells = dataclasses.replace(cells, outlines=[ring + 0.001 for ring in cells.outlines])
    assert_equal(cells_module.joined([*stored(cells).parts()], {}), cells)


def test_an_outline_that_was_not_kept_is_empty_again(stored):
    cells = dataclasses.replace(drawn_cells(2, 40, 50), outlines=[np.zeros((0, 2))] * 40)
    assert_equal(cells_module.joined([*stored(cells).parts()], {}), cells)


def test_a_table_without_nuclei_is_kept_as_one(stored):
    found = stored(drawn_cells(1, 0, 10))
    assert (len(found), [*found.parts()], found["area_um2"].tolist()) == (0, [], [])
    assert len(found.within(Box(0, 0, 100, 100))) == 0


@pytest.mark.parametrize("rows", [1, 7, 300])
def test_equal_cells_give_equal_bytes_however_they_come_in_parts(stored, tmp_path, rows):
    cells = drawn_cells(3, 300, 100)
    stored(cells)
    whole = (tmp_path / "cells.npz").read_bytes()
    stored(InPieces(cells=cells, rows=rows))
    assert (tmp_path / "cells.npz").read_bytes() == whole


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(-20, 110), st.integers(-20, 110), st.integers(0, 60), st.integers(0, 60))
def test_a_box_gives_the_nuclei_that_reach_into_it(stored, row, col, height, width):
    cells = drawn_cells(4, 200, 100)
    box = Box(row, col, height, width)
    chosen = [
        index
        for index, ring in enumerate(cells.outlines)
        if (ring.min(axis=0) < (row + height, col + width)).all() and (ring.max(axis=0) > (row, col)).all()
    ]
    found = stored(cells).within(box)
    np.testing.assert_array_equal(found["cell_id"], cells["cell_id"][chosen])
    assert_equal(found, cells.within(box))


def test_a_box_reads_only_the_squares_near_it(stored, monkeypatch):
    found, read = stored(drawn_cells(5, 400, 100)), []
    real = cells_module.StoredCells._square
    monkeypatch.setattr(cells_module.StoredCells, "_square", lambda self, number: read.append(number) or real(self, number))
    assert len(found.within(Box(40, 40, 8, 8))) > 0
    assert 0 < len(read) <= 9 < len(found.squares)


def test_numpy_alone_reads_the_file(stored, tmp_path):
    cells = drawn_cells(6, 30, 40)
    stored(cells)
    with np.load(tmp_path / "cells.npz", allow_pickle=False) as file:
        assert int(file["version"]) == 1
        rows = np.concatenate([file[f"table/{number}"] for number in range(len(file["squares"]))])
        first = np.cumsum(file["outlines/0"], axis=0)[: rows["corners"][0]] * file["unit"]
    assert sorted(rows["cell_id"]) == cells["cell_id"].tolist()
    assert any(np.array_equal(first, ring) for ring in cells.outlines)


def rewritten(path, changes):
    """Write the file anew with other bytes for some of its members."""
    with zipfile.ZipFile(path) as file:
        content = {name: file.read(name) for name in file.namelist()}
    with zipfile.ZipFile(path, "w") as file:
        for name, data in (content | changes).items():
            if data is not None:
                file.writestr(name, data)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-40]),
        lambda path: path.write_bytes(b"no zip"),
        lambda path: path.unlink(),
        lambda path: rewritten(path, {"squares.npy": None}),
        lambda path: rewritten(path, {"table/0.npy": b"\x93NUMPY\x01\x00"}),
        lambda path: rewritten(path, {"table/1.npy": None}),
        lambda path: path.write_bytes(path.read_bytes().replace(b"'shape': (", b"'shape': (9")),
    ],
)
def test_a_damaged_file_is_refused_by_name(stored, tmp_path, damage):
    cells = drawn_cells(7, 60, 50)
    stored(cells)
    damage(tmp_path / "cells.npz")
    with pytest.raises(OutputError, match=r"cannot read .*cells\.npz: .*analyse the slide again"):
        [*open_cells(tmp_path / "cells.npz", {}, 60).parts()]


def test_the_file_of_another_result_is_refused(stored, tmp_path):
    stored(drawn_cells(8, 60, 50))
    with pytest.raises(OutputError, match="does not hold the 61 nuclei of the record"):
        open_cells(tmp_path / "cells.npz", {}, 61)


def test_a_file_of_a_later_version_is_refused(stored, tmp_path, monkeypatch):
    monkeypatch.setattr(cells_module, "VERSION", 2)
    stored(drawn_cells(8, 60, 50))
    monkeypatch.setattr(cells_module, "VERSION", 1)
    with pytest.raises(OutputError, match=r"of version 2 .* upgrade"):
        open_cells(tmp_path / "cells.npz", {}, 60)


def test_an_array_that_claims_to_be_huge_takes_no_memory(stored, tmp_path, monkeypatch):
    stored(drawn_cells(8, 60, 50))
    monkeypatch.setattr(cells_module, "LARGEST_BYTES", 100)
    with pytest.raises(OutputError, match="bytes"):
        open_cells(tmp_path / "cells.npz", {}, 60)
