import dataclasses
from pathlib import Path

from stained_fields import AEC, stained_field

from counterstain.results.record import read_record, record, write_record
from counterstain.results.stains import StainsRecord
from counterstain.tiling.stains import find_stains

STAINS = find_stains(stained_field(AEC))


def test_the_stains_are_recorded_and_read_back(analysis, tmp_path):
    write_record(dataclasses.replace(analysis, stains=STAINS), tmp_path / "analysis.json")
    found = read_record(tmp_path).stains
    assert found.stains() == STAINS
    assert found.known_to_model == ("hematoxylin", "DAB")
    assert "red" in found.warnings()[0]
    assert record(analysis).stains is None


def test_the_specification_names_every_key_of_the_stains():
    specification = (Path(__file__).parents[2] / "docs" / "format.md").read_text(encoding="utf-8")
    assert [key for key in StainsRecord.model_fields if f"`{key}`" not in specification] == []


def test_a_model_of_other_stains_says_so_in_its_results(analysis):
    manifest = analysis.manifest.model_copy(update={"stains": ("hematoxylin", "AEC")})
    assert record(dataclasses.replace(analysis, manifest=manifest)).bundle.manifest["stains"] == ["hematoxylin", "AEC"]
    assert "stains" not in record(analysis).bundle.manifest
