"""A run that is killed again and again, each time at another moment, ends with the files of one that was not.

The child counts the moments at which something on disk changes and kills itself, with SIGKILL, at the one it is told; where it
appends to a file it first writes half of what it was about to.
"""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

CHILD = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from counterstain import pipeline
from counterstain.cells import seams
from counterstain.cli.main import main
from counterstain.inference.names import BACKENDS
from counterstain.passes import here, on_disk
from counterstain.stitching import work
from test_passes import SmallTiles

left = int(sys.argv[2])

def at_a_moment(function, before=lambda *args: None):
    def watched(*args, **kwargs):
        global left
        left -= 1
        if left == 0:
            before(*args)
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)
    return watched

def half_a_line(log, keep, *_):
    log._file.write(f"\\n{keep.row} {str(keep.col)[:1]}")
    log._file.flush()

pipeline.IN_MEMORY_PIXELS = 1000
on_disk.blocks = lambda size: seams.blocks(size, 400)
here.put = at_a_moment(here.put)
work.TileLog.add = at_a_moment(work.TileLog.add, half_a_line)
os.replace = at_a_moment(os.replace)
BACKENDS["classical"] = lambda threads: SmallTiles()
formats = [word for name in ("csv", "geojson", "tiles") for word in ("--format", name)]
main(["analyze", "corner.png", "--out", sys.argv[3], "--bundle", "classical", *formats])
"""

MANY = 10**9


def run(folder, out, moment):
    """Run the command in a child that is killed at a moment and return its exit status."""
    command = [sys.executable, "-c", CHILD, str(Path(__file__).parent), str(moment), out]
    return subprocess.run(command, cwd=folder, check=False, capture_output=True, timeout=200).returncode


@pytest.mark.slow
def test_ten_kills_at_random_moments_leave_no_trace_in_the_files(tmp_path):
    from PIL import Image  # noqa: PLC0415 (slow test only)
    from test_passes import tissue_in_a_corner  # noqa: PLC0415

    Image.fromarray(tissue_in_a_corner()[:1100, :1100]).save(tmp_path / "corner.png")
    assert run(tmp_path, "whole", MANY) == 0
    moments, kills = np.random.default_rng(0).integers(1, 10, 40).tolist(), 0
    for moment in moments:
        status = run(tmp_path, "killed", moment)
        if status == 0:
            break
        assert status == -signal.SIGKILL
        kills += 1
    else:
        assert run(tmp_path, "killed", MANY) == 0
    assert kills >= 10
    for name in ("corner/cells.csv", "corner/cells.geojson", "corner/tiles.csv", "summary.csv"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert sorted(path.name for path in (tmp_path / "killed").iterdir()) == ["corner", "counterstain.log", "summary.csv"]
