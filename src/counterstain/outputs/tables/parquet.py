"""``cells.parquet``: the cells table with its own types, written and read group by group.

Needs pyarrow, so it is imported only when it is asked for.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
from numpy.typing import NDArray

from counterstain.analysis import Analysis
from counterstain.cells.table import COLUMNS, Cells, regrouped
from counterstain.files import replacing
from counterstain.outputs.tables.cells_csv import places_of, without_outlines
from counterstain.versions import FORMAT_VERSION

ROWS_AT_ONCE = 65_536
"""Rows of a group: what is in memory twice while a table of any length is written."""


def write_parquet(analysis: Analysis, path: Path) -> None:
    """Write the table; a value that does not exist is null."""
    fields = [(name, pyarrow.from_numpy_dtype(kind)) for name, kind in COLUMNS.items()]
    schema = pyarrow.schema(fields, metadata={"counterstain.format_version": str(FORMAT_VERSION)})
    with replacing(path) as hidden, pyarrow.parquet.ParquetWriter(hidden, schema, compression="zstd") as writer:
        for part in regrouped(analysis.cells, ROWS_AT_ONCE):
            group = [arrow_of(column, field.type) for column, field in zip(part.columns.values(), schema, strict=True)]
            writer.write_table(pyarrow.Table.from_arrays(group, schema=schema))


def arrow_of(column: NDArray[Any], kind: pyarrow.DataType) -> pyarrow.Array:
    """Return a column as Arrow keeps it, NaN as null.

    It is put together from its bytes: to convert an array, pyarrow would first import pandas, which takes longer than a tile.

    Parameters
    ----------
    column : (n,) bool, integer or float.
    """
    missing = np.isnan(column) if column.dtype.kind == "f" else np.zeros(0, np.bool_)
    valid = pyarrow.py_buffer(np.packbits(~missing, bitorder="little")) if missing.any() else None
    values = np.packbits(column, bitorder="little") if column.dtype.kind == "b" else np.ascontiguousarray(column)
    return pyarrow.Array.from_buffers(kind, len(column), [valid, pyarrow.py_buffer(values)])


def read_parquet(path: Path) -> Cells:
    """Return the table in a file, without outlines; a null is NaN.

    Raises
    ------
    OSError, pyarrow.ArrowException
        The file is missing or damaged.
    ValueError
        It lacks a column.
    """
    with pyarrow.parquet.ParquetFile(path) as file:  # column by column, so that no more than one is in memory twice
        names = file.schema_arrow.names
        stored = {name: names[place] for name, place in places_of(names).items()}
        columns = {name: _column(file, stored[name], kind) for name, kind in COLUMNS.items()}
    return without_outlines(columns)


def _column(file: pyarrow.parquet.ParquetFile, name: str, kind: type[np.generic]) -> NDArray[Any]:
    values: NDArray[Any] = file.read([name])[name].to_numpy().astype(kind, copy=False)
    return values
