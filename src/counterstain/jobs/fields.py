"""Choose which image of each file is analysed, or all of them: a file with several fields then becomes several inputs."""

from collections import Counter
from dataclasses import replace

from counterstain.errors import ELSEWHERE, SlideError, UsageError
from counterstain.jobs.inputs import Input
from counterstain.slides.choosing import EACH
from counterstain.slides.opening import full_size_series, series_name


def with_series(inputs: list[Input], series: str | None) -> list[Input]:
    """Return the inputs, each with the number of the image of its file that is analysed.

    Parameters
    ----------
    series : a number, for all files; ``EACH`` for every image of full size, of which those of one file get names of their own;
        None for the only one of full size.

    Raises
    ------
    UsageError
        Two of the inputs would have the same folder.
    """
    if series is None:
        return inputs
    if series != EACH:
        return [replace(item, series=int(series)) for item in inputs]
    found = [field for item in inputs for field in _fields(item)]
    uses = Counter(item.name.casefold() for item in found)
    alike = sorted(item.name for item in found if uses[item.name.casefold()] > 1)
    if alike:
        raise UsageError(
            f"several images would be called {', '.join(dict.fromkeys(alike))}; analyse them in separate runs", ELSEWHERE
        )
    return found


def _fields(item: Input) -> list[Input]:
    """Return an input for each image of full size; a file that cannot be read stays one, which then says why."""
    try:
        numbers = full_size_series(item.path)
    except (SlideError, OSError):
        return [item]
    if len(numbers) < 2:
        return [item]
    return [replace(item, series=number, name=series_name(item.name, number)) for number in numbers]
