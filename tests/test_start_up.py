"""What is imported when: nothing slow before it is needed, and no import that cannot be seen in the source."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import counterstain
from counterstain.outputs.names import FORMATS

PACKAGE = Path(counterstain.__file__).parent

LATE = {
    "analysis.py": {"counterstain.card"},
    "inference/openvino.py": {"openvino"},
    "inference/weights.py": {"fcntl"},
    "jobs/analyzing.py": {"counterstain.jobs.spreading"},
    "outputs/images/pictures.py": {"PIL"},
    "outputs/names.py": {
        "counterstain.outputs.images.density",
        "counterstain.outputs.images.ome_tiff",
        "counterstain.outputs.images.ome_zarr",
        "counterstain.outputs.tables.deepliif_cells",
        "counterstain.outputs.tables.h5ad",
        "counterstain.outputs.tables.parquet",
        "counterstain.outputs.tables.spatialdata",
    },
    "verbs.py": {
        "counterstain.inference.names",
        "counterstain.outputs.names",
        "counterstain.pipeline",
        "counterstain.progress",
        "counterstain.results.folder",
        "counterstain.results.opening",
        "counterstain.scoring.region_files",
        "counterstain.scoring.regions",
        "counterstain.slides.opening",
        "pathlib",
    },
    "passes/workers.py": {"counterstain.stitching.store"},
    "results/opening.py": {"counterstain.outputs.images.ome_zarr", "counterstain.outputs.tables.parquet"},
    "slides/opening.py": {
        "counterstain.slides.checks.tiff_headers",
        "counterstain.slides.checks.trial",
        "counterstain.slides.openslide",
        "counterstain.slides.tiffs.flat",
        "counterstain.slides.tiffs.tiled",
        "counterstain.slides.zarrs.ome_zarr",
        "counterstain.slides.zarrs.places",
        "counterstain.slides.slideio",
    },
    "slides/checks/trial.py": {"resource", "slideio"},
    "tiling/artifacts.py": {"skimage.measure"},
}
"""Outside the command line: file -> what is imported inside its functions, because it is slow or not always installed."""

BY_NAME = {"cli/inventory.py", "__init__.py"}
"""What imports modules by a name in a string: ``doctor`` tries whatever must be installed, and the package itself gives its
public names (tests/test_public_api.py holds that table to what type checkers see)."""


def late_imports(source):
    """Return the modules that are imported inside functions."""
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    nodes = [inner for function in functions for inner in ast.walk(function)]
    named = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return named | {node.module for node in nodes if isinstance(node, ast.ImportFrom)}


def imports_by_name(source):
    """Return whether a module is imported by a name in a string."""
    return "import_module" in source or "__import__" in source


def sources():
    return {str(path.relative_to(PACKAGE)): path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")}


def test_the_rules_find_what_they_are_for():
    assert late_imports("import os\ndef f():\n    import re\n    from a.b import c\n") == {"re", "a.b"}
    assert imports_by_name('importlib.import_module("os")')
    assert not imports_by_name("import os")


def test_imports_inside_functions_are_those_of_the_list():
    found = {name: late_imports(text) for name, text in sources().items() if not name.startswith("cli/")}
    assert {name: modules for name, modules in found.items() if modules} == LATE


def test_no_import_is_hidden_in_a_string():
    assert {name for name, text in sources().items() if imports_by_name(text)} == BY_NAME


def modules_after(*arguments):
    """Run the command in a process of its own and return the names of all modules that it has imported in the end."""
    program = (
        "import json, sys\n"
        "from counterstain.cli.main import main\n"
        "try:\n    main(sys.argv[1:], prog_name='counterstain')\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        "sys.stderr.write(json.dumps(sorted(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True, timeout=200, check=True
    )
    return set(json.loads(done.stderr.splitlines()[-1]))


def tops(modules):
    """Return the names of the packages."""
    return {name.split(".")[0] for name in modules}


def test_help_imports_nothing_slow():
    modules = modules_after("--help")
    assert tops(modules).isdisjoint({"numpy", "scipy", "skimage", "pydantic", "onnxruntime", "PIL", "tifffile", "rich"})
    assert len(modules) < 260


@pytest.fixture(scope="module")
def tile(tmp_path_factory):
    rows, cols = np.mgrid[:128, :128]
    image = np.full((128, 128, 3), 235, np.uint8)
    image[(rows - 64) ** 2 + (cols - 64) ** 2 < 150] = (90, 50, 20)
    path = tmp_path_factory.mktemp("tile") / "tile.png"
    Image.fromarray(image).save(path)
    return path


CORE = ("modalities", "segmentation", "overlay", "ome-tiff", "csv", "geojson", "tiles", "json")
"""What is written when nothing is asked for and no extra is installed."""

SLOW = {"dask", "distributed", "h5py", "matplotlib", "pandas", "rich", "slideio", "torch", "zarr", "anndata", "openvino"}
OF_SLIDES = {"multiprocessing", "openslide", "xml"}
UNUSED = {"PIL.ImageDraw", "PIL.ImageFont", "PIL.TiffImagePlugin", "PIL.PdfImagePlugin", "skimage.segmentation.boundaries"}
"""Of packages that are needed: what is for other slides, other formats and warnings."""


def named(formats):
    return [word for name in formats for word in ("--format", name)]


def test_an_analysis_imports_nothing_that_it_does_not_need(tile, tmp_path):
    modules = modules_after("analyze", tile, "--mpp", "0.25", "--bundle", "classical", "--out", tmp_path / "out", "-q")
    assert tops(modules).isdisjoint(SLOW)
    assert modules.isdisjoint({"skimage.measure._regionprops", "scipy.optimize", "scipy.stats", "scipy.signal"})


def test_a_png_needs_no_reader_of_slides_and_few_modules(tile, tmp_path):
    modules = modules_after("analyze", tile, "--mpp", "0.25", *named(CORE), "--out", tmp_path / "out", "-q")
    assert tops(modules).isdisjoint(SLOW | OF_SLIDES | {"pyarrow"})
    assert modules.isdisjoint(UNUSED)
    assert len(modules) < 900


def test_the_formats_of_a_core_install_are_known():
    assert {name for name, form in FORMATS.items() if form.is_default and not form.needs} == set(CORE)


def test_an_analysis_without_tables_needs_no_arrow(tile, tmp_path):
    arguments = ("--mpp", "0.25", "--bundle", "classical", "--format", "csv", "--out", tmp_path / "out", "-q")
    assert tops(modules_after("analyze", tile, *arguments)).isdisjoint({"pyarrow", "pandas", "tifffile"})
