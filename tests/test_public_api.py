"""The names that the documentation promises are there, documented and typed."""

import ast
import importlib
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import counterstain

ROOT = Path(__file__).parents[1]
REFERENCE = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
NAMES = re.findall(r"^\| `(counterstain\.[\w.]+)` \|", REFERENCE, re.MULTILINE)
TOP_NAMES = re.findall(r"^\| `(\w+)` \|", REFERENCE[REFERENCE.index("| name at the top |") :], re.MULTILINE)
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]


def imports_of(source):
    """Return (module, name) for every ``from counterstain... import ...``."""
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)]
    return [(node.module, alias.name) for node in nodes for alias in node.names if node.module.startswith("counterstain")]


def documented_imports():
    """Return every import of this package that a page or an example shows."""
    texts = [page.read_text(encoding="utf-8") for page in PAGES]
    blocks = [block for text in texts for block in re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)]
    examples = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "examples").glob("*.py"))]
    return sorted({found for source in blocks + examples for found in imports_of(source)})


def test_the_reference_lists_names():
    assert len(NAMES) >= 20
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_each_public_name_is_there_with_a_docstring_and_types(name):
    module, _, attribute = name.rpartition(".")
    found = getattr(importlib.import_module(module), attribute)
    if inspect.isfunction(found) or inspect.isclass(found):  # a value says only where its class is defined
        assert found.__module__ == module, "import it from the module that defines it"
    assert inspect.getdoc(found)
    if inspect.isfunction(found):
        signature = inspect.signature(found)
        kinds = [parameter.annotation for parameter in signature.parameters.values()] + [signature.return_annotation]
        assert inspect.Signature.empty not in kinds


@pytest.mark.parametrize(("module", "name"), documented_imports())
def test_what_the_pages_import_is_public(module, name):
    assert f"{module}.{name}" in NAMES or (module == "counterstain" and name in TOP_NAMES)


def test_the_package_says_that_it_is_typed():
    assert (ROOT / "src" / "counterstain" / "py.typed").is_file()


def test_the_top_of_the_package_is_what_the_reference_lists():
    assert sorted(counterstain.__all__) == sorted(TOP_NAMES)
    assert 15 <= len(TOP_NAMES) <= 30
    assert set(TOP_NAMES) <= set(dir(counterstain))


@pytest.mark.parametrize("name", sorted(counterstain.__all__))
def test_each_name_at_the_top_is_there_with_a_docstring(name):
    assert inspect.getdoc(getattr(counterstain, name))


def test_a_name_that_is_not_there_is_said():
    with pytest.raises(AttributeError, match="no attribute 'segmant'"):
        _ = counterstain.segmant


def test_type_checkers_see_the_names_where_they_are_taken_from():
    root = ast.parse(Path(counterstain.__file__).read_text(encoding="utf-8"))
    checked = next(node for node in root.body if isinstance(node, ast.If))
    seen = {name.name: node.module for node in checked.body for name in node.names}
    assert seen == counterstain._HOMES


def test_importing_the_verbs_is_quick_and_pulls_in_nothing_slow():
    program = (
        "import json, sys, time; before = time.process_time();"
        "from counterstain import CounterstainError, analyze, load_backend, open_result, open_slide, write_result;"
        "print(json.dumps([time.process_time() - before, sorted(sys.modules)]))"
    )
    runs = [
        json.loads(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, timeout=60).stdout)
        for _ in range(3)
    ]
    assert min(seconds for seconds, _ in runs) < 0.1
    heavy = {"numpy", "scipy", "skimage", "PIL", "tifffile", "pydantic", "onnxruntime", "click", "rich", "torch"}
    assert {name.split(".")[0] for name in runs[0][1]}.isdisjoint(heavy)


def test_a_notebook_analyses_a_file_by_its_path_and_writes_the_result(tmp_path):
    rows, cols = np.mgrid[:120, :120]
    image = np.full((120, 120, 3), 235, np.uint8)
    image[(rows - 60) ** 2 + (cols - 60) ** 2 < 150] = (90, 50, 20)
    Image.fromarray(image).save(tmp_path / "tile.png")
    (tmp_path / "regions.csv").write_text("name,row_px,col_px,height_px,width_px\nmiddle,30,30,60,60\n")
    slide = counterstain.open_slide(tmp_path / "tile.png", mpp=0.25)
    analysis = counterstain.analyze(slide, "classical", regions=tmp_path / "regions.csv")
    assert len(analysis.cells) == 1
    assert {score.region for score in analysis.scores} == {"all", "middle"}
    names = counterstain.write_result(analysis, tmp_path / "out", ["csv"])
    assert set(names) == {path.name for path in (tmp_path / "out").iterdir()}
    opened = counterstain.open_result(tmp_path / "out", slide=tmp_path / "tile.png")
    assert opened.cells["cell_id"].tolist() == analysis.cells["cell_id"].tolist()
    assert "1 nuclei" in opened._repr_html_()
    again = counterstain.analyze(str(tmp_path / "tile.png"), counterstain.load_backend("classical"))
    assert again.source == str(tmp_path / "tile.png")
    with pytest.raises(counterstain.UsageError, match="csw"):
        counterstain.write_result(analysis, tmp_path / "out", ["csw"])
