"""Cell data against what the published software wrote for the published images."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from counterstain.cells.decoders.deepliif import find_components, pixel_classes
from counterstain.cells.deepliif_counts import density_image
from counterstain.errors import OutputError
from counterstain.outputs.tables.deepliif_cells import (
    PublishedCell,
    cells_in,
    decoded,
    encoded,
    mean_density,
    published_cells,
    write_deepliif_cells,
)

TILES = ["22_2", "34_3", "6_2", "799_2"]
VERSIONS = [3, 4, 5, 6]
SQUARE = PublishedCell(
    size=100,
    positive=True,
    value=253,
    bbox=((5, 5), (14, 14)),
    centroid=(10, 10),
    boundary=((5, 5), (14, 5), (14, 14), (5, 14)),
)


@pytest.fixture
def published(golden_dir):
    return lambda tile, version: json.loads((golden_dir / "post" / f"{tile}__cells_v{version}.json").read_text())


@pytest.mark.parametrize(("version", "value", "text"), [(4, 253, "3$+(R((,,((##kqo"), (6, 125, "3$+%f((,,((##kqo")])
def test_a_square_is_packed_as_published(version, value, text):
    square = dataclasses.replace(SQUARE, value=value)
    document = encoded([square], {}, version)
    assert document["cells"] == [text]
    assert decoded(document) == [square]


def test_a_drawn_square_has_the_published_record():
    labels = np.zeros((20, 20), np.int32)
    labels[5:15, 5:15] = 1
    (found,) = cells_in(labels, np.array([True]), np.array([253]))
    assert found == dataclasses.replace(SQUARE, centroid=(10, 10))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("tile", TILES)
def test_published_files_are_decoded_and_encoded_exactly(published, tile, version):
    document = published(tile, version)
    assert encoded(decoded(document), document["settings"], version) == document


@pytest.mark.parametrize("tile", TILES)
def test_packed_and_open_versions_say_the_same(published, tile):
    assert decoded(published(tile, 3)) == decoded(published(tile, 4))
    assert decoded(published(tile, 5)) == decoded(published(tile, 6))


@pytest.mark.parametrize("tile", TILES)
def test_the_cells_of_the_published_rule_have_the_published_records(published, data_dir, tile):
    def rgb(kind):
        return np.asarray(Image.open(data_dir / "deepliif-bc4" / "published" / f"{tile}_{kind}.png").convert("RGB"))

    found = find_components(pixel_classes(rgb("seg")))
    labels, marker = np.maximum(found.labels, 0), rgb("marker").max(axis=2)
    value = np.array([marker[labels == number].max() for number in range(1, len(found.sizes) + 1)], np.int64)
    made = list(cells_in(labels, found.positive_pixels >= found.negative_pixels, value))
    assert made == decoded(published(tile, 3))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(VERSIONS))
def test_what_is_encoded_is_decoded(seed, version):
    generator = np.random.default_rng(seed)
    labels = np.kron(np.arange(1, 10).reshape(3, 3), np.ones((30, 300), int)).astype(np.int32)
    labels[generator.random(labels.shape) < 0.02] = 0
    made = list(cells_in(labels, generator.random(9) < 0.5, generator.integers(0, 723, 9)))
    assert decoded(json.loads(json.dumps(encoded(made, {}, version)))) == made


@pytest.mark.parametrize("version", [3, 5])
def test_final_cells_are_written_in_pixels_of_the_slide(analysis, version):
    first, second, third = published_cells(analysis, version)
    assert (first.size, first.positive, first.bbox) == (16, True, ((1, 1), (4, 4)))
    assert (second.positive, third.positive, third.size) == (False, True, 24)
    assert third.boundary == ((10, 8), (15, 8), (15, 11), (10, 11))
    assert [first.value, third.value] == ([64, 191] if version == 3 else [8, 8])


def test_the_file_is_version_3(analysis, tmp_path):
    write_deepliif_cells(analysis, tmp_path / "cells.deepliif.json")
    document = json.loads((tmp_path / "cells.deepliif.json").read_text())
    assert document["dataVersion"] == 3
    assert decoded(document) == list(published_cells(analysis, 3))


@pytest.mark.parametrize("document", [{"dataVersion": 2, "cells": []}, {"dataVersion": 3}, {"dataVersion": 4, "cells": [""]}])
def test_what_is_no_cell_data_is_refused(document):
    with pytest.raises(OutputError, match="cell data"):
        decoded(document)


@pytest.mark.parametrize("tile", TILES)
def test_optical_densities_are_the_published_ones_but_for_very_dark_nuclei(published, data_dir, tile):
    """Nuclei with black pixels come out up to 4 % lower than published; all others are equal."""
    folder = data_dir / "deepliif-bc4"
    seg, ihc = (
        np.asarray(Image.open(folder / path).convert("RGB")) for path in (f"published/{tile}_seg.png", f"ihc/{tile}.png")
    )
    found = find_components(pixel_classes(seg))
    made = mean_density(np.maximum(found.labels, 0), density_image(ihc), len(found.sizes))
    wanted = np.array([cell.value for cell in decoded(published(tile, 5))])
    darkest = np.array([ihc[found.labels == number].min() for number in range(1, len(made) + 1)])
    np.testing.assert_array_equal(made[darkest > 50], wanted[darkest > 50])
    assert (np.abs(made - wanted) <= np.maximum(0.5, 0.04 * wanted)).all()
