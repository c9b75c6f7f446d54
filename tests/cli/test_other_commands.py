import importlib
import json
import signal
import subprocess
import sys
import time

import pytest

from counterstain.cli import inventory
from counterstain.cli import main as main_module
from counterstain.cli.demo_fields import FIELD_SEED
from counterstain.errors import BundleError
from counterstain.extras import install_command
from counterstain.inference import names as backend_names
from counterstain.inference.classical import ClassicalBackend


@pytest.fixture
def working_models(monkeypatch):
    for name in list(backend_names.BACKENDS):
        monkeypatch.setitem(backend_names.BACKENDS, name, lambda threads: ClassicalBackend())


@pytest.fixture
def broken_model(monkeypatch):
    def fail(threads):
        raise BundleError("model.onnx was altered or damaged")

    monkeypatch.setitem(backend_names.BACKENDS, "default", fail)


def test_models_lists_what_each_reads_and_writes(run, working_models):
    result = run("models")
    assert result.exit_code == 0
    heading, *rows = result.stdout.splitlines()
    assert heading.split()[0] == "Name"
    assert {row.split()[0] for row in rows} == set(backend_names.BACKENDS)
    assert "dapi" in rows[0]


def test_models_as_json_says_what_cannot_be_used(run, broken_model):
    rows = {row["name"]: row for row in json.loads(run("models", "--json").stdout)["models"]}
    assert rows["classical"]["mpp"] == 0.25
    assert rows["classical"]["licence"] == "Apache-2.0"
    assert "altered" in rows["default"]["error"]
    assert "default cannot be used" in run("models").stderr


def test_doctor_is_content_when_everything_works(run, working_models):
    result = run("doctor")
    assert result.exit_code == 0
    assert "broken" not in result.stdout
    assert "CPUExecutionProvider" in result.stdout
    assert "checksums match" in result.stdout


def test_doctor_names_a_damaged_bundle_and_the_command_that_fixes_it(run, broken_model):
    result = run("doctor")
    assert result.exit_code == 1
    assert "to fix model default: in a clone of the repository: pip install --force-reinstall ." in result.stdout


def test_doctor_works_when_a_package_does_not(run, monkeypatch):
    real = importlib.import_module

    def fail(name, *arguments):
        if name == "onnxruntime":
            raise ImportError("libgomp.so.1: cannot open shared object file")
        return real(name, *arguments)

    monkeypatch.setattr(inventory.importlib, "import_module", fail)
    result = run("doctor", "--json")
    checks = {check["name"]: check for check in json.loads(result.stdout)["checks"]}
    assert result.exit_code == 1
    assert checks["onnxruntime"]["status"] == "broken"
    assert "libgomp" in checks["onnxruntime"]["found"]
    assert "model default" not in checks


def test_doctor_says_how_to_install_what_is_optional(run, working_models, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    result = run("doctor")
    assert result.exit_code == 0
    assert f"to fix pyarrow: {install_command('slides')}" in result.stdout


def test_the_demo_analyses_two_images_and_can_be_run_again(run, folder):
    for _ in range(2):
        result = run("demo", "--bundle", "classical")
        assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines[1:3]] == ["synthetic", "colon"]
    assert all(int(line.split()[1]) > 20 for line in lines[1:3])
    assert (folder / "counterstain-demo" / "synthetic" / "overlay.png").is_file()
    assert "stained in the cytoplasm" in result.stdout


def test_a_demo_whose_field_was_drawn_from_another_seed_is_replaced(run, folder):
    run("demo", "--bundle", "classical")
    record = folder / "counterstain-demo" / "synthetic" / "analysis.json"
    record.write_text(record.read_text().replace(f"seed {FIELD_SEED}", "seed 999"))
    assert run("demo", "--bundle", "classical").exit_code == 0
    assert f"seed {FIELD_SEED}" in record.read_text()


def test_the_demo_gives_no_advice_that_it_cannot_follow(run, folder):
    result = run("demo", "--bundle", "classical")
    assert "--mpp" not in result.output
    assert "in the file" not in result.output


def test_the_demo_replaces_nothing_but_an_earlier_demo(run, good):
    run("analyze", "good.png", "--out", "out", "--bundle", "classical", "--format", "json")
    (good.parent / "out" / "good").rename(good.parent / "out" / "colon")
    before = (good.parent / "out" / "colon" / "analysis.json").read_bytes()
    result = run("demo", "--bundle", "classical", "--out", "out")
    assert result.exit_code == 1
    assert "not of an earlier demo" in result.stderr
    assert (good.parent / "out" / "colon" / "analysis.json").read_bytes() == before
    assert not (good.parent / "out" / "synthetic").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="sends a POSIX signal")
def test_a_real_ctrl_c_exits_130_with_a_short_message_and_no_half_file(good):
    code = (
        "import sys, time; from counterstain.inference import names\n"
        "from counterstain.inference.classical import ClassicalBackend\n"
        "class Slow(ClassicalBackend):\n"
        "    def run(self, batch):\n"
        "        sys.stderr.write('started\\n'); sys.stderr.flush(); time.sleep(60)\n"
        "names.BACKENDS['classical'] = lambda threads: Slow()\n"
        "from counterstain.cli.main import main\n"
        "main(['analyze', 'good.png', '--out', 'out', '--bundle', 'classical'])"
    )
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True) as process:
        started = time.monotonic()
        assert process.stderr.readline() == "started\n"
        process.send_signal(signal.SIGINT)
        message = process.stderr.read()
        assert process.wait() == 130
    assert time.monotonic() - started < 30
    assert message.startswith("Interrupted.")
    assert "Traceback" not in message
    assert [path.name for path in (good.parent / "out").iterdir()] == ["counterstain.log"]


@pytest.mark.parametrize("is_cause", [True, False])
def test_ctrl_c_while_packages_load_exits_130(run, monkeypatch, is_cause):
    def interrupted():
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as stop:
            if is_cause:
                raise ImportError("numpy could not be imported") from stop
            raise ImportError("numpy could not be imported")  # noqa: B904 (as packages do)

    monkeypatch.setitem(main_module.COMMANDS, "models", interrupted)
    result = run("models")
    assert result.exit_code == 130
    assert result.stderr.startswith("Interrupted.")


def test_a_package_that_cannot_be_imported_is_not_called_an_interrupt(run, monkeypatch):
    def missing():
        raise ImportError("no such package")

    monkeypatch.setitem(main_module.COMMANDS, "models", missing)
    with pytest.raises(ImportError, match="no such package"):
        run("models")


def test_a_model_card_that_is_not_there_is_a_usage_error(run, folder):
    result = run("export", "run", "bundle", "--card", "nope.md")
    assert result.exit_code == 2
    assert "nope.md" in result.stderr
