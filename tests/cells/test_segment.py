import numpy as np
import pytest
from shapely import Polygon

from counterstain.cells.segment import CellOptions, area_warning, segment, thresholds_of
from counterstain.cells.table import COLUMNS, FLAG_TOUCHES_BORDER
from counterstain.errors import UsageError
from counterstain.geometry import Size
from counterstain.images import unmix
from counterstain.panel import DEFAULT_PANEL, Channel, Panel
from counterstain.slides.base import Resolution
from counterstain.stitching.maps import Maps, Plane

MPP = 0.25


class PaintedSlide:
    """A slide of one colour per quadrant pixel array, at any resolution of whole-number ratio."""

    name = "painted"

    def __init__(self, image, mpp):
        self.image = image
        self.size = Size(*image.shape[:2])
        self.resolution = Resolution(mpp, "option")

    def read(self, box, mpp):
        step = round(mpp / self.resolution.mpp)
        return self.image[::step, ::step][box.slices]

    def close(self):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()


def maps_of(planes, panel=DEFAULT_PANEL, mpp=MPP):
    size = Size(*next(iter(planes.values())).shape[:2])
    return Maps(size=size, mpp=mpp, panel=panel, planes={name: Plane(plane) for name, plane in planes.items()})


def field(shape=(40, 60)):
    """Return bytes of the default panel with a positive nucleus of 12 x 10 and a negative one of 14 x 15 pixels."""
    planes = {channel.name: np.zeros((*shape, channel.planes), np.uint8) for channel in DEFAULT_PANEL.channels}
    positive, negative = np.s_[5:17, 8:18], np.s_[20:34, 40:55]
    planes["segmentation"][positive] = [204, 0, 51]
    planes["segmentation"][negative] = [0, 0, 255]
    for nucleus in (positive, negative):
        planes["distance"][nucleus] = 200
        planes["dapi"][nucleus] = 102
    planes["marker"][positive] = 51
    planes["marker"][10, 10] = 255
    planes["marker"][negative] = 25
    image = np.full((*shape, 3), 240, np.uint8)
    image[positive] = (120, 80, 50)
    image[negative] = (110, 100, 170)
    return planes, image


@pytest.mark.parametrize("decoder", ["watershed", "deepliif"])
def test_every_column_of_a_drawn_field(decoder):
    planes, image = field()
    cells = segment(PaintedSlide(image, MPP), maps_of(planes), CellOptions(), decoder=decoder)
    assert len(cells) == 2
    assert {name: column.dtype for name, column in cells.columns.items()} == {k: np.dtype(v) for k, v in COLUMNS.items()}
    assert cells["cell_id"].tolist() == [5 * 2**24 + 8, 20 * 2**24 + 40]
    np.testing.assert_allclose(cells["row_px"], [10.5, 26.5])
    np.testing.assert_allclose(cells["col_px"], [12.5, 47.0])
    np.testing.assert_allclose(cells["row_um"], cells["row_px"] * MPP)
    np.testing.assert_allclose(cells["area_um2"], [120 * MPP**2, 210 * MPP**2])
    np.testing.assert_allclose(cells["perimeter_um"], [40 * MPP, 54 * MPP])
    np.testing.assert_allclose(cells["p_positive"], [0.8 if decoder == "watershed" else 1.0, 0.0], rtol=1e-6)
    assert cells["is_positive"].tolist() == [True, False]
    np.testing.assert_allclose(cells["dapi_mean"], [0.4, 0.4], rtol=1e-6)
    np.testing.assert_allclose(cells["marker_mean"], [(119 * 0.2 + 1) / 120, 25 / 255], rtol=1e-6)
    np.testing.assert_allclose(cells["marker_max"], [1.0, 25 / 255], rtol=1e-6)
    np.testing.assert_array_equal(cells["quality_flags"], [0, 0])
    amounts = unmix(image[[5, 20], [8, 40]][:, np.newaxis])[:, 0]
    np.testing.assert_allclose(cells["hematoxylin_od_mean"], amounts[:, 0], rtol=1e-6)
    np.testing.assert_allclose(cells["dab_od_mean"], amounts[:, 1], rtol=1e-6)
    np.testing.assert_array_equal(cells.outlines[0], [[5, 8], [5, 18], [17, 18], [17, 8]])


def test_positions_and_outlines_are_in_slide_pixels():
    planes, image = field()
    slide = PaintedSlide(np.kron(image, np.ones((2, 2, 1), np.uint8)), MPP / 2)
    cells = segment(slide, maps_of(planes), CellOptions(), decoder="watershed")
    np.testing.assert_array_equal(cells.outlines[0], [[10, 16], [10, 36], [34, 36], [34, 16]])
    np.testing.assert_allclose(cells["row_px"], [21.5, 53.5])
    np.testing.assert_allclose(cells["row_um"], cells["row_px"] * MPP / 2)
    np.testing.assert_allclose(cells["area_um2"], [Polygon(ring).area * (MPP / 2) ** 2 for ring in cells.outlines])
    assert cells["cell_id"].tolist() == [5 * 2**24 + 8, 20 * 2**24 + 40]


def test_a_nucleus_at_the_border_is_flagged():
    planes, image = field()
    cropped = {name: plane[5:] for name, plane in planes.items()}
    cells = segment(PaintedSlide(image[5:], MPP), maps_of(cropped), CellOptions(), decoder="watershed")
    assert cells["quality_flags"].tolist() == [FLAG_TOUCHES_BORDER, 0]


@pytest.mark.parametrize("decoder", ["watershed", "deepliif"])
@pytest.mark.parametrize(("limits", "areas"), [((8.0, None), [13.125]), ((None, 8.0), [7.5]), ((7.5, 13.125), [7.5, 13.125])])
def test_area_limits_are_inclusive(decoder, limits, areas):
    planes, image = field()
    options = CellOptions(min_area_um2=limits[0], max_area_um2=limits[1])
    cells = segment(PaintedSlide(image, MPP), maps_of(planes), options, decoder=decoder)
    assert cells["area_um2"].tolist() == areas
    assert len(cells["p_positive"]) == len(areas)
    assert cells["p_positive"].tolist() == [
        pytest.approx(0.8 if decoder == "watershed" else 1.0) if a == 7.5 else 0 for a in areas
    ]


def test_options_choose_the_decoder_before_the_bundle_does():
    planes, image = field()
    cells = segment(PaintedSlide(image, MPP), maps_of(planes), CellOptions(decoder="deepliif"), decoder="watershed")
    assert cells.thresholds["decoder"] == "deepliif"
    assert cells.thresholds["min_area_um2"] is None
    cells = segment(PaintedSlide(image, MPP), maps_of(planes), CellOptions(), decoder="watershed")
    assert cells.thresholds["min_area_um2"] == 6.0
    assert cells.thresholds["foreground_threshold"] == 0.45


def test_the_marker_promotes_a_nucleus():
    planes, image = field()
    options = CellOptions(threshold=1.0, marker_threshold=0.09)
    cells = segment(PaintedSlide(image, MPP), maps_of(planes), options, decoder="watershed")
    assert cells["is_positive"].tolist() == [True, True]


def test_a_model_without_modalities_gives_nan():
    planes, image = field()
    panel = Panel(channels=(Channel(name="segmentation", role="segmentation", planes=3),))
    cells = segment(
        PaintedSlide(image, MPP), maps_of({"segmentation": planes["segmentation"]}, panel), CellOptions(), decoder="watershed"
    )
    assert len(cells) == 2
    assert all(np.isnan(cells[name]).all() for name in ("dapi_mean", "lap2_mean", "marker_mean", "marker_max"))


def test_a_model_without_segmentation_is_refused():
    planes, image = field()
    panel = Panel(channels=(Channel(name="dapi"),))
    with pytest.raises(UsageError, match="infers no segmentation"):
        segment(PaintedSlide(image, MPP), maps_of({"dapi": planes["dapi"]}, panel), CellOptions(), decoder="watershed")


@pytest.mark.parametrize(("decoder", "smallest_px"), [("watershed", 96), ("deepliif", 5)])
@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (33, 47)])
@pytest.mark.parametrize("level", [0, 255])
def test_blank_and_full_maps_work_at_any_size(decoder, smallest_px, shape, level):
    planes = {channel.name: np.full((*shape, channel.planes), level, np.uint8) for channel in DEFAULT_PANEL.channels}
    planes["segmentation"][..., 1] = 0
    image = np.full((*shape, 3), 255 - level, np.uint8)
    cells = segment(PaintedSlide(image, MPP), maps_of(planes), CellOptions(), decoder=decoder)
    assert len(cells) == (level == 255 and shape[0] * shape[1] >= smallest_px)


def test_all_faults_of_the_options_come_together():
    settings = {"merge_ratio": -1, "smoothing_um": -1, "sharpness": 2}
    with pytest.raises(UsageError) as caught:
        CellOptions(
            decoder="watershed",
            threshold=1.5,
            marker_threshold=float("nan"),
            min_area_um2=30,
            max_area_um2=20,
            settings=settings,
        )
    message = str(caught.value)
    for name in ("threshold", "marker_threshold", "merge_ratio", "smoothing_um", "'sharpness'", "min_area_um2 (30)"):
        assert name in message
    with pytest.raises(UsageError, match="decoder must be one of deepliif, watershed, got 'magic'"):
        CellOptions(decoder="magic")
    with pytest.raises(UsageError, match="max_area_um2 must be above 0"):
        CellOptions(max_area_um2=0)
    with pytest.raises(UsageError, match="min_area_um2 must be at least 0"):
        CellOptions(min_area_um2=float("inf"))


def test_the_settings_of_a_decoder_are_its_own():
    with pytest.raises(UsageError, match="deepliif has no setting 'merge_ratio'; known here: none"):
        CellOptions(decoder="deepliif", settings={"merge_ratio": 0.7})
    with pytest.raises(UsageError, match="name it too"):
        CellOptions(settings={"merge_ratio": 0.7})
    asked = CellOptions(decoder="watershed", settings={"merge_ratio": 0.7})
    assert thresholds_of(asked, decoder="deepliif")["merge_ratio"] == 0.7
    assert thresholds_of(asked, decoder="deepliif")["smoothing_um"] == 0.7
    assert "merge_ratio" not in thresholds_of(CellOptions(), decoder="deepliif")


def test_the_settings_reach_the_decoder():
    planes, image = field()
    maps, settings = maps_of(planes), {"foreground_threshold": 1.0}
    options = CellOptions(decoder="watershed", settings=settings)
    assert len(segment(PaintedSlide(image, MPP), maps, options, decoder="deepliif")) == 0


def test_a_decoder_that_a_bundle_names_and_nobody_knows_is_refused():
    planes, image = field()
    with pytest.raises(UsageError, match="no decoder 'magic'; expected one of: deepliif, watershed"):
        segment(PaintedSlide(image, MPP), maps_of(planes), CellOptions(), decoder="magic")


def test_the_median_area_is_compared_with_what_the_model_expects():
    planes, image = field()
    cells = segment(PaintedSlide(image, MPP), maps_of(planes), CellOptions(), decoder="watershed")
    assert area_warning(cells, (8, 12)) is None  # median 10.3
    small = area_warning(cells, (30, 60))
    assert small is not None
    assert "10 um2, expected 30-60" in small
    assert "2.0 times too small" in small
    assert "20x" in small
    large = area_warning(cells, (1, 4))
    assert large is not None
    assert "too large" in large


def test_no_area_is_expected_of_no_nuclei():
    planes, image = field()
    blank = {name: plane * 0 for name, plane in planes.items()}
    cells = segment(PaintedSlide(image, MPP), maps_of(blank), CellOptions(), decoder="watershed")
    assert area_warning(cells, (30, 60)) is None
