"""Fixtures that every test may use."""

import os
import signal
import threading
from pathlib import Path

import pytest
from hypothesis import settings

# How long an example takes says how busy the machine is; what must be quick has a test of its own.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.fixture(scope="session", autouse=True)
def _programs_hear_ctrl_c() -> None:
    """Let the programs that tests start hear Ctrl-C, which a shell switches off for what runs in its background."""
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Return the folder of real images, or skip the test where it is not there."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("COUNTERSTAIN_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"needs the real images: set COUNTERSTAIN_DATA or put them in {default}")
    return folder


@pytest.fixture(scope="session")
def golden_dir(data_dir: Path) -> Path:
    """Return the folder of what the published DeepLIIF software made of random weights, or skip the test."""
    folder = data_dir.parent / "deepliif" / "golden"
    if not folder.is_dir():
        pytest.skip(f"needs the results of the published software in {folder}, beside the real images")
    return folder


class _FailuresAsTheyCome:
    """Writes what failed when it fails; pytest tells it after the last test, which a run that is killed never sees."""

    def __init__(self, config: pytest.Config) -> None:
        self._plugins = config.pluginmanager

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        terminal = self._plugins.get_plugin("terminalreporter")
        if report.failed and terminal is not None:
            terminal.ensure_newline()
            terminal.write_line(f"FAILED {report.nodeid} ({report.when})\n{report.longreprtext}")
            terminal.flush()


def pytest_configure(config: pytest.Config) -> None:
    """Tell failures at once, in the process that talks to the terminal alone."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(_FailuresAsTheyCome(config), "failures-as-they-come")
