"""The rules of the source code that no linter knows: each is a function from text to faults, and is tried on bad text too."""

import ast
import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from counterstain.cells.decoders.names import DECODERS
from counterstain.cli.main import COMMANDS, main
from counterstain.results.record import BundleRecord, Record
from counterstain.results.slide import SlideRecord

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "counterstain"
SOURCES = sorted(PACKAGE.rglob("*.py"))
PACKAGES = sorted(path.parent for path in PACKAGE.rglob("__init__.py"))

FILE_LINES = 300
FILES_IN_A_FOLDER = 15
BODY_LINES = 50
USUAL_BODY_LINES = 30
PARAMETERS = 7
VAGUE_NAMES = {"utils", "util", "common", "helpers", "helper", "manager", "misc", "tools"}
FORBIDDEN_CALLS = {"print", "eval", "exec", "__import__", "breakpoint"}
DECODER_CLASSES = {found.__name__ for found in DECODERS.values()}
FORBIDDEN_IMPORTS = {"pickle", "dill", "cloudpickle", "shelve", "marshal"}


def functions(source):
    """Yield every function of a module."""
    return [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def body_lines(function):
    """Count lines from the first statement after the docstring to the end."""
    body = function.body[1:] if ast.get_docstring(function, clean=False) is not None else function.body
    return function.end_lineno - body[0].lineno + 1 if body else 0


def parameters(function):
    """Count parameters, ``self`` and ``cls`` left out."""
    spec = function.args
    names = [argument.arg for argument in (*spec.posonlyargs, *spec.args, *spec.kwonlyargs)]
    return len([name for name in names if name not in ("self", "cls")])


def call_faults(source):
    """Return calls and imports that the package refuses."""
    faults = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FORBIDDEN_CALLS:
            faults.append(f"line {node.lineno}: {node.func.id}()")
        for name in imported_modules(node):
            if name.split(".")[0] in FORBIDDEN_IMPORTS:
                faults.append(f"line {node.lineno}: import {name}")
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
            keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            if keywords.get("weights_only") != "True":
                faults.append(f"line {node.lineno}: torch.load without weights_only=True")
    return faults


def imported_modules(node):
    """Return the modules that one import statement names."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []


def facade_imports(source):
    """Return imports of this package that are relative, or go through an ``__init__`` instead of the defining module."""
    faults = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.level:
            faults.append(f"line {node.lineno}: relative import")
        own = [name for name in imported_modules(node) if name.split(".")[0] == "counterstain"]
        faults += [f"line {node.lineno}: {name} is a package, not a module" for name in own if is_package(name)]
    return faults


def is_package(name):
    """Return whether a dotted name of this project is a folder of modules."""
    return (ROOT / "src" / Path(*name.split(".")) / "__init__.py").is_file()


def options_of_commands():
    """Return the long options of all commands, such as ``--out``."""
    commands = [main.get_command(None, name) for name in COMMANDS]
    commands += [inner for command in commands for inner in getattr(command, "commands", {}).values()]
    return {name for command in commands for option in command.params for name in option.opts if name.startswith("--")}


def option_faults(source):
    """Return texts, docstrings too, that name an option of a command: below ``cli`` a remedy names a setting."""
    texts = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    named = [(node.lineno, set(re.findall(r"(?<![\w-])--[a-z][\w-]*", node.value)) & options_of_commands()) for node in texts]
    return [f"line {line}: {name}" for line, names in named for name in sorted(names)]


def record_lookups(source):
    """Return where a result is looked up by the name of a key; options of a command may have such names too."""
    common = {"name", "source", "version", "versions", "marker", "format", "format_version"}  # other files have these
    keys = {*Record.model_fields, *SlideRecord.model_fields, *BundleRecord.model_fields} - common
    faults = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Subscript):
            holder, key = node.value, node.slice
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get" and node.args:
            holder, key = node.func.value, node.args[0]
        else:
            continue
        if isinstance(key, ast.Constant) and key.value in keys and ast.unparse(holder) != "settings":
            faults.append(f"line {node.lineno}: {ast.unparse(node)}")
    return faults


def decoder_checks(source):
    """Return calls that ask of what class a decoder is: who uses a decoder knows its protocol alone."""
    return [
        f"line {node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in ("isinstance", "issubclass", "type")
        and re.search(r"decoder|rule\b|Watershed|PublishedRule", ast.unparse(node))
    ]


def decoder_imports(source):
    """Return imports of a single decoder: who uses decoders asks ``names.py`` for one by its name."""
    return [
        f"line {node.lineno}: {name}.{alias.name}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom)
        for name in imported_modules(node)
        for alias in node.names
        if name.startswith("counterstain.cells.decoders.") and alias.name in DECODER_CLASSES
    ]


def machine_faults(text):
    """Return paths of somebody's machine and addresses of package registries."""
    private = r"(?<![\w.])/(?:home|Users|root|work|tmp)/[\w.-]+"
    registries = r"(?:files\.pythonhosted|pypi|registry\.npmjs|test\.pypi)\.org|--(?:extra-)?index-url"
    return re.findall(f"{private}|{registries}", text)


def by_file(rule, paths=SOURCES):
    """Apply a rule to files and name the file of each fault."""
    return [f"{path.relative_to(ROOT)}: {fault}" for path in paths for fault in rule(path.read_text(encoding="utf-8"))]


def tracked_files():
    """Return the text files of the project as Git knows them, else (without Git) those on disk that are not build products."""
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
        files = [ROOT / name for name in listed.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        folders = ("src", "tests", "docs", "scripts", "benchmarks", "examples", ".ci", "configs")
        files = [path for folder in folders for path in (ROOT / folder).rglob("*")] + list(ROOT.glob("*.*"))
    text = {".py", ".md", ".toml", ".txt", ".json", ".csv", ".yml", ".yaml", ""}
    return [path for path in files if path.is_file() and path.suffix in text and "__pycache__" not in path.parts]


def test_there_is_source_to_check():
    assert len(SOURCES) > 50
    assert PACKAGE in PACKAGES


@pytest.mark.parametrize(
    ("rule", "bad"),
    [
        (call_faults, "print(1)"),
        (call_faults, "import pickle"),
        (call_faults, "from marshal import loads"),
        (call_faults, "torch.load(path)"),
        (call_faults, "torch.load(path, weights_only=False)"),
        (facade_imports, "from counterstain.cells import segment"),
        (facade_imports, "import counterstain.cells"),
        (facade_imports, "from .table import Cells"),
        (option_faults, 'raise OutputError(f"{folder} is taken; choose another --out")'),
        (option_faults, 'MESSAGE = "give --mpp"'),
        (record_lookups, 'content["slide"]'),
        (record_lookups, 'content.get("tissue_mm2")'),
        (decoder_checks, "isinstance(decoder, Watershed)"),
        (decoder_checks, "type(rules.decoder) is PublishedRule"),
        (decoder_imports, "from counterstain.cells.decoders.deepliif import PublishedRule, find_components"),
        (machine_faults, "see " + "/home" + "/jo/slides"),
        (machine_faults, "pip install " + "--index-url" + " x"),
    ],
)
def test_each_rule_finds_a_fault_in_bad_source(rule, bad):
    assert len(rule(bad)) == 1


@pytest.mark.parametrize(
    "rule",
    [
        call_faults,
        decoder_checks,
        decoder_imports,
        facade_imports,
        machine_faults,
        option_faults,
        record_lookups,
    ],
)
def test_no_rule_finds_a_fault_in_good_source(rule):
    body = "def f(path):\n    torch.load(path, weights_only=True)\n    return settings['scores'], 'pip --force-reinstall .'\n"
    assert rule(f"import os\nfrom counterstain.cells.table import Cells\n\n{body}") == []


def test_the_measures_count_what_they_say():
    source = 'def f(self, a, b, *, c):\n    """Say.\n\n    More.\n    """\n    x = (\n        a\n    )\n    return x\n'
    assert body_lines(functions(source)[0]) == 4
    assert parameters(functions(source)[0]) == 3


def test_no_file_is_longer_than_the_limit():
    long = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in SOURCES}
    assert {name: count for name, count in long.items() if count > FILE_LINES} == {}


def test_no_folder_holds_more_files_than_a_person_overlooks():
    counts = {str(folder.relative_to(ROOT)): len(list(folder.glob("*.py"))) - 1 for folder in PACKAGES}
    # the package itself: a file for each stage that needs no folder; a file for each command; one for each kind of reader
    larger = {"src/counterstain": 18, "src/counterstain/cli": 19, "src/counterstain/slides": 17}
    assert {name: count for name, count in counts.items() if count > larger.get(name, FILES_IN_A_FOLDER)} == {}


def test_no_function_body_is_longer_than_the_limit():
    assert (
        by_file(lambda text: [f"{f.name} has {body_lines(f)} lines" for f in functions(text) if body_lines(f) > BODY_LINES])
        == []
    )


def test_nine_of_ten_function_bodies_are_short():
    lengths = [body_lines(function) for path in SOURCES for function in functions(path.read_text())]
    assert sum(length <= USUAL_BODY_LINES for length in lengths) >= 0.9 * len(lengths)


def test_no_function_outside_the_command_line_takes_too_many_parameters():
    paths = [path for path in SOURCES if PACKAGE / "cli" not in path.parents]
    assert (
        by_file(lambda text: [f"{f.name} takes {parameters(f)}" for f in functions(text) if parameters(f) > PARAMETERS], paths)
        == []
    )


def test_no_module_has_a_vague_name():
    assert [str(path) for path in SOURCES if VAGUE_NAMES & set(re.split(r"[_.]", path.stem))] == []


def test_only_rules_of_scores_and_the_list_of_names_know_the_main_score_by_name():
    scoring = PACKAGE / "scoring"
    known = (scoring / "names.py", scoring / "fraction.py", *(scoring / "rules").glob("*.py"))
    others = [path for path in SOURCES if path not in known]
    assert [str(path) for path in others if "percent_positive" in path.read_text()] == []


def test_nothing_prints_executes_text_or_unpickles():
    assert by_file(call_faults) == []


def test_imports_go_to_the_defining_module():
    assert by_file(facade_imports) == []


def test_only_the_command_line_names_its_options():
    paths = [path for path in SOURCES if PACKAGE / "cli" not in path.parents]
    assert by_file(option_faults, paths) == []


def test_a_result_is_looked_up_by_the_names_of_its_keys_nowhere_but_where_it_is_read():
    assert by_file(record_lookups, [path for path in SOURCES if PACKAGE / "results" not in path.parents]) == []


def test_nobody_asks_of_what_class_a_decoder_is():
    assert by_file(decoder_checks) == []


def test_a_decoder_is_one_file_and_one_line():
    """``names.py`` alone imports decoders, but for the task that measures distances in what the watershed cuts."""
    others = {PACKAGE / "cells/decoders/names.py", PACKAGE / "training/tasks/distillation.py"}
    assert by_file(decoder_imports, [path for path in SOURCES if path not in others]) == []


def test_every_module_says_what_it_is():
    assert [str(path) for path in SOURCES if not ast.get_docstring(ast.parse(path.read_text()))] == []


def test_init_files_hold_nothing_but_their_docstring():
    # the root sets an environment variable that must stand before the first import of a library; test_onnx.py holds it
    inits = [folder / "__init__.py" for folder in PACKAGES if folder != PACKAGE]
    assert [str(path) for path in inits if len(ast.parse(path.read_text()).body) != 1] == []


def test_no_tracked_file_names_a_machine_or_a_registry():
    own = Path(__file__)
    assert by_file(machine_faults, [path for path in tracked_files() if path != own]) == []


def test_every_package_has_a_folder_of_tests():
    """The packages inside ``training`` are tested together with it or on their own."""
    folders = [folder.relative_to(PACKAGE) for folder in PACKAGES if len(folder.relative_to(PACKAGE).parts) == 1]
    assert [str(name) for name in folders if not list((ROOT / "tests" / name).rglob("test_*.py"))] == []


def test_every_folder_of_tests_has_a_package():
    others = {"conformance", "fuzzing", "golden"}
    folders = [path for path in (ROOT / "tests").iterdir() if list(path.rglob("test_*.py"))]
    assert [
        path.name for path in folders if path.is_dir() and path.name not in others and not (PACKAGE / path.name).is_dir()
    ] == []


def import_contracts(config):
    """Run the import contracts in a process of their own: what other tests have loaded must not matter to them."""
    program = (
        "import sys; from importlinter.cli import lint_imports; "
        "sys.exit(lint_imports(config_filename=sys.argv[1], no_cache=True, no_logo=True))"
    )
    command = [sys.executable, "-c", program, str(config)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def test_the_stages_import_only_from_earlier_stages():
    done = import_contracts(ROOT / "pyproject.toml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_one_module_words_how_an_extra_is_installed():
    own = PACKAGE / "extras.py"
    assert [str(path) for path in SOURCES if path != own and 'pip install "counterstain[' in path.read_text()] == []


def test_the_contracts_can_break(tmp_path):
    """The same contracts with two layers exchanged are broken, so a green result means something."""
    text = (ROOT / "pyproject.toml").read_text()
    swapped = text.replace('  "cells",\n  "stitching",\n', '  "stitching",\n  "cells",\n')
    assert swapped != text
    (tmp_path / "pyproject.toml").write_text(swapped)
    done = import_contracts(tmp_path / "pyproject.toml")
    assert done.returncode != 0
    assert "Stages import only from earlier stages BROKEN" in done.stdout


def contract(name):
    """Return the source modules of a contract of the given name."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    return set(next(found for found in config if found["name"] == name)["source_modules"])


def top_modules():
    """Return the modules directly in the package."""
    return {
        f"counterstain.{path.stem}" for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()
    } - {"counterstain.__init__"}


def test_the_torch_contract_leaves_nothing_out_but_training():
    training = {"train", "export", "import-deepliif"}
    commands = {str(load().callback.__module__) for name, load in COMMANDS.items() if name not in training}
    expected = (top_modules() - {"counterstain.cli", "counterstain.training"}) | commands | {"counterstain.cli.main"}
    assert contract("Analysing a slide loads no training library") == expected


def test_the_http_contract_leaves_nothing_out_but_the_service():
    assert contract("Nothing outside the web service speaks HTTP") == top_modules() - {"counterstain.cli", "counterstain.web"}


def test_the_installation_without_extras_has_no_training_library():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {re.split(r"[\[><=~ ]", requirement)[0] for requirement in project["dependencies"]}
    assert "onnxruntime" in names
    assert names.isdisjoint({"torch", "torchvision", "lightning-fabric", "onnx", "tensorboard", "matplotlib", "pandas"})


@pytest.mark.parametrize(
    "module", ["counterstain.pipeline", "counterstain.results.folder", "counterstain.cli.run", "counterstain.cli.demo_fields"]
)
def test_analysing_really_loads_no_torch(module):
    assert importlib.util.find_spec(module) is not None
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=120).returncode == 0


def tree_lines(text):
    """Return the names in the first column of the source tree of the README."""
    block = re.search(r"```text\nsrc/counterstain/\n(.*?)```", text, re.DOTALL)
    return [line.split()[0].rstrip("/") for line in block.group(1).splitlines()] if block else []


def test_the_tree_in_the_readme_is_the_tree_on_disk():
    on_disk = {path.name for path in PACKAGE.iterdir() if path.name not in ("__init__.py", "__pycache__", "py.typed")}
    assert set(tree_lines((ROOT / "README.md").read_text())) == on_disk
