import csv
import dataclasses
import math

from stained_fields import AEC, stained_field

from counterstain.results.folder import write_folder
from counterstain.results.summary import COLUMNS, OPTIONAL, Failure, write_summary
from counterstain.tiling.stains import find_stains


def rows_of(path):
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def test_every_image_has_a_row_also_one_that_failed(analysis, tmp_path):
    write_folder(analysis, tmp_path / "new", ("json",))
    write_folder(analysis, tmp_path / "earlier", ("json",))
    path = write_summary(tmp_path, {"new"}, [Failure(name="bad", source="bad.png", error="not an\nimage")])
    rows = rows_of(path)
    assert [(row["name"], row["status"]) for row in rows] == [("earlier", "kept"), ("new", "done"), ("bad", "failed")]
    assert list(rows[0]) == [name for name in COLUMNS if name not in OPTIONAL]
    assert rows[1]["nuclei"] == "3"
    assert rows[1]["percent_positive"] == "66.67"
    assert rows[1]["warnings"] == "only 3 nuclei"
    assert rows[2]["error"] == "not an image"
    assert rows[2]["nuclei"] == ""


def test_a_score_of_no_cells_is_an_empty_field(analysis, tmp_path):
    nothing = dataclasses.replace(analysis.scores[0], value=math.nan, interval=(math.nan, math.nan))
    write_folder(dataclasses.replace(analysis, scores=(nothing,)), tmp_path / "empty", ("json",))
    write_folder(dataclasses.replace(analysis, scores=()), tmp_path / "none", ("json",))
    assert [row["percent_positive"] for row in rows_of(write_summary(tmp_path, set(), []))] == ["", ""]


def test_a_name_that_a_spreadsheet_would_compute_is_shown_as_it_is(analysis, tmp_path):
    write_folder(dataclasses.replace(analysis, source="@sum.png"), tmp_path / "=1+1", ("json",))
    done, failed = rows_of(write_summary(tmp_path, set(), [Failure(name="-x", source="+x.png", error="=cmd")]))
    assert (done["name"], done["source"]) == ("'=1+1", "'@sum.png")
    assert (failed["name"], failed["source"], failed["error"]) == ("'-x", "'+x.png", "'=cmd")


def test_how_the_stains_look_stands_in_the_summary(analysis, tmp_path):
    write_folder(dataclasses.replace(analysis, stains=find_stains(stained_field(AEC))), tmp_path / "tile", ("json",))
    text = write_summary(tmp_path, {"tile"}, []).read_text()
    assert "blue and red (unknown)" in text
