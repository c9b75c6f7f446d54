"""From an upload to what a page shows, with the numbers of the command line."""

import io
import json
import zipfile

import numpy as np
import pytest
from PIL import Image
from web_service import as_png, do_all, picture, send

from counterstain.cells.table import COLUMNS
from counterstain.geometry import Box
from counterstain.jobs.analyzing import analyze_images
from counterstain.jobs.order import Order
from counterstain.outputs.images.drawing import painted_labels
from counterstain.results.opening import open_result


def get(served, path):
    client, job = served
    return client.get(f"/api/v1/results/{job}{path}")


def column(served, name):
    kinds = {found["name"]: found["dtype"] for found in get(served, "/nuclei").json()["columns"]}
    return np.frombuffer(get(served, f"/nuclei/{name}").content, kinds[name])


@pytest.fixture(scope="module")
def by_command_line(tmp_path_factory, png):
    folder = tmp_path_factory.mktemp("line")
    (folder / "field.png").write_bytes(png)
    order = Order(out=folder / "out", bundle="classical", mpp=0.25)
    analyze_images((str(folder / "field.png"),), order)
    return folder / "out" / "field"


def test_a_job_gives_the_numbers_and_files_of_the_command_line(served, by_command_line):
    made = json.loads((by_command_line / "analysis.json").read_text())
    told = get(served, "").json()
    assert (told["counts"], told["scores"], told["thresholds"]) == (made["counts"], made["scores"], made["thresholds"])
    assert get(served, "/files/cells.csv").content == (by_command_line / "cells.csv").read_bytes()


def test_the_record_does_not_say_where_the_image_lies(served):
    client, _ = served
    assert str(client.app.state.service.settings.data) not in get(served, "").text


def test_an_image_that_comes_in_pieces_is_the_image(client, png):
    number = client.post("/api/v1/uploads", json={"name": "a.png", "size_bytes": len(png)}).json()["upload_id"]
    for start in range(0, len(png), 1000):
        piece = png[start : start + 1000]
        last = client.patch(f"/api/v1/uploads/{number}", content=piece, headers={"Upload-Offset": str(start)})
    assert last.json()["is_complete"]
    assert (client.app.state.service.settings.uploads / number / "a.png").read_bytes() == png


def test_a_piece_at_a_wrong_place_is_refused_with_the_right_one(client, png):
    number = client.post("/api/v1/uploads", json={"name": "a.png", "size_bytes": len(png)}).json()["upload_id"]
    answer = client.patch(f"/api/v1/uploads/{number}", content=png[5:], headers={"Upload-Offset": "5"})
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (409, "0")


def test_tiles_of_the_slide_put_together_are_the_slide(served):
    told = get(served, "/pyramid").json()
    whole = np.concatenate(
        [np.asarray(Image.open(io.BytesIO(get(served, f"/tiles/ihc/0/0_{col}").content))) for col in (0, 1)], axis=1
    )
    assert (told["levels"][0]["rows"], told["levels"][0]["cols"]) == (1, 2)
    assert np.abs(whole.astype(int) - picture()).mean() < 3  # JPEG


def test_label_tiles_have_the_numbers_of_the_rows_of_the_table(served, by_command_line):
    tiles = [np.asarray(Image.open(io.BytesIO(get(served, f"/tiles/labels/0/0_{col}").content))) for col in (0, 1)]
    rgb = np.concatenate(tiles, axis=1).astype(np.int64)
    expected = painted_labels(open_result(by_command_line).cells, Box(0, 0, 300, 700), 1.0)
    assert expected.max() > 10
    np.testing.assert_array_equal(rgb @ [65536, 256, 1], expected)


@pytest.mark.parametrize("layer", ["hematoxylin", "dapi", "marker", "segmentation", "composite"])
def test_every_level_of_a_layer_has_tiles(served, layer):
    for level in get(served, "/pyramid").json()["levels"]:
        tile = Image.open(io.BytesIO(get(served, f"/tiles/{layer}/{level['level']}/0_0").content))
        assert tile.size == (min(512, level["width_px"]), min(512, level["height_px"]))


@pytest.mark.parametrize("place", ["ihc/9/0_0", "ihc/0/1_0", "ihc/0/0_2", "nothing/0/0_0"])
def test_a_tile_that_is_not_there_is_not_found(served, place):
    assert get(served, f"/tiles/{place}").status_code == 404


def test_columns_are_those_of_the_table_as_bytes(served, by_command_line):
    cells = open_result(by_command_line).cells
    for name in COLUMNS:
        np.testing.assert_array_equal(column(served, name), cells[name])


def test_a_column_that_has_not_changed_is_not_sent_again(served):
    client, job = served
    tag = get(served, "/nuclei/area_um2").headers["etag"]
    again = client.get(f"/api/v1/results/{job}/nuclei/area_um2", headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")


def test_outlines_of_a_box_are_those_of_the_nuclei_in_it(served, by_command_line):
    found = get(served, "/outlines?row=0&col=0&height=100&width=100").json()
    expected = open_result(by_command_line).cells.within(Box(0, 0, 100, 100))
    assert len(expected)
    assert found["outlines"] == [ring.ravel().tolist() for ring in expected.outlines]


@pytest.mark.parametrize(
    "asked",
    [{}, {"threshold": 0.3}, {"marker_threshold": 0.2}, {"min_dab_od": 0.3}, {"min_area_um2": 20, "max_area_um2": 29.0}],
)
def test_the_recount_is_that_of_the_columns_by_the_written_rule(served, asked):
    client, job = served
    told = client.post(f"/api/v1/results/{job}/scores", json=asked).json()
    called = column(served, "p_positive") >= np.float32(asked.get("threshold", 0.5))
    if "marker_threshold" in asked:
        called |= column(served, "marker_max") > np.float32(asked["marker_threshold"])
    if "min_dab_od" in asked:
        called &= column(served, "dab_od_mean") >= np.float32(asked["min_dab_od"])
    area = column(served, "area_um2")
    counts = (area >= asked.get("min_area_um2", 0)) & (area <= asked.get("max_area_um2", np.inf))
    assert (told["nuclei"], told["positive"]) == (counts.sum(), (counts & called).sum())


def test_thresholds_and_regions_are_there_again_when_a_page_is_loaded_again(served):
    client, job = served
    ring = [[0, 0], [300, 0], [300, 300], [0, 300], [0, 0]]
    feature = {"type": "Feature", "properties": {"name": "left"}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    drawn = {"type": "FeatureCollection", "features": [feature]}
    client.put(f"/api/v1/results/{job}/thresholds", json={"threshold": 0.25})
    scored = client.put(f"/api/v1/results/{job}/regions", json=drawn).json()
    assert get(served, "/regions").json() == drawn
    assert get(served, "/thresholds").json()["threshold"] == 0.25
    x = column(served, "col_px")
    left = next(found for found in scored["scores"] if found["region"] == "left")
    assert left["counts"]["total"] == (x + 0.5 < 300).sum()


def test_what_is_no_region_is_refused_and_the_regions_stay(served):
    client, job = served
    before = get(served, "/regions").json()
    answer = client.put(f"/api/v1/results/{job}/regions", json={"type": "Feature", "geometry": None})
    assert answer.status_code == 422
    assert get(served, "/regions").json() == before


def test_the_archive_holds_every_file(served):
    with zipfile.ZipFile(io.BytesIO(get(served, "/archive.zip").content)) as archive:
        assert archive.testzip() is None
        tops = {name.split("/")[0] for name in archive.namelist()}
    assert tops == {found["name"] for found in get(served, "/files").json()}


def test_events_tell_of_a_job_until_it_has_ended(served):
    client, job = served
    text = client.get(f"/api/v1/jobs/{job}/events").text
    told = json.loads(text.split("data: ")[1])
    assert (told["state"], told["done_mpx"]) == ("done", told["total_mpx"])


def test_a_job_that_waits_is_cancelled_and_removed(client, png):
    upload = send(client, png).json()["upload_id"]
    job = client.post("/api/v1/jobs", json={"upload_id": upload}).json()["job_id"]
    assert client.delete(f"/api/v1/jobs/{job}").status_code == 409
    assert client.post(f"/api/v1/jobs/{job}/cancel").json()["state"] == "cancelled"
    assert client.delete(f"/api/v1/jobs/{job}").status_code == 204
    assert client.get(f"/api/v1/jobs/{job}").status_code == 404


def test_a_job_that_fails_says_why_in_fields_and_without_places(client):
    upload = send(client, as_png(np.full((64, 64, 3), 235, np.uint8))).json()["upload_id"]
    number = client.post("/api/v1/jobs", json={"upload_id": upload, "options": {"bundle": "classical"}}).json()["job_id"]
    service = client.app.state.service
    (service.settings.uploads / upload / "field.png").write_bytes(b"\x89PNG\r\n\x1a\n damaged")
    do_all(service)
    job = client.get(f"/api/v1/jobs/{number}").json()
    assert job["state"] == "failed"
    assert job["problem"]["detail"].startswith("cannot decode field.png")
    assert str(service.settings.data) not in json.dumps(job)
    assert client.get(f"/api/v1/results/{number}").status_code == 409
