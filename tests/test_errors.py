"""Errors say what happened; what to do is data, worded by whoever shows them."""

import pickle

import pytest

from counterstain.cli.showing.wording import in_options
from counterstain.errors import ELSEWHERE, REPLACE, OutputError, Remedy, SlideError


def test_the_text_of_an_error_names_the_settings_that_help():
    error = OutputError("the folder is taken", Remedy("wait for it"), REPLACE, ELSEWHERE)
    assert str(error) == "the folder is taken; wait for it, replace it (overwrite), or choose another folder (out)"
    assert str(SlideError("it is empty")) == "it is empty"


def test_the_command_line_words_the_same_remedies_as_options():
    error = OutputError("the folder is taken", Remedy("wait for it"), REPLACE, ELSEWHERE)
    assert (
        in_options(error)
        == "the folder is taken; wait for it, replace it with --overwrite, or choose another folder with --out"
    )
    assert in_options(SlideError("no scale", Remedy("state it", "min_area_um2", "6"))) == (
        "no scale; state it with --min-area-um2 6"
    )
    assert in_options(ValueError("odd")) == "odd"


@pytest.mark.parametrize("remedies", [(), (REPLACE,), (REPLACE, ELSEWHERE)])
def test_an_error_of_another_process_arrives_with_its_remedies(remedies):
    error = OutputError("the folder is taken", *remedies)
    error.add_note("seen there")
    there = pickle.loads(pickle.dumps(error))  # noqa: S301 (as Dask sends errors)
    assert (str(there), there.happened, there.remedies) == (str(error), "the folder is taken", remedies)
    assert there.__notes__ == ["seen there"]
