import json

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
