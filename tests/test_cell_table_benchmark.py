"""The tables of the benchmark are tables of cells, and every format is written of them."""

import cell_tables
import numpy as np
import open_results
import pytest


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables") / "made"
    cell_tables.make_parts(folder, 3000)
    return folder


def test_the_cells_are_as_many_as_asked_for_and_in_order(folder):
    cells = cell_tables.analysis_of(folder, 3000).cells
    assert len(cells) == len(cells["cell_id"]) == 3000
    assert (np.diff(cells["cell_id"]) >= 0).all()
    assert sum(len(part.outlines) for part in cells.parts()) == 3000


@pytest.mark.parametrize("work", cell_tables.WORK)
def test_every_kind_of_work_is_measured(folder, work):
    found = cell_tables.measure(folder, work, 3000)
    assert found["seconds"] >= 0
    assert found["peak_mb"] > 10


@pytest.mark.parametrize("work", open_results.WORK)
def test_a_made_result_is_opened_and_every_kind_of_work_is_measured(tmp_path, work):
    result, seconds = open_results.make_result(tmp_path, 3000)
    found = open_results.measure(result, work)
    assert seconds > 0
    assert found.pop("memory") > 10
    assert min(found.values()) >= 0
