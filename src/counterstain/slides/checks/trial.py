"""Try slides that a native library decodes in a helper process first, so that a crash of the library is survived.

A damaged file can end the program that decodes it, or make it ask for more memory than there is. A helper process, one for all
slides of a run, opens each slide first, reads what it states and a piece of each level, within limits of memory and of time.
Where the helper dies, that slide is refused and the next one gets a new helper. Starting it takes some 0.2 s, a slide some
0.01 s. Run as a program, this module is the helper.
"""

import atexit
import importlib.util
import json
import os
import subprocess
import sys
import threading
from contextlib import suppress
from multiprocessing import spawn
from pathlib import Path

import openslide

from counterstain.errors import SlideError, UnreadableSlideError

MEMORY_BYTES = 3 * 2**30
"""That the helper may ask for, on systems that can limit it; slides take some 100 MB."""

TIME_LIMIT_S = 120.0
"""For one slide; a slow network drive takes some seconds."""

PIECE_PX = 256

_READY, _DONE = "ready", "done"


class _Helper:
    """The helper process and the pipes to it."""

    def __init__(self) -> None:
        command = [spawn.get_executable(), "-m", __name__]
        one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        try:
            self._process = subprocess.Popen(  # noqa: S603 (this interpreter, this module)
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                encoding="ascii",
                env={**os.environ, **one_thread},
            )
        except OSError as error:
            raise SlideError(f"cannot start a process that tries slides first ({command[0]}): {error}") from error
        self.owner = os.getpid()
        if self._answer() != _READY:
            raise SlideError(
                f"the process that tries slides first does not start: {' '.join(map(str, command))} ended with "
                f"{self._process.wait()}; run that command to see why"
            )

    def survives(self, path: Path) -> bool:
        """Return whether the helper lived through a slide; when it did not, it has ended."""
        try:
            self._process.stdin.write(json.dumps(str(path)) + "\n")  # type: ignore[union-attr]
            self._process.stdin.flush()  # type: ignore[union-attr]
        except OSError:
            return False
        return self._answer() == _DONE

    def _answer(self) -> str:
        """Return the next line from the helper, which is ended when it takes too long; empty when it has ended."""
        alarm = threading.Timer(TIME_LIMIT_S, self._process.kill)
        alarm.daemon = True
        alarm.start()
        try:
            return self._process.stdout.readline().strip()  # type: ignore[union-attr]
        finally:
            alarm.cancel()

    def close(self) -> int:
        """End the helper and return how it ended: an exit code, or a signal as a negative number."""
        with suppress(OSError):
            self._process.stdin.close()  # type: ignore[union-attr]
        code = self._process.wait()
        self._process.stdout.close()  # type: ignore[union-attr]
        return code


_turn = threading.Lock()
_helpers: list[_Helper] = []
"""None or one."""


@atexit.register
def end_helper() -> None:
    """End the helper, which would end by itself when this process does."""
    while _helpers:
        helper = _helpers.pop()
        if helper.owner == os.getpid():
            helper.close()


def check_survives(path: Path) -> None:
    """Check that a slide can be opened and read from without the end of the process.

    Raises
    ------
    UnreadableSlideError
        It ended the helper, or took longer than ``TIME_LIMIT_S``.
    SlideError
        The helper cannot be started.
    """
    with _turn:
        if _helpers and _helpers[0].owner != os.getpid():
            _helpers.clear()  # that of the process from which this one was forked
        if not _helpers:
            _helpers.append(_Helper())
        if not _helpers[0].survives(path.absolute()):
            code = _helpers.pop().close()
            raise UnreadableSlideError(
                f"{path} is damaged: the library that reads it ended its process (exit {code}), or took more than "
                f"{MEMORY_BYTES // 2**20:,} MB or {TIME_LIMIT_S:.0f} s; copy the file again from where it came"
            )


def main() -> None:
    """Try the slides whose paths come in, one a line, until there are no more."""
    _limit_memory()
    _say(_READY)
    for line in sys.stdin:
        path = json.loads(line)
        _try_openslide(path)
        if Path(path).suffix.lower() in (".czi", ".vsi", ".zvi"):
            _try_slideio(path)
        _say(_DONE)


def _say(word: str) -> None:
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


def _limit_memory() -> None:
    if importlib.util.find_spec("resource") is None:
        return
    import resource

    for kind, most in ((resource.RLIMIT_DATA, MEMORY_BYTES), (resource.RLIMIT_CORE, 0)):
        _, hard = resource.getrlimit(kind)
        with suppress(ValueError, OSError):
            resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _try_openslide(path: str) -> None:
    """Open and read a slide as will be done later. An ordinary error is ignored here: it comes again later, with a message."""
    with suppress(openslide.OpenSlideError, OSError, UnicodeError):
        if openslide.OpenSlide.detect_format(path) is None:
            return
        with openslide.OpenSlide(path) as slide:
            dict(slide.properties)
            width, height = slide.dimensions
            for level in range(slide.level_count):
                slide.read_region((width // 2, height // 2), level, (PIECE_PX, PIECE_PX))


def _try_slideio(path: str) -> None:
    if importlib.util.find_spec("slideio") is None:
        return
    with suppress(RuntimeError, OSError, ValueError, TypeError, IndexError):
        import slideio

        slide = slideio.open_slide(path, {".vsi": "VSI", ".zvi": "ZVI"}.get(Path(path).suffix.lower(), "CZI"))
        for number in range(slide.num_scenes):
            scene = slide.get_scene(number)
            _, _, width, height = scene.rect
            scene.read_block((0, 0, min(width, PIECE_PX), min(height, PIECE_PX)))


if __name__ == "__main__":
    main()
