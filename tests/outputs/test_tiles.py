import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest

from counterstain.errors import OutputError
from counterstain.geometry import Box
from counterstain.outputs.tables.tiles import ADDED, COLUMNS, read_tiles, write_tiles
from counterstain.results import record as record_module
from counterstain.results.folder import write_folder
from counterstain.results.opening import read_qualities, results_in
from counterstain.results.part import as_json
from counterstain.results.record import read_record, record
from counterstain.scoring.region_files import read_regions
from counterstain.slides.array import ArraySlide
from counterstain.slides.base import Resolution
from counterstain.tiling.quality import TileQuality

GOLDEN = Path(__file__).parent / "golden" / "v2_tiles"
EARLIER = Path(__file__).parent / "golden" / "v1_tiles"

TILES = (
    (Box(0, 0, 8, 8), TileQuality(tissue=1.0, blur=0.75, pen=0.0, fold=0.0, black_border=0.0)),
    (Box(0, 8, 8, 8), TileQuality(tissue=0.5, blur=0.0, pen=0.25, fold=0.0333, black_border=0.0)),
    (Box(8, 0, 4, 16), TileQuality(tissue=0.0, blur=0.0, pen=0.0, fold=0.0, black_border=1.0)),
)


@pytest.fixture
def judged(analysis):
    return dataclasses.replace(analysis, tiles=TILES)


def rows_of(path):
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_row_says_where_a_tile_is_and_what_is_wrong_with_it(judged, tmp_path):
    write_tiles(judged, tmp_path / "tiles.csv")
    blurred, inked, black = rows_of(tmp_path / "tiles.csv")
    assert tuple(blurred) == tuple(name for name in COLUMNS if name not in ADDED)
    assert [row["has_blur"] for row in (blurred, inked, black)] == ["true", "false", "false"]
    assert [row["has_pen"] for row in (blurred, inked, black)] == ["false", "true", "false"]
    assert {row["has_fold"] for row in (blurred, inked, black)} == {"false"}
    assert black["has_black_border"] == "true"
    assert (inked["row_px"], inked["col_px"], inked["height_px"], inked["width_px"]) == ("0", "8", "8", "8")
    assert (inked["tissue_share"], inked["fold_share"]) == ("0.5", "0.0333")


@pytest.mark.parametrize("mpp", [0.25, 0.5, 0.23, 0.4])
def test_tiles_lie_in_pixels_of_the_slide_and_come_back_as_they_were(judged, tmp_path, mpp):
    slide = ArraySlide(np.zeros((12, 16, 3), np.uint8), resolution=Resolution(mpp, "metadata"))
    write_tiles(dataclasses.replace(judged, slide=slide), tmp_path / "tiles.csv")
    assert float(rows_of(tmp_path / "tiles.csv")[1]["col_px"]) == pytest.approx(8 * 0.25 / mpp, abs=1e-3)
    assert read_tiles(tmp_path / "tiles.csv", slide, 0.25) == TILES


def test_the_table_is_a_file_of_regions(judged, tmp_path):
    write_tiles(judged, tmp_path / "tiles.csv")
    assert len(read_regions(tmp_path / "tiles.csv", judged.slide.resolution.sides).parts) == len(TILES)


def test_the_record_sums_the_tiles_up(judged, analysis):
    assert "quality" not in as_json(record(analysis))
    assert as_json(record(judged))["quality"] == {
        "tiles": 3,
        "tissue_shares": {"blur": 0.5, "fold": 0.0111, "pen": 0.1429},
        "flagged_tiles": {"blur": 1, "pen": 1, "fold": 0, "black_border": 1},
    }


def test_damage_has_columns_of_its_own_where_there_is_any(judged, tmp_path):
    (box, first), *others = TILES
    damaged = ((box, dataclasses.replace(first, damaged=0.25)), *others)
    analysis = dataclasses.replace(judged, tiles=damaged)
    write_tiles(analysis, tmp_path / "tiles.csv")
    assert [row["damaged_share"] for row in rows_of(tmp_path / "tiles.csv")] == ["0.25", *("0" for _ in others)]
    assert [row["has_damaged"] for row in rows_of(tmp_path / "tiles.csv")] == ["true", *("false" for _ in others)]
    assert read_tiles(tmp_path / "tiles.csv", judged.slide, judged.maps.mpp) == damaged
    quality = as_json(record(analysis))["quality"]
    assert (quality["flagged_tiles"]["damaged"], 0 < quality["damaged_share"] < 0.25) == (1, True)
    write_tiles(judged, tmp_path / "tiles.csv")
    assert "damaged_share" not in rows_of(tmp_path / "tiles.csv")[0]


def test_tiles_are_read_from_results_that_have_them(judged, tmp_path):
    write_folder(judged, tmp_path / "with", ("tiles",))
    write_folder(judged, tmp_path / "without", ("csv",))
    assert read_qualities(tmp_path / "with", read_record(tmp_path / "with"), judged.slide) == TILES
    assert read_qualities(tmp_path / "without", read_record(tmp_path / "without"), judged.slide) == ()


@pytest.mark.parametrize("text", ["", "row_px,col_px\n1,2\n", ",".join(COLUMNS) + "\n1,2,x\n", ",".join(COLUMNS) + "\n1,2\n"])
def test_a_damaged_table_is_refused(judged, tmp_path, text):
    write_folder(judged, tmp_path / "tile", ("tiles",))
    (tmp_path / "tile" / "tiles.csv").write_text(text)
    with pytest.raises(OutputError, match="cannot read"):
        read_qualities(tmp_path / "tile", read_record(tmp_path / "tile"), judged.slide)


def test_the_golden_files_are_written_byte_for_byte_and_read(judged, tmp_path, monkeypatch):
    monkeypatch.setattr(record_module, "package_versions", lambda: {"counterstain": "0.1.0"})
    write_folder(judged, tmp_path / "tile", ("tiles",))
    for name in ("analysis.json", "tiles.csv"):
        assert (tmp_path / "tile" / name).read_bytes() == (GOLDEN / "tile" / name).read_bytes()
    for golden in (GOLDEN, EARLIER):
        ((folder, content),) = results_in(golden)
        assert read_qualities(folder, content, judged.slide) == TILES


def test_the_specification_names_every_column_and_key(judged):
    specification = (Path(__file__).parents[2] / "docs" / "format.md").read_text(encoding="utf-8")
    names = [*COLUMNS, "quality", *as_json(record(judged))["quality"]]
    assert [name for name in names if f"`{name}`" not in specification] == []
