import numpy as np
import pytest
from scipy.stats import binomtest

from counterstain.cells.table import COLUMNS, Cells
from counterstain.errors import UsageError
from counterstain.scoring.base import Population
from counterstain.scoring.density import density
from counterstain.scoring.fraction import percent_positive
from counterstain.scoring.intervals import wilson
from counterstain.scoring.names import DEFAULT, SCORERS, scorers
from counterstain.slides.base import Resolution


def population_at(rows_um, cols_um, is_positive):
    count = len(is_positive)
    columns = {name: np.zeros(count, dtype) for name, dtype in COLUMNS.items()}
    columns["row_um"], columns["col_um"] = np.array(rows_um, float), np.array(cols_um, float)
    columns["is_positive"] = np.array(is_positive, bool)
    cells = Cells(columns=columns, outlines=[np.zeros((3, 2))] * count)
    return Population(cells=cells, area_mm2=None, resolution=Resolution(0.25, "metadata"))


def in_one_block(positive, total):
    return population_at(np.linspace(0, 249, total), np.zeros(total), np.arange(total) < positive)


def in_blocks(share_by_block, per_block=50):
    """Return the nuclei of a row of blocks, each with its own share of positives."""
    blocks = len(share_by_block)
    cols = np.repeat(np.arange(blocks) * 250.0 + 10, per_block)
    positive = np.concatenate([np.arange(per_block) < round(share * per_block) for share in share_by_block])
    return population_at(np.zeros(blocks * per_block), cols, positive)


@pytest.mark.parametrize(("positive", "total"), [(0, 7), (7, 7), (1, 2), (30, 120), (199, 200), (1, 5000)])
def test_one_block_gets_wilsons_interval(positive, total):
    expected = binomtest(positive, total).proportion_ci(method="wilson")
    score = percent_positive(in_one_block(positive, total))
    assert score.interval == pytest.approx((100 * expected.low, 100 * expected.high), abs=1e-9)
    assert score.interval_method == "wilson"
    assert score.value == pytest.approx(100 * positive / total)
    assert score.counts == {"total": total, "positive": positive, "negative": total - positive}
    assert (score.name, score.unit) == ("percent_positive", "%")


def test_no_cells_give_nan_and_say_so():
    score = percent_positive(in_one_block(0, 0))
    assert np.isnan([score.value, *score.interval]).all()
    assert score.counts["total"] == 0
    assert "no nucleus" in score.warnings[0]
    assert np.isnan(wilson(float("nan"), 0)).all()


def test_few_cells_are_warned_about():
    assert "only 99 nuclei" in percent_positive(in_one_block(9, 99)).warnings[0]
    assert "only 1 nucleus was counted" in percent_positive(in_one_block(1, 1)).warnings[0]
    assert percent_positive(in_one_block(9, 100)).warnings == ()


def test_clustered_positives_widen_the_interval():
    clustered, even = percent_positive(in_blocks([1, 0] * 10)), percent_positive(in_blocks([0.5] * 20))
    assert clustered.value == even.value == 50
    assert clustered.interval_method == even.interval_method == "wilson, design effect of blocks"
    standard_error = 100 * 0.5 / np.sqrt(20)  # of the mean of 20 blocks that are 0 or 100 %
    assert np.diff(clustered.interval).item() == pytest.approx(2 * 1.96 * standard_error, rel=0.15)
    assert np.diff(even.interval).item() == pytest.approx(100 * np.diff(wilson(0.5, 1000)).item(), rel=0.1)


def test_the_interval_is_never_narrower_than_wilsons_and_holds_the_value():
    score = percent_positive(in_blocks([0, 0, 0.02]))
    low, high = wilson(1 / 150, 150)
    assert score.interval[0] <= 100 * low
    assert score.interval[1] >= 100 * high
    assert score.interval[0] <= score.value <= score.interval[1]


def test_two_runs_give_one_interval():
    cells = in_blocks([0.1, 0.5, 0.9, 0.3])
    assert percent_positive(cells) == percent_positive(cells)


def test_scores_are_found_by_name_each_once_and_an_unknown_one_lists_them():
    assert scorers(["density", "percent_positive", "density"]) == (density, percent_positive)
    assert scorers(DEFAULT) == tuple(SCORERS[name] for name in DEFAULT)
    with pytest.raises(UsageError, match="no score 'hscore'; known are percent_positive, density"):
        scorers(["density", "hscore"])


def test_a_thin_strip_at_an_edge_is_not_a_block_of_its_own():
    rng = np.random.default_rng(0)
    rows, cols = rng.uniform(0, 256, 300), rng.uniform(0, 256, 300)
    score = percent_positive(population_at(rows, cols, rng.random(300) < 0.4))
    assert score.interval_method == "wilson"
