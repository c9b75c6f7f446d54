"""The files of format version 2, as written for the drawn slide of ``conftest.py``; those of version 1 are read for ever.

A change that makes one of these tests fail changes the format: raise ``FORMAT_VERSION``, describe the change in
``docs/format.md``, and put the new files into a folder of their own, so that the old ones are still read.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from counterstain.cells.table import COLUMNS as CELL_COLUMNS
from counterstain.outputs.names import FORMATS, writers_for
from counterstain.outputs.tables.geojson import MEASUREMENTS
from counterstain.panel import DEFAULT_PANEL
from counterstain.results import record as record_module
from counterstain.results.folder import write_folder
from counterstain.results.opening import read_cells, read_manifest, results_in
from counterstain.results.record import read_record
from counterstain.results.scores import write_scores
from counterstain.results.summary import COLUMNS as SUMMARY_COLUMNS
from counterstain.results.summary import Failure, write_summary
from counterstain.scoring.names import DEFAULT, scorers
from counterstain.scoring.regions import score_regions

GOLDEN = Path(__file__).parent / "golden" / "v2"
EARLIER = Path(__file__).parent / "golden" / "v1"


@pytest.fixture
def written(analysis, tmp_path, monkeypatch):
    monkeypatch.setattr(record_module, "package_versions", lambda: {"counterstain": "0.1.0"})
    write_folder(analysis, tmp_path / "tile", ("csv", "geojson"))
    write_summary(tmp_path, {"tile"}, [Failure(name="bad", source="images/bad.png", error="images/bad.png is empty (0 bytes)")])
    scored = tmp_path / "scored"
    scored.mkdir()
    scores = score_regions(replace(analysis, tissue_mm2=0.5).population, [], scorers(DEFAULT))
    write_scores(scored, record_module.record(analysis), analysis.cells, scores, regions="cores.csv")
    return tmp_path


@pytest.mark.parametrize(
    "name", ["tile/analysis.json", "scored/scores.json", "tile/cells.csv", "tile/cells.geojson", "summary.csv"]
)
def test_text_files_are_byte_for_byte_those_of_version_2(written, name):
    assert (written / name).read_bytes() == (GOLDEN / name).read_bytes()


@pytest.mark.parametrize("golden", [GOLDEN, EARLIER])
def test_the_golden_tables_and_maps_description_are_read(analysis, golden):
    ((folder, content),) = results_in(golden)
    assert read_manifest(folder, content) == analysis.manifest
    cells = read_cells(folder, content)
    for name in CELL_COLUMNS:
        np.testing.assert_array_equal(cells[name], analysis.cells[name])


@pytest.mark.parametrize("golden", [GOLDEN, EARLIER])
def test_the_golden_record_is_recognised_as_an_output(golden):
    assert read_record(golden / "tile").counts.nuclei == 3


@pytest.fixture(scope="module")
def specification():
    return (Path(__file__).parents[2] / "docs" / "format.md").read_text(encoding="utf-8")


def test_the_specification_names_every_column_and_measurement(specification):
    names = [*CELL_COLUMNS, *SUMMARY_COLUMNS, *MEASUREMENTS.values()]
    assert [name for name in names if f"`{name}`" not in specification] == []


def test_the_specification_names_every_file(specification):
    assert [name for name in writers_for(FORMATS, DEFAULT_PANEL) if name not in specification] == []


def test_the_specification_names_every_key_of_the_record(specification):
    content = json.loads((GOLDEN / "tile" / "analysis.json").read_text(encoding="utf-8"))
    inner = [key for part in (content["slide"], content["bundle"], content["counts"], content["scores"][0]) for key in part]
    assert [key for key in (*content, *inner) if f"`{key}`" not in specification] == []
