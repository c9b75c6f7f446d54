"""The script that runs the tests tells failures as they come, and ends a run that hangs so that it still reports."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

HANGING = """
import threading

def test_that_fails():
    assert 1 + 1 == 3, "this is what failed"

def test_that_hangs():
    threading.Event().wait()
"""


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="needs the command timeout")
def test_a_run_that_hangs_is_ended_after_it_told_what_failed(tmp_path):
    (tmp_path / "test_it.py").write_text(HANGING)
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path / "conftest.py")
    command = ["bash", str(ROOT / "scripts" / "test"), str(tmp_path / "test_it.py"), "-p", "no:cacheprovider"]
    environment = os.environ | {"PYTHON": sys.executable}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    with process:
        assert any("this is what failed" in line for line in process.stdout)  # told while the second test hangs
        process.send_signal(signal.SIGALRM)  # as if the limit of time were over
        rest = process.stdout.read()
    assert "KeyboardInterrupt" in rest
    assert "this is what failed" in rest
    assert "1 failed" in rest.splitlines()[-1]
    assert process.returncode == 124
