"""The drawn slide that all of these tests write and read."""

from collections.abc import Callable

import pytest
from drawn_analysis import SQUARES, square_analysis

from counterstain.analysis import Analysis
from counterstain.geometry import Box


@pytest.fixture
def squares() -> tuple[Box, ...]:
    return SQUARES


@pytest.fixture
def make_analysis() -> Callable[..., Analysis]:
    return square_analysis


@pytest.fixture
def analysis() -> Analysis:
    return square_analysis()
