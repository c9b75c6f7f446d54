"""``cells.h5ad``: the cells table as AnnData in HDF5, with positions in ``obsm``; memory does not grow with the table.

Needs h5py, so it is imported only when it is asked for.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from counterstain.analysis import Analysis
from counterstain.files import replacing
from counterstain.outputs.tables.annotated import ROWS_AT_ONCE, Attributes, Kind, write_annotated


def write_h5ad(analysis: Analysis, path: Path) -> None:
    """Write what ``anndata.read_h5ad`` opens."""
    with replacing(path) as hidden, _Noting(hidden, "w+") as raw:
        try:
            with h5py.File(raw, "w", rdcc_nbytes=0) as file:  # whole chunks need no cache
                write_annotated(_InHdf5(file=file), analysis)
        except (OSError, RuntimeError):  # what HDF5 makes of bytes that were not written
            if raw.failure is None:
                raise
        if raw.failure:
            raise raw.failure


class _Noting(io.FileIO):
    """A file that notes the first failure to write and goes on: when HDF5 is told of one, it may end the process."""

    failure: OSError | None = None

    def write(self, content: Any) -> int:
        """Write all of the bytes, unless a write has failed."""
        rest = memoryview(content).cast("B")
        length = len(rest)
        while len(rest) and self.failure is None:
            try:
                rest = rest[super().write(rest) :]
            except OSError as error:
                self.failure = error
        return length

    def truncate(self, size: int | None = None) -> int:
        """Set the length, unless a write has failed."""
        try:
            return super().truncate(size) if self.failure is None else size or 0
        except OSError as error:
            self.failure = error
            return size or 0


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
