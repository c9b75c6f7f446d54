"""``cells.parquet``: the cells table with its own types. Needs pyarrow, so it is imported only when it is asked for."""

from pathlib import Path

import pyarrow
import pyarrow.parquet

from counterstain.analysis import Analysis
from counterstain.outputs.atomic import replacing
from counterstain.outputs.version import FORMAT_VERSION


def write_parquet(analysis: Analysis, path: Path) -> None:
    """Write the table; a value that does not exist is null."""
    columns = {name: pyarrow.array(column, from_pandas=True) for name, column in analysis.cells.columns.items()}
    table = pyarrow.table(columns, metadata={"counterstain.format_version": str(FORMAT_VERSION)})
    with replacing(path) as hidden:
        pyarrow.parquet.write_table(table, hidden, compression="zstd")
