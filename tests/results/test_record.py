import dataclasses
import json
import math

import pytest

from counterstain.results.part import as_json, finite, write_json
from counterstain.results.record import read_record, record, write_record


def test_a_record_is_strict_json_and_says_what_was_counted_and_how(analysis, tmp_path):
    write_record(analysis, tmp_path / "analysis.json", ("cells.csv",))
    content = as_json(read_record(tmp_path))
    assert content["format_version"] == 2
    assert content["counts"] == {"nuclei": 3, "positive": 2, "negative": 1}
    assert content["slide"]["mpp"] == 0.25
    assert content["slide"]["mpp_source"] == "metadata"
    assert content["bundle"] | {"licence": 0, "marker": 0, "manifest": 0} == {
        "name": "drawn",
        "version": "1.0",
        "fingerprint": "0" * 64,
        "licence": 0,
        "marker": 0,
        "manifest": 0,
    }
    assert content["thresholds"]["decoder"] == "watershed"
    assert content["scores"][0]["interval_95"] == [20.77, 93.85]
    assert content["warnings"] == ["only 3 nuclei"]
    assert content["files"] == ["cells.csv", "analysis.json"]
    assert content["versions"]["numpy"]
    assert content["timings_s"] == {"network": 0.25}


def test_a_score_of_no_cells_is_null(analysis):
    nothing = dataclasses.replace(analysis.scores[0], value=math.nan, interval=(math.nan, math.inf))
    score = as_json(record(dataclasses.replace(analysis, scores=(nothing,))))["scores"][0]
    assert score["value"] is None
    assert score["interval_95"] == [None, None]


def test_finite_reaches_into_lists_and_keeps_everything_else():
    assert finite({"a": [1, math.nan, ("x", -math.inf)], "b": True}) == {"a": [1, None, ["x", None]], "b": True}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": "other"}', "\xff"])
def test_a_file_of_the_same_name_from_elsewhere_is_no_record(tmp_path, text):
    (tmp_path / "analysis.json").write_bytes(text.encode("latin-1"))
    assert read_record(tmp_path) is None


@pytest.mark.parametrize(
    "damage",
    [
        {"slide": None},
        {"slide": {}},
        {"counts": {"nuclei": "3", "positive": 2, "negative": 1}},
        {"files": None},
        {"files": [1, {}]},
        {"scores": [{}]},
        {"warnings": "few"},
        {"format_version": "1"},
        {"bundle": []},
    ],
)
def test_a_damaged_record_is_no_record(analysis, tmp_path, damage):
    (tmp_path / "analysis.json").write_text(json.dumps(as_json(record(analysis))), encoding="utf-8")
    assert read_record(tmp_path) is not None
    (tmp_path / "analysis.json").write_text(json.dumps({**as_json(record(analysis)), **damage}), encoding="utf-8")
    assert read_record(tmp_path) is None


@pytest.mark.parametrize(("name", "value"), [("mpp", 0), ("analysed_mpp", -1), ("width_px", 0), ("analysed_height_px", -4)])
def test_a_record_of_an_image_without_size_is_no_record(analysis, tmp_path, name, value):
    content = as_json(record(analysis))
    content["slide"][name] = value
    (tmp_path / "analysis.json").write_text(json.dumps(content), encoding="utf-8")
    assert read_record(tmp_path) is None


def test_the_mark_alone_is_no_record(tmp_path):
    (tmp_path / "analysis.json").write_text('{"format": "counterstain analysis"}')
    assert read_record(tmp_path) is None


def test_no_file_is_no_record(tmp_path):
    assert read_record(tmp_path) is None


def test_the_record_is_json_for_every_reader(analysis, tmp_path):
    write_record(analysis, tmp_path / "analysis.json")

    def refuse(constant):
        raise AssertionError(constant)

    json.loads((tmp_path / "analysis.json").read_text(encoding="utf-8"), parse_constant=refuse)


def test_the_tissue_area_is_recorded_where_it_was_looked_for(analysis):
    assert "tissue_mm2" not in as_json(record(analysis))["slide"]
    assert record(dataclasses.replace(analysis, tissue_mm2=1.5)).slide.tissue_mm2 == 1.5


def test_what_is_read_and_written_again_is_the_same_text_but_for_its_form(analysis, tmp_path):
    write_record(analysis, tmp_path / "analysis.json", ("cells.csv",))
    text = (tmp_path / "analysis.json").read_text()
    write_json(tmp_path / "again.json", as_json(read_record(tmp_path)))
    assert (tmp_path / "again.json").read_text() == text


def test_what_a_later_version_added_is_kept(analysis, tmp_path):
    later = as_json(record(analysis)) | {"new": [1, {"a": None}]}
    later["slide"]["new"] = "x"
    write_json(tmp_path / "analysis.json", later)
    assert as_json(read_record(tmp_path)) == later


def test_a_result_of_an_early_version_is_read_without_what_it_did_not_say(analysis, tmp_path):
    early = as_json(record(analysis))
    for name in ("timings_s", "versions"):
        del early[name]
    for name in ("marker", "licence", "manifest"):
        del early["bundle"][name]
    early["scores"] = [
        {key: score[key] for key in ("name", "region", "value", "interval_95", "counts")} for score in early["scores"]
    ]
    write_json(tmp_path / "analysis.json", early)
    assert read_record(tmp_path).bundle.manifest is None
    assert as_json(read_record(tmp_path)) == early


def test_a_recorded_score_is_the_score_that_was_given(analysis):
    nothing = dataclasses.replace(analysis.scores[0], value=math.nan, interval=(math.nan, math.nan), area_mm2=2.0)
    one, other = (
        written.score() for written in record(dataclasses.replace(analysis, scores=(analysis.scores[0], nothing))).scores
    )
    assert one == analysis.scores[0]
    assert (math.isnan(other.value), other.area_mm2) == (True, 2.0)
