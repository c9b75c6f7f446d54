import sys

import pytest

from counterstain.errors import OutputError, UsageError
from counterstain.extras import install_command, missing, require


def test_a_module_that_is_not_there_is_missing_and_one_that_is_there_is_not_imported():
    assert missing(["this_is_no_module", "lib2to3" if sys.version_info < (3, 13) else "turtledemo"]) == ("this_is_no_module",)
    assert "turtledemo" not in sys.modules


def test_the_command_installs_for_the_python_that_is_running(monkeypatch):
    assert install_command("slides") == f'{sys.executable} -m pip install "counterstain[slides]"'
    monkeypatch.setattr(sys, "executable", "C:/Program Files/python.exe")
    assert install_command("czi").startswith('"C:/Program Files/python.exe" -m pip')


def test_what_needs_a_missing_module_says_which_and_how_to_get_it():
    require("this", ["sys"], "slides")
    with pytest.raises(UsageError, match=r'training needs not_here; run: .* -m pip install "counterstain\[train\]"$'):
        require("training", ["sys", "not_here"], "train")
    with pytest.raises(OutputError):
        require("it", ["not_here"], "slides", OutputError)
