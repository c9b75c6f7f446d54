"""The documentation is run: commands parse, links lead somewhere, Python blocks and examples work."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
import skimage.data
from PIL import Image

from counterstain.cli.main import COMMANDS, main
from counterstain.inference.bundle import MANIFEST, default_bundle_path

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
HAS_BUNDLE = (default_bundle_path() / MANIFEST).is_file()
needs_bundle = pytest.mark.skipif(not HAS_BUNDLE, reason="the default bundle is not in this checkout")


def fenced(text, language):
    """Return the content of the code blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands(text):
    """Return every ``counterstain ...`` line of code blocks and code spans, with its arguments."""
    blocks = [line.strip() for block in fenced(text, "bash") for line in re.split(r"\n|&&", block)]
    spans = re.findall(r"`(counterstain [^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    lines = [line.removeprefix(".venv/bin/") for line in blocks + spans]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("counterstain ")]


def parse(arguments):
    """Parse the arguments as the program does, without running anything; of a usage line (with ``...``) only the command."""
    context = click.Context(main, info_name="counterstain")
    command = main.get_command(context, arguments[0])
    assert command is not None, f"counterstain has no command {arguments[0]}"
    if any(word.endswith("...") for word in arguments):
        return
    command.make_context(arguments[0], list(arguments[1:]), parent=context)


def mentioned_bare(arguments):
    """Return whether a text only names a command, as in `counterstain models`, and does not show a call."""
    return len(arguments) == 1 and arguments[0] in COMMANDS


def links(text):
    """Return the targets of links and pictures that are files of the project."""
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text)
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


def sections_of_options(text):
    """Return, for each command of the reference, the options that its section names."""
    parts = re.split(r"^### `counterstain ([\w-]+)[^\n]*\n", text.split("\n## Python")[0], flags=re.MULTILINE)[1:]
    described = zip(parts[::2], parts[1::2], strict=True)
    return {
        name: {
            word
            for word in re.findall(r"`(--[a-z0-9-]+)`", body)
            if word != "--bundle" or name in ("analyze", "demo", "serve", "worker")
        }
        for name, body in described
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_command_line_is_one_that_the_program_takes(page):
    for arguments in commands(page.read_text(encoding="utf-8")):
        if not mentioned_bare(arguments):
            parse(arguments)


def test_the_pages_show_commands_at_all():
    shown = [arguments[0] for page in PAGES for arguments in commands(page.read_text(encoding="utf-8")) if len(arguments) > 1]
    assert {"analyze", "train", "export"} <= set(shown)


@pytest.mark.parametrize(
    "arguments", [["analyse", "x.png"], ["analyze", "x.png", "--out", "y", "--mp", "0.25"], ["analyze", "x.png"]]
)
def test_a_wrong_command_line_is_noticed(arguments):
    with pytest.raises((AssertionError, click.UsageError)):
        parse(arguments)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_link_to_a_file_leads_to_one(page):
    targets = links(page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_a_link_to_nothing_is_noticed():
    assert links("[a](docs/none.md#part) ![b](c.png) [d](https://example.org/x)") == ["docs/none.md", "c.png"]


def test_the_picture_of_the_readme_is_a_picture():
    with Image.open(ROOT / "docs" / "images" / "demo.png") as image:
        assert min(image.size) > 200


@pytest.mark.parametrize(
    "page", [page for page in PAGES if fenced(page.read_text(encoding="utf-8"), "python")], ids=lambda path: path.name
)
def test_python_blocks_run(page, tmp_path, monkeypatch):
    source = "\n".join(fenced(page.read_text(encoding="utf-8"), "python"))
    if 'load_backend("default"' in source and not HAS_BUNDLE:
        pytest.skip("the default bundle is not in this checkout")
    monkeypatch.chdir(tmp_path)
    Image.fromarray(skimage.data.immunohistochemistry()[:128, :128]).save("tonsil.png")
    exec(compile(source, page.name, "exec"), {"__name__": "page"})  # noqa: S102 (this is what the test is for)


@pytest.mark.parametrize("example", ["analyze_array", "choose_threshold"])
@pytest.mark.parametrize("model", ["classical", pytest.param("default", marks=needs_bundle)])
def test_examples_run(example, model, tmp_path):
    command = [sys.executable, str(ROOT / "examples" / f"{example}.py"), model]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120)
    assert "% " in done.stdout


def test_the_montage_example_makes_a_picture(tmp_path):
    for name in ("hematoxylin", "dapi", "lap2", "marker", "segmentation", "overlay"):
        Image.new("RGB", (40, 30), "red").save(tmp_path / f"{name}.png")
    command = [sys.executable, str(ROOT / "examples" / "montage.py"), str(tmp_path), str(tmp_path / "picture.png")]
    subprocess.run(command, check=True, timeout=120)
    with Image.open(tmp_path / "picture.png") as picture:
        assert picture.getpixel((5, 5)) == (255, 0, 0)


def test_the_montage_example_without_arguments_takes_the_demo(tmp_path):
    command = [sys.executable, str(ROOT / "examples" / "montage.py")]
    absent = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert absent.returncode == 1
    assert "run counterstain demo" in absent.stderr
    (tmp_path / "counterstain-demo" / "synthetic").mkdir(parents=True)
    for name in ("hematoxylin", "dapi", "lap2", "marker", "segmentation", "overlay"):
        Image.new("RGB", (40, 30), "red").save(tmp_path / "counterstain-demo" / "synthetic" / f"{name}.png")
    subprocess.run(command, cwd=tmp_path, check=True, timeout=120)
    assert (tmp_path / "montage.png").is_file()


def test_every_example_is_tested():
    assert {path.stem for path in EXAMPLES} == {"analyze_array", "choose_threshold", "montage"}


def test_continuous_integration_runs_the_test_command_of_the_readme():
    blocks = fenced((ROOT / "README.md").read_text(), "bash")
    test_command = next(block.strip() for block in blocks if "scripts/test" in block)
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-1] == test_command


def test_every_script_that_is_named_exists_and_is_valid_bash():
    named = {name for page in PAGES for name in re.findall(r"bash ((?:scripts|\.ci)/\w+)", page.read_text(encoding="utf-8"))}
    scripts = {str(path.relative_to(ROOT)) for path in (ROOT / "scripts").iterdir()} | {".ci/run"}
    assert named <= scripts
    for script in scripts:
        text = (ROOT / script).read_text()
        assert text.startswith("#!/usr/bin/env bash\n")
        assert "set -euo pipefail" in text
        subprocess.run([shutil.which("bash") or "bash", "-n", str(ROOT / script)], check=True, timeout=30)


def test_every_line_of_the_table_of_threats_names_a_test_that_is_there():
    lines = [line for line in (ROOT / "docs" / "bundles-safety.md").read_text().splitlines() if line.startswith("| ")][1:]
    for line in lines:
        named = re.findall(r"`([\w./]+\.py)::(test_\w+)`", line)
        assert named, line
        for file, test in named:
            assert f"def {test}(" in (ROOT / "tests" / "inference" / file).read_text(), f"{file}::{test}"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_reference_names_exactly_the_options_of_each_command(name):
    command = main.get_command(click.Context(main), name)
    real = {
        text for option in command.params if isinstance(option, click.Option) for text in option.opts if text.startswith("--")
    }
    documented = sections_of_options((ROOT / "docs" / "reference.md").read_text(encoding="utf-8"))
    assert documented[name] == real
