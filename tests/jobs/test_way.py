"""On the way of an image from an order to its files, calls go down the layers and values come back."""

import sys
import threading
import tomllib
from pathlib import Path

import counterstain
from counterstain.jobs.analyzing import analyze_images
from counterstain.jobs.listening import Silence
from counterstain.jobs.order import Order

ROOT = Path(__file__).parents[2]
PACKAGE = Path(counterstain.__file__).parent


def ranks():
    """Return how high the layer of each top module is."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract for contract in contracts if contract.get("containers") == ["counterstain"])["layers"]
    return {name.strip(" ()"): -place for place, layer in enumerate(layers) for name in layer.split("|")}


def module_of(frame):
    """Return the top module of this package that a frame runs; None for another."""
    path = Path(frame.f_code.co_filename)
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py") if path.is_relative_to(PACKAGE) else None


def upward_calls(work):
    """Return (calling, called) for each pair of top modules of which the lower called the higher one."""
    rank, found = ranks(), set()

    def look(frame, event, arg):
        called = module_of(frame) if event == "call" else None
        if called not in rank:
            return
        above = frame.f_back
        while above is not None and module_of(above) not in rank:
            above = above.f_back
        if above is not None and rank[called] > rank[module_of(above)]:
            found.add((module_of(above), called))

    threading.setprofile(look)
    sys.setprofile(look)
    try:
        work()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return found


def test_only_what_is_heard_of_the_work_goes_up(good):
    order = Order(out=Path("out"), bundle="classical")
    analyze_images(("good.png",), order, Silence())  # modules that are imported when they are needed are there now
    again = Order(out=Path("again"), bundle="classical")
    calls = upward_calls(lambda: analyze_images(("good.png",), again, Silence()))
    assert calls <= {("progress", "jobs"), ("inference", "pipeline")}  # progress is told; a tile is judged when it is inferred
