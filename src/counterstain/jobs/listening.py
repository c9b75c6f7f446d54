"""Who hears of a run while it is going on: bars on a terminal, lines for a program, a page of a web service, or nobody."""

from typing import Protocol

from counterstain.progress import Progress


class ImageListener(Protocol):
    """Hears of one image, from one thread."""

    def step(self, progress: Progress) -> None:
        """Hear how far the work on the image is."""

    def end(self, *, failed: bool = False) -> None:
        """Hear that the image has come to its end."""


class Listener(Protocol):
    """Hears of a run, which may be at work on several images at once, each in a thread of its own."""

    def started(self, images: int) -> None:
        """Hear how many images there are."""

    def begin(self, name: str) -> ImageListener:
        """Hear that the work on an image begins."""

    def failed(self, name: str, error: BaseException) -> None:
        """Hear at once why an image has no result; the name is that of its file."""

    def warned(self, name: str, message: str) -> None:
        """Hear of something that costs no result."""


class Silence:
    """Hears everything and does nothing."""

    def started(self, images: int) -> None:
        """Do nothing."""

    def begin(self, name: str) -> "Silence":
        """Do nothing."""
        return self

    def step(self, progress: Progress) -> None:
        """Do nothing."""

    def end(self, *, failed: bool = False) -> None:
        """Do nothing."""

    def failed(self, name: str, error: BaseException) -> None:
        """Do nothing."""

    def warned(self, name: str, message: str) -> None:
        """Do nothing."""


SILENCE = Silence()
