"""Damaged tiles: named, no tissue, no nuclei in them; the slide goes on up to a stated share of damage."""

import numpy as np
import pytest
import tifffile

from counterstain import pipeline
from counterstain.errors import UnreadableSlideError
from counterstain.geometry import Box
from counterstain.inference.classical import ClassicalBackend
from counterstain.pipeline import AnalyzeOptions, analyze
from counterstain.slides.opening import open_slide

SIDE, TILE, MPP = 1024, 64, 0.25
PER_CM = 1e4 / MPP


def tissue():
    """Brown and blue disks, 28 px apart, on tinted ground; seed 0."""
    generator = np.random.default_rng(0)
    image = generator.integers(205, 232, (SIDE, SIDE, 3)).astype(np.uint8)
    rows, cols = np.mgrid[:19, :19]
    disk = (rows - 9) ** 2 + (cols - 9) ** 2 <= 81
    for row in range(4, SIDE - 24, 28):
        for col in range(4, SIDE - 24, 28):
            image[row : row + 19, col : col + 19][disk] = [(90, 50, 20), (90, 110, 170)][int(generator.random() < 0.5)]
    return image


class SmallTiles(ClassicalBackend):
    """The classical model with tiles of 256 px."""

    def __init__(self):
        super().__init__()
        self.manifest = self.manifest.model_copy(update={"tile_px": 256})


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A pyramid of two levels, compressed by zlib."""
    path = tmp_path_factory.mktemp("slides") / "slide.tif"
    options = {"tile": (TILE, TILE), "photometric": "rgb", "compression": "zlib", "metadata": None}
    with tifffile.TiffWriter(path) as writer:
        for step in (1, 4):
            resolution = {"resolution": (PER_CM / step,) * 2, "resolutionunit": "CENTIMETER"}
            writer.write(tissue()[::step, ::step], subfiletype=int(step > 1), **resolution, **options)
    return path


def damaged(whole, folder, numbers, level=0):
    """Return a copy of a slide of which some tiles are overwritten with zeros."""
    content = bytearray(whole.read_bytes())
    with tifffile.TiffFile(whole) as tiff:
        page = tiff.pages[level]
        for number in numbers:
            start, count = page.dataoffsets[number], page.databytecounts[number]
            content[start : start + count] = bytes(count)
    path = folder / whole.name
    path.write_bytes(content)
    return path


def places_of(numbers):
    return [Box(number // (SIDE // TILE) * TILE, number % (SIDE // TILE) * TILE, TILE, TILE) for number in numbers]


def holds_nucleus(analysis, box):
    rows, cols = analysis.cells["row_px"], analysis.cells["col_px"]
    return any(box.contains(row, col) for row, col in zip(rows, cols, strict=True))


@pytest.fixture(params=["memory", "disk"])
def work(request, tmp_path, monkeypatch):
    """A folder of work, where slides keep their maps on disk; None where they fit in memory."""
    if request.param == "memory":
        return None
    monkeypatch.setattr(pipeline, "IN_MEMORY_PIXELS", 1000)
    return tmp_path / "work"


def test_damaged_tiles_hold_no_nuclei_and_no_tissue_and_are_named(whole, tmp_path, work):
    numbers = (0, 37, 120)
    with open_slide(whole) as slide:
        good = analyze(slide, SmallTiles(), work=work and work.with_name("good"))
    with open_slide(damaged(whole, tmp_path, numbers)) as slide:
        analysis = analyze(slide, SmallTiles(), work=work)
    assert all(holds_nucleus(good, place) and not holds_nucleus(analysis, place) for place in places_of(numbers))
    assert len(good.cells) - 20 * len(numbers) < len(analysis.cells) < len(good.cells)
    hole_mm2 = len(numbers) * (TILE * MPP / 1000) ** 2
    assert analysis.tissue_mm2 == pytest.approx(good.tissue_mm2 - hole_mm2)
    named = [box for box, quality in analysis.tiles if "damaged" in quality.flags]
    assert all(any(box.intersection(place).size.area for box in named) for place in places_of(numbers))
    assert len(named) < len(analysis.tiles) / 2
    assert analysis.warnings[0].startswith("the file is damaged: ")
    assert "1.2 % of what was analysed" in analysis.warnings[0]
    assert not any("damaged" in warning for warning in good.warnings)


def test_nuclei_away_from_the_damage_are_those_of_the_whole_slide(whole, tmp_path):
    with open_slide(whole) as slide:
        good = analyze(slide, SmallTiles())
    with open_slide(damaged(whole, tmp_path, [37])) as slide:
        analysis = analyze(slide, SmallTiles())
    (place,) = places_of([37])
    near = place.grown(100)
    far = [
        {
            (float(row), float(col))
            for row, col in zip(found.cells["row_px"], found.cells["col_px"], strict=True)
            if not near.contains(row, col)
        }
        for found in (good, analysis)
    ]
    assert far[0] == far[1]


def test_more_damage_than_is_allowed_fails_and_names_the_share_and_the_first_tile(whole, tmp_path, work):
    path = damaged(whole, tmp_path, range(16))
    with open_slide(path) as slide:
        with pytest.raises(UnreadableSlideError, match=r"slide is damaged: 6\.25 % .* at most 5 % .*tile 0 of level 0 of"):
            analyze(slide, SmallTiles(), work=work)
        allowed = analyze(slide, SmallTiles(), AnalyzeOptions(max_damaged_share=0.1), work=work)
    assert "6.2 % of what was analysed" in allowed.warnings[0]


def test_a_single_tile_of_a_small_file_may_be_more_than_is_allowed(tmp_path):
    path = tmp_path / "slide.tif"
    options = {"resolution": (PER_CM,) * 2, "resolutionunit": "CENTIMETER", "metadata": None, "compression": "zlib"}
    tifffile.imwrite(path, tissue()[:512, :512], tile=(256, 256), photometric="rgb", **options)
    (tmp_path / "damaged").mkdir()
    for numbers, fails in (([3], False), ([2, 3], True)):
        with open_slide(damaged(path, tmp_path / "damaged", numbers)) as slide:
            if fails:
                with pytest.raises(UnreadableSlideError, match="50 %"):
                    analyze(slide, SmallTiles())
            else:
                assert "25 % of what was analysed" in analyze(slide, SmallTiles()).warnings[0]


def test_a_slide_of_nothing_but_damage_is_called_damaged_not_of_one_colour(whole, tmp_path):
    with (
        open_slide(damaged(damaged(whole, tmp_path, range(256)), tmp_path, range(16), level=1)) as slide,
        pytest.raises(UnreadableSlideError, match="shows nothing but damage; the first: cannot decode tile 0"),
    ):
        analyze(slide, SmallTiles())


def test_a_damaged_tile_of_a_smaller_level_changes_nothing_that_is_counted(whole, tmp_path):
    with open_slide(whole) as slide:
        good = analyze(slide, SmallTiles())
    with open_slide(damaged(whole, tmp_path, [3], level=1)) as slide:
        analysis = analyze(slide, SmallTiles())
    assert len(analysis.cells) == len(good.cells)
    assert not any(quality.damaged for _, quality in analysis.tiles)


def test_a_slide_on_disk_gives_what_it_gives_in_memory(whole, tmp_path, monkeypatch):
    path = damaged(whole, tmp_path, [37, 120])
    with open_slide(path) as slide:
        in_memory = analyze(slide, SmallTiles())
        monkeypatch.setattr(pipeline, "IN_MEMORY_PIXELS", 1000)
        on_disk = analyze(slide, SmallTiles(), work=tmp_path / "work")
    np.testing.assert_array_equal(in_memory.cells["row_px"], on_disk.cells["row_px"])
    assert in_memory.tissue_mm2 == on_disk.tissue_mm2
    assert sum(quality.damaged > 0 for _, quality in on_disk.tiles) == sum(
        quality.damaged > 0 for _, quality in in_memory.tiles
    )


def test_damage_where_no_level_shows_tissue_is_named_too(tmp_path, monkeypatch):
    """A flat file on disk: nobody can see whether there is tissue in the damaged part, so its tiles are made and named."""
    image = np.full((SIDE, SIDE, 3), 246, np.uint8)
    image[: SIDE // 2] = tissue()[: SIDE // 2]
    path = tmp_path / "slide.tif"
    options = {"resolution": (PER_CM,) * 2, "resolutionunit": "CENTIMETER", "metadata": None}
    tifffile.imwrite(path, image, tile=(TILE, TILE), photometric="rgb", compression="zlib", **options)
    monkeypatch.setattr("counterstain.slides.tiffs.tiled.FLAT_PIXELS", 1000)
    monkeypatch.setattr(pipeline, "IN_MEMORY_PIXELS", 1000)
    (tmp_path / "damaged").mkdir()
    number = SIDE // TILE * (SIDE // TILE) - 2  # on glass, in the last row
    with open_slide(damaged(path, tmp_path / "damaged", [number])) as slide:
        analysis = analyze(slide, SmallTiles(), work=tmp_path / "work")
    (place,) = places_of([number])
    assert any(box.intersection(place).size.area for box, quality in analysis.tiles if quality.damaged)
