"""``cells.h5ad``: the cells table as AnnData in HDF5, with positions in ``obsm``; memory does not grow with the table.

Needs h5py, so it is imported only when it is asked for.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from counterstain.analysis import Analysis
from counterstain.outputs.annotated import ROWS_AT_ONCE, Attributes, Kind, write_annotated
from counterstain.outputs.atomic import replacing


def write_h5ad(analysis: Analysis, path: Path) -> None:
    """Write what ``anndata.read_h5ad`` opens."""
    with replacing(path) as hidden, h5py.File(hidden, "w", rdcc_nbytes=0) as file:  # whole chunks need no cache
        write_annotated(_InHdf5(file=file), analysis)


@dataclass(frozen=True, slots=True, kw_only=True)
class _InHdf5:
    """A ``Store`` in a file that is open."""

    file: Any

    def group(self, path: str, attributes: Attributes) -> None:
        group = self.file.require_group(path) if path else self.file
        group.attrs.update(attributes)

    def array(self, path: str, shape: tuple[int, ...], kind: Kind, attributes: Attributes) -> Any:
        is_long = shape and shape[0]
        packed = {"chunks": (min(shape[0], ROWS_AT_ONCE), *shape[1:]), "compression": "gzip"} if is_long else {}
        array = self.file.create_dataset(path, shape, h5py.string_dtype() if kind is str else kind, **packed)
        array.attrs.update(attributes)
        return array
