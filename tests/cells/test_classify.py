import numpy as np

from counterstain.cells.classify import classify
from counterstain.cells.table import COLUMNS, Cells


def table(p_positive, marker_max):
    count = len(p_positive)
    columns = {name: np.zeros(count, dtype) for name, dtype in COLUMNS.items()}
    columns["p_positive"] = np.array(p_positive, np.float32)
    columns["marker_max"] = np.array(marker_max, np.float32)
    ring = np.array([[0.0, 0], [0, 1], [1, 1]])
    return Cells(columns=columns, outlines=[ring] * count, thresholds={"decoder": "watershed"})


def test_a_probability_at_the_threshold_is_positive():
    cells = classify(table([0.49, 0.5, 0.51], [0, 0, 0]), 0.5, None)
    assert cells["is_positive"].tolist() == [False, True, True]


def test_thresholds_that_bytes_cannot_hold_exactly_still_tie_as_positive():
    assert classify(table([0.1], [0]), 0.1, None)["is_positive"].all()


def test_the_marker_promotes_and_never_demotes():
    cells = classify(table([0.1, 0.1, 0.9], [0.6, 0.7, 0.0]), 0.5, 0.6)
    assert cells["is_positive"].tolist() == [False, True, True]


def test_a_marker_that_was_not_inferred_promotes_nothing():
    assert not classify(table([0.1], [np.nan]), 0.5, 0.0)["is_positive"].any()


def test_the_thresholds_are_stored_and_the_given_table_is_left_alone():
    given = table([0.6], [0])
    cells = classify(given, 0.7, 0.2)
    assert cells.thresholds == {"decoder": "watershed", "threshold": 0.7, "marker_threshold": 0.2}
    assert given.thresholds == {"decoder": "watershed"}
    assert classify(cells, 0.5, None)["is_positive"].tolist() == [True]


def test_the_parts_say_what_the_whole_says():
    cells = classify(table([0.1, 0.9, 0.5], [0, 0, 0.9]), 0.6, 0.8)
    (part,) = cells.parts()
    assert part["is_positive"].tolist() == cells["is_positive"].tolist() == [False, True, True]
    assert part.thresholds == cells.thresholds
    assert len(part.outlines) == len(cells) == 3


def test_an_empty_table_stays_empty():
    assert len(classify(table([], []), 0.5, 0.5)) == 0
