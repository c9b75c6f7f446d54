"""The drawn slide that all of these tests write and read."""

from collections.abc import Callable

import pytest
from drawn_analysis import square_analysis

from counterstain.analysis import Analysis


@pytest.fixture
def make_analysis() -> Callable[..., Analysis]:
    return square_analysis


@pytest.fixture
def analysis() -> Analysis:
    return square_analysis()
