"""How fast a run is, and how long it will take."""

import time

from counterstain.progress import Progress


class Pace:
    """Speed and time left of one stage, by what this run has done since the first step that was told."""

    def __init__(self, first: Progress) -> None:
        self._first_mpx, self._start = first.done_mpx, time.monotonic()

    def at(self, progress: Progress) -> tuple[float | None, float | None]:
        """Return megapixels per second and seconds left, both None until enough is known."""
        seconds, megapixels = time.monotonic() - self._start, progress.done_mpx - self._first_mpx
        if not megapixels or seconds <= 0:
            return None, 0.0 if progress.done == progress.total else None
        return megapixels / seconds, (progress.total_mpx - progress.done_mpx) * seconds / megapixels
