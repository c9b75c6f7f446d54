"""``--shard I/N``: the parts of an array of jobs together are the whole, and none is in the way of another."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from counterstain.jobs.shard import Shard


@given(st.lists(st.integers()), st.integers(1, 9))
def test_shards_together_hold_every_item_once_and_differ_by_one_in_length(items, total):
    shards = [Shard(number=number, total=total).of(items) for number in range(1, total + 1)]
    assert sorted(item for shard in shards for item in shard) == sorted(items)
    assert max(map(len, shards)) - min(map(len, shards)) <= 1


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "1/", "/2", "1/0", "-1/2", "a/b", "1/2/3"])
def test_a_part_that_is_none_is_refused(analyze, good, text):
    result = analyze("good.png", "--shard", text)
    assert result.exit_code == 2
    assert "such as 1/20 to 20/20" in result.stderr


def test_an_array_of_jobs_gives_the_results_and_names_of_one_run(analyze, folder, draw):
    for place in ("a", "b", "c"):  # names that meet, and so need their folders
        Path(place).mkdir()
        Image.fromarray(draw()).save(f"{place}/x.png")
    images = ("a/x.png", "b/x.png", "c/x.png", "none.png", "--format", "json")
    results = [analyze(*images, "--shard", f"{number}/2") for number in (1, 2)]
    assert [result.exit_code for result in results] == [1, 0]  # what is not there is told once
    assert sorted(path.name for path in Path("out").iterdir()) == [
        "a_x",
        "b_x",
        "c_x",
        "counterstain-1-of-2.log",
        "counterstain-2-of-2.log",
        "summary.csv",
    ]
    done = [
        json.loads(line)["name"]
        for number in (1, 2)
        for line in Path(f"out/counterstain-{number}-of-2.log").read_text().splitlines()
        if json.loads(line)["event"] == "done"
    ]
    assert done == ["a_x", "c_x", "b_x"]


def test_a_shard_without_an_image_is_done_at_once(analyze, good):
    result = analyze("good.png", "--shard", "2/2")
    assert result.exit_code == 0
    assert "0 done" in result.stdout
