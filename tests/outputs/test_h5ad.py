import dataclasses

import anndata
import numpy as np

from counterstain.cells.table import COLUMNS, Cells
from counterstain.outputs.h5ad import INTENSITIES, write_h5ad


def test_anndata_reads_positions_intensities_and_the_other_columns(analysis, tmp_path):
    write_h5ad(analysis, tmp_path / "cells.h5ad")
    table = anndata.read_h5ad(tmp_path / "cells.h5ad")
    cells = analysis.cells
    assert table.obs_names.tolist() == ["100", "200", "300"]
    assert set(table.obs.columns) | set(table.var_names) == set(COLUMNS)
    np.testing.assert_array_equal(table.obsm["spatial"], np.column_stack([cells["col_px"], cells["row_px"]]))
    np.testing.assert_array_equal(table.obsm["spatial_um"], np.column_stack([cells["col_um"], cells["row_um"]]))
    for number, name in enumerate(INTENSITIES):
        np.testing.assert_array_equal(table.X[:, number], cells[name])
    assert table[table.obs["is_positive"]].n_obs == 2
    assert table.uns["counterstain"]["mpp"] == 0.25


def test_a_slide_without_nuclei_gives_a_table_without_rows(analysis, tmp_path):
    empty = Cells(columns={name: np.empty(0, kind) for name, kind in COLUMNS.items()}, outlines=[])
    write_h5ad(dataclasses.replace(analysis, cells=empty), tmp_path / "cells.h5ad")
    assert anndata.read_h5ad(tmp_path / "cells.h5ad").shape == (0, len(INTENSITIES))
