"""How an analysis shows itself in a notebook."""

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from counterstain import card
from counterstain.errors import UnreadableSlideError
from counterstain.inference.classical import ClassicalBackend
from counterstain.pipeline import analyze
from counterstain.slides.array import ArraySlide
from counterstain.slides.base import Resolution


def analysed(side=160, name="colon"):
    rows, cols = np.mgrid[:side, :side]
    image = np.full((side, side, 3), (235, 232, 235), np.uint8)
    for (row, col), colour in (((40, 40), (90, 50, 20)), ((110, 100), (90, 110, 170))):
        image[(rows - row) ** 2 + (cols - col) ** 2 <= 100] = colour
    return analyze(ArraySlide(image, name=name, resolution=Resolution(0.25, "option")), ClassicalBackend())


@pytest.fixture(scope="module")
def analysis():
    return analysed()


class Tags(HTMLParser):
    """Checks that every tag that is opened is closed, and collects what the page would load."""

    def __init__(self):
        super().__init__()
        self.open, self.loads = [], []

    def handle_starttag(self, tag, attributes):
        self.loads += [value for name, value in attributes if name in ("src", "href", "srcset")]
        if tag not in ("img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def picture_in(html):
    data = re.search(r'src="data:image/png;base64,([^"]+)"', html).group(1)
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def test_the_card_shows_the_picture_the_scores_and_the_warnings(analysis):
    html = replace(analysis, warnings=("the image is out of focus",))._repr_html_()
    assert "2 nuclei, 1 positive, 1 negative" in html
    assert "50.0 %" in html
    assert "<li>the image is out of focus</li>" in html
    picture = picture_in(html)
    assert picture.shape == (160, 160, 3)
    assert (picture == card.POSITIVE).all(axis=2).any()
    assert (picture == card.NEGATIVE).all(axis=2).any()


def test_the_card_is_whole_and_loads_nothing(analysis):
    tags = Tags()
    tags.feed(analysis._repr_html_())
    assert tags.open == []
    assert [source[:22] for source in tags.loads] == ["data:image/png;base64,"]
    assert "<script" not in analysis._repr_html_()


def test_names_and_warnings_are_text_and_no_markup():
    bad = "<script>alert(1)</script>"
    found = analysed(name=bad)
    score = replace(found.scores[0], region=bad)
    html = replace(found, warnings=(bad,), scores=(score,))._repr_html_()
    assert "<script" not in html
    assert html.count("&lt;script&gt;") == 3


def test_a_number_that_does_not_exist_is_a_dash(analysis):
    nothing = replace(analysis.scores[0], value=float("nan"), interval=(float("nan"), float("nan")))
    html = replace(analysis, scores=(nothing,), warnings=())._repr_html_()
    assert ">-</td>" in html
    assert "- to -" in html
    assert "nan" not in html
    assert "Warnings" not in html


def test_many_nuclei_are_points(analysis, monkeypatch):
    monkeypatch.setattr(card, "MOST_OUTLINES", 1)
    picture = card.draw_nuclei(analysis.slide, analysis.cells)
    red, blue = (np.argwhere((picture == colour).all(axis=2)) for colour in (card.POSITIVE, card.NEGATIVE))
    np.testing.assert_allclose(red, [[40, 40]], atol=1)
    np.testing.assert_allclose(blue, [[110, 100]], atol=1)


def test_the_picture_of_a_large_slide_is_small(monkeypatch):
    monkeypatch.setattr(card, "PICTURE_PX", 80)
    found = analysed()
    picture = card.draw_nuclei(found.slide, found.cells)
    assert picture.shape == (80, 80, 3)
    assert np.argwhere((picture == card.POSITIVE).all(axis=2)).mean(axis=0) == pytest.approx([20, 20], abs=2)


def test_without_the_slide_the_card_says_why_there_is_no_picture(analysis):
    class Gone(ArraySlide):
        def read(self, box, mpp):
            raise UnreadableSlideError("colon.png is no longer there")

    slide = Gone(np.zeros((160, 160, 3), np.uint8), name="colon", resolution=Resolution(0.25, "option"))
    html = replace(analysis, slide=slide)._repr_html_()
    assert "No picture: colon.png is no longer there" in html
    assert "2 nuclei" in html
