import numpy as np
import pytest

from counterstain.cells.table import COLUMNS, Cells

RING = np.array([[0.0, 0], [0, 1], [1, 1]])


def columns_of(count):
    return {name: np.zeros(count, dtype) for name, dtype in COLUMNS.items()}


def test_a_table_has_as_many_cells_as_outlines():
    cells = Cells(columns=columns_of(2), outlines=[RING, RING])
    assert len(cells) == 2
    assert cells["area_um2"].tolist() == [0, 0]


def test_columns_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="one entry per cell"):
        Cells(columns=columns_of(2), outlines=[RING])


def test_a_missing_column_is_refused():
    columns = columns_of(1)
    del columns["quality_flags"]
    with pytest.raises(ValueError, match="a cells table has the columns"):
        Cells(columns=columns, outlines=[RING])
