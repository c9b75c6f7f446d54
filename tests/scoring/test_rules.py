"""Scores by published rules: edges by hand, QuPath's numbers on random counts, and what is refused or withheld."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from populations import population, stained

from counterstain.cells.intensity import MARKER, QUPATH, Intensity, classes_of
from counterstain.errors import UsageError
from counterstain.scoring.categories import Categories, CutOff
from counterstain.scoring.names import DEFAULT, HEADINGS, REFUSED, SCORERS, scorers
from counterstain.scoring.rules.allred import PUBLISHED, allred, allred_of
from counterstain.scoring.rules.allred import QUPATH as ALLRED_QUPATH
from counterstain.scoring.rules.h_score import h_score, h_score_of
from counterstain.scoring.rules.ki67 import ki67, net_grade
from counterstain.scoring.rules.receptors import er, pgr
from counterstain.scoring.rules.staining import Staining, staining


def qupath_numbers(negative, one, two, three):
    """Return H-score and Allred score as QuPath defines them: weights 1, 2, 3; shares from >0, 1 %, 10 %, 1/3, 2/3 on."""
    total, positive = negative + one + two + three, one + two + three
    if total == 0:
        return math.nan, 0
    points = 100 * one / total + 200 * two / total + 300 * three / total
    if positive == 0:
        return points, 0
    reached = [positive > 0, positive * 100 >= total, positive * 10 >= total, positive * 3 >= total, positive * 3 >= 2 * total]
    average = np.mean(np.repeat([1, 2, 3], [one, two, three]))
    return points, sum(reached) + (1 if average < 5 / 3 else 3 if average > 7 / 3 else 2)


def test_ten_thousand_random_counts_give_the_numbers_of_qupath():
    generator = np.random.default_rng(0)
    largest = generator.choice([1, 3, 10, 60, 300], (10_000, 4))
    for numbers in generator.integers(0, largest + 1).tolist():
        found = Staining(**dict(zip(("negative", "weak", "moderate", "strong"), numbers, strict=True)))
        points, total = qupath_numbers(*numbers)
        assert h_score_of(found) == pytest.approx(points, abs=1e-9, nan_ok=True)
        assert sum(allred_of(found, ALLRED_QUPATH)) == total, numbers


@pytest.mark.parametrize(
    ("positive", "total", "published", "qupath"),
    [
        (0, 300, 0, 0),
        (1, 300, 1, 1),
        (2, 300, 1, 1),
        (3, 300, 2, 2),
        (29, 300, 2, 2),
        (30, 300, 2, 3),
        (31, 300, 3, 3),
        (100, 300, 3, 4),
        (101, 300, 4, 4),
        (200, 300, 4, 5),
        (201, 300, 5, 5),
        (300, 300, 5, 5),
        (7, 21, 3, 4),
        (14, 21, 4, 5),
    ],
)
def test_steps_of_the_proportion_end_where_text_and_qupath_say(positive, total, published, qupath):
    found = Staining(negative=total - positive, weak=positive, moderate=0, strong=0)
    assert allred_of(found, PUBLISHED)[0] == published
    assert allred_of(found, ALLRED_QUPATH)[0] == qupath


@pytest.mark.parametrize(
    ("classes", "published", "qupath"),
    [((1, 0, 0), 1, 1), ((1, 1, 0), 2, 1), ((1, 2, 0), 2, 2), ((0, 2, 1), 2, 2), ((0, 1, 1), 3, 3), ((0, 0, 5), 3, 3)],
)
def test_average_intensities_are_rounded_by_the_text_and_cut_in_thirds_by_qupath(classes, published, qupath):
    found = Staining(negative=5, **dict(zip(("weak", "moderate", "strong"), classes, strict=True)))
    assert (allred_of(found, PUBLISHED)[1], allred_of(found, ALLRED_QUPATH)[1]) == (published, qupath)


def test_a_population_has_the_score_of_its_counts_and_states_them():
    score = h_score(stained(50, 20, 20, 10))
    assert (score.value, score.counts) == (
        90,
        {"total": 100, "positive": 50, "negative": 50, "weak": 20, "moderate": 20, "strong": 10},
    )
    assert score.interval[0] < 90 < score.interval[1]
    six = allred(stained(50, 20, 20, 10))
    assert (six.value, six.parts, six.category) == (6, {"proportion": 4, "intensity": 2}, "positive")
    assert six.interval[0] <= 6 <= six.interval[1]


@pytest.mark.parametrize(
    ("positive", "estrogen", "progesterone"),
    [(0, "negative", "negative"), (9, "negative", "negative"), (10, "low positive", "positive"),
     (100, "low positive", "positive"), (101, "positive", "positive"), (1000, "positive", "positive")],
)  # fmt: skip
def test_receptors_change_their_category_at_1_and_above_10_percent(positive, estrogen, progesterone):
    nuclei = stained(1000 - positive, positive)
    assert (er(nuclei).category, pgr(nuclei).category) == (estrogen, progesterone)
    assert any("limited" in note for note in er(nuclei).notes) == (estrogen == "low positive")
    assert any("controls" in note for note in pgr(nuclei).notes) == (positive <= 100)


def test_a_receptor_states_the_average_intensity():
    score = er(stained(50, 0, 10, 10))
    assert score.parts == {"average_intensity": 2.5}
    assert score.notes[0].endswith("strong")


@pytest.mark.parametrize(("positive", "grade"), [(29, "G1"), (30, "G2"), (200, "G2"), (201, "G3")])
def test_a_neuroendocrine_grade_changes_at_3_and_above_20_percent(positive, grade):
    score = net_grade(stained(1000 - positive, positive))
    assert score.category == grade
    assert any("mitoses" in note for note in score.notes)


def test_below_500_nuclei_there_is_a_number_and_no_grade():
    score = net_grade(stained(449, 50))
    assert (score.category, round(score.value, 1)) == ("", 10.0)
    assert "499 nuclei were counted, and the rule asks for 500, so no grade is given" in score.warnings[-1]
    assert net_grade(stained(450, 50)).category == "G2"


@pytest.mark.parametrize(("positive", "level"), [(50, "low"), (51, "intermediate"), (299, "intermediate"), (300, "high")])
def test_the_ki67_index_is_low_to_5_and_high_from_30_percent(positive, level):
    assert ki67(stained(1000 - positive, positive)).category == level


def test_an_interval_that_crosses_a_cut_off_is_too_close_to_call():
    close, clear = net_grade(stained(965, 35)), net_grade(stained(900, 100))
    assert any("too close to call" in warning and "3 %" in warning for warning in close.warnings)
    assert clear.warnings == ()


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_scores_of_cells_that_are_not_told_apart_are_refused_with_what_is_missing(name):
    with pytest.raises(UsageError, match="no class of cell"):
        scorers(["percent_positive", name.upper().replace("_", "-")])


@pytest.mark.parametrize("name", SCORERS)
def test_no_nucleus_gives_no_number_and_no_category(name):
    score = SCORERS[name](stained(0))
    assert score.name == name
    assert (math.isnan(score.value), score.category) == (True, "") or (score.value == 0 and "density" in name)
    assert score.warnings or "density" in name
    assert HEADINGS[name]
    assert set(DEFAULT) <= set(SCORERS)


def test_thresholds_of_intensity_must_rise():
    with pytest.raises(UsageError, match=r"must be 0 or more and rise, got 0\.2, 0\.6, 0\.4"):
        Intensity(name="own", weak=0.2, moderate=0.6, strong=0.4)


def test_a_measurement_that_does_not_exist_leaves_a_positive_nucleus_weak():
    assert classes_of(np.array([True, False]), np.array([np.nan, np.nan], np.float32), QUPATH).tolist() == [1, 0]


def test_intensity_may_be_that_of_the_marker():
    nuclei = population({"is_positive": [1, 1, 1, 0], "marker_mean": [0.1, 0.5, 0.8, 0.9], "dab_od_mean": [9, 9, 9, 9]})
    by_marker = classes_of(nuclei.cells["is_positive"], nuclei.cells["marker_mean"], MARKER)
    assert by_marker.tolist() == [1, 2, 3, 0]


@given(st.floats(-5, 50), st.floats(-5, 50))
def test_categories_rise_with_the_value_and_crossed_cut_offs_lie_between(one, other):
    names = ["a", "b", "c"]
    scale = Categories(lowest="a", cut_offs=(CutOff(value=3, above="b"), CutOff(value=20, above="c", included=False)))
    low, high = sorted((one, other))
    steps = names.index(scale.of(high)) - names.index(scale.of(low))
    assert steps == len(scale.crossed((low, high))) >= 0


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(sorted(SCORERS)), st.integers(0, 3), st.booleans())
def test_no_score_depends_on_order_mirror_or_turn(seed, name, turns, mirrored):
    generator = np.random.default_rng(seed)
    nuclei = stained(400, 60, 50, 40, generator=generator)
    order = generator.permutation(len(nuclei.cells))
    columns = {
        key: nuclei.cells[key][order] for key in ("row_um", "col_um", "is_positive", "p_positive", "dab_od_mean", "area_um2")
    }
    for _ in range(turns):
        columns["row_um"], columns["col_um"] = columns["col_um"], 900.0 - columns["row_um"]
    if mirrored:
        columns["row_um"] = 900.0 - columns["row_um"]
    before, after = SCORERS[name](nuclei), SCORERS[name](population(columns, area_mm2=nuclei.area_mm2))
    assert (after.value, after.category, after.counts, after.parts) == (
        before.value,
        before.category,
        before.counts,
        before.parts,
    )
    assert after.interval == pytest.approx(before.interval, abs=1e-6)
    assert staining(nuclei).total == 550
