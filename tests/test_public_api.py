"""The names that the documentation promises are there, documented and typed."""

import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
REFERENCE = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
NAMES = re.findall(r"^\| `(counterstain\.[\w.]+)` \|", REFERENCE, re.MULTILINE)
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
    assert found.__module__ == module, "import it from the module that defines it"
    assert inspect.getdoc(found)
    if inspect.isfunction(found):
        signature = inspect.signature(found)
        kinds = [parameter.annotation for parameter in signature.parameters.values()] + [signature.return_annotation]
        assert inspect.Signature.empty not in kinds


@pytest.mark.parametrize(("module", "name"), documented_imports())
def test_what_the_pages_import_is_public(module, name):
    assert f"{module}.{name}" in NAMES


def test_the_package_says_that_it_is_typed():
    assert (ROOT / "src" / "counterstain" / "py.typed").is_file()
