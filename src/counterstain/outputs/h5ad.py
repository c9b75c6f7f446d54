"""``cells.h5ad``: the cells table as AnnData, with positions in ``obsm``.

Needs anndata, so it is imported only when it is asked for.
"""

from pathlib import Path

import anndata
import numpy as np
import pandas as pd

from counterstain.analysis import Analysis
from counterstain.cells.table import COLUMNS
from counterstain.outputs.atomic import replacing
from counterstain.outputs.version import FORMAT_VERSION

INTENSITIES = ("marker_mean", "marker_max", "dab_od_mean", "hematoxylin_od_mean", "dapi_mean", "lap2_mean")
"""Columns of ``X``; the others are in ``obs``."""

POSITIONS = ("col", "row")
"""x, then y."""


def write_h5ad(analysis: Analysis, path: Path) -> None:
    """Write intensities as ``X``, the other columns as ``obs``, and positions as (x, y) in ``obsm``."""
    cells = analysis.cells
    names = [name for name in COLUMNS if name not in INTENSITIES]
    obs = pd.DataFrame({name: cells[name] for name in names}, index=cells["cell_id"].astype(str))
    table = anndata.AnnData(
        X=np.column_stack([cells[name] for name in INTENSITIES]).astype(np.float32),
        obs=obs,
        var=pd.DataFrame(index=list(INTENSITIES)),
        obsm={
            "spatial": np.column_stack([cells[f"{axis}_px"] for axis in POSITIONS]),
            "spatial_um": np.column_stack([cells[f"{axis}_um"] for axis in POSITIONS]),
        },
        uns={
            "counterstain": {
                "format_version": FORMAT_VERSION,
                "slide": analysis.slide.name,
                "mpp": analysis.slide.resolution.mpp,
            }
        },
    )
    with replacing(path) as hidden:
        table.write_h5ad(hidden, compression="gzip")
