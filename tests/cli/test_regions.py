import json

from counterstain.scoring import names
from counterstain.scoring.density import density

BOXES = "name,row_px,col_px,height_px,width_px\nleft,0,0,96,48\nright,0,48,96,48\n"


def test_scores_and_densities_of_each_region_are_in_the_record(good, analyze):
    (good.parent / "boxes.csv").write_text(BOXES)
    assert analyze(good, "--mpp", "0.25", "--regions", "boxes.csv").exit_code == 0
    scores = json.loads((good.parent / "out" / "good" / "analysis.json").read_text())["scores"]
    found = {(score["region"], score["name"]): score for score in scores}
    assert [found[region, "percent_positive"]["counts"]["total"] for region in ("all", "left", "right")] == [4, 2, 2]
    assert found["left", "percent_positive"]["value"] == 100
    area_mm2 = 96 * 48 * 0.25**2 / 1e6
    assert found["right", "density"]["area_mm2"] == area_mm2
    assert abs(found["right", "density"]["value"] * area_mm2 - 2) < 1e-9


def test_a_wrong_file_of_regions_is_refused_before_any_work(good, analyze):
    result = analyze(good, "--regions", "good.png")
    assert result.exit_code == 2
    assert "cannot read the regions good.png" in result.output
    assert not (good.parent / "out").exists()


def test_regions_of_another_slide_are_warned_of_by_every_command(good, analyze, run):
    (good.parent / "boxes.csv").write_text(BOXES.replace("right,0,48,96,48", "right,0,4800,96,48"))
    done = analyze(good, "--mpp", "0.25", "--regions", "boxes.csv")
    told = "1 of 2 regions reach beyond the slide (right)"
    assert told in done.stderr
    assert told in json.loads((good.parent / "out" / "good" / "analysis.json").read_text())["warnings"][-1]
    for command in (("segment", "--out", "new"), ("score",)):
        assert told in run(*command, "out", "--regions", "boxes.csv").stderr


def test_a_moved_region_of_the_same_name_and_size_is_no_kept_result(good, analyze):
    boxes = good.parent / "boxes.csv"
    boxes.write_text("name,row_px,col_px,height_px,width_px\nhere,0,0,96,48\n")
    for kept in (False, True):
        done = analyze(good, "--mpp", "0.25", "--regions", "boxes.csv")
        assert (done.exit_code, "1 kept" in done.output) == (0, kept)
    boxes.write_text("name,row_px,col_px,height_px,width_px\nhere,0,48,96,48\n")
    done = analyze(good, "--mpp", "0.25", "--regions", "boxes.csv")
    assert done.exit_code == 1
    assert "its regions differ" in done.output


def test_scores_that_are_named_are_those_that_are_written_by_every_command(good, analyze, run):
    (good.parent / "boxes.csv").write_text(BOXES)
    only = ("--score", "density", "--regions", "boxes.csv")
    done = analyze(good, "--mpp", "0.25", *only)
    assert (done.exit_code, "-" in done.stdout.splitlines()[1].split()) == (0, True)
    assert run("segment", "out", "--out", "new", *only).exit_code == 0
    shown = run("score", "out", *only)
    assert shown.stdout.splitlines()[0].split() == ["Image", "Region", "Nuclei/mm2"]
    for name in ("out/good/analysis.json", "out/good/scores.json", "new/good/analysis.json"):
        scores = json.loads((good.parent / name).read_text())["scores"]
        assert [(score["region"], score["name"]) for score in scores] == [(r, "density") for r in ("all", "left", "right")]
    done = analyze(good, "--mpp", "0.25", "--regions", "boxes.csv")
    assert "its scores were density" in done.output


def test_an_unknown_score_is_refused_with_those_that_are_known_before_any_work(good, analyze, run):
    assert analyze(good, "--mpp", "0.25", "--format", "csv", "--format", "ome-tiff").exit_code == 0
    for command in (("analyze", good, "--out", "new"), ("segment", "out", "--out", "new"), ("score", "out")):
        done = run(*command, "--score", "hscore")
        assert done.exit_code == 2
        assert "no score 'hscore'; known are percent_positive, density, positive_density" in done.output
    assert not (good.parent / "new").exists()


def test_every_region_is_scored_once(good, analyze, monkeypatch):
    counted = []
    monkeypatch.setitem(names.SCORERS, "density", lambda population: counted.append(population) or density(population))
    (good.parent / "boxes.csv").write_text(BOXES)
    assert analyze(good, "--mpp", "0.25", "--regions", "boxes.csv").exit_code == 0
    assert len(counted) == 3
