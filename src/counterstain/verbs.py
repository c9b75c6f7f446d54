"""What a notebook calls first: open a slide, load a model, analyse, write, open a result.

Importing this imports nothing else of the package: each function imports what it needs when it is called.
"""

from __future__ import annotations

from dataclasses import replace
from os import PathLike
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from counterstain.analysis import Analysis
    from counterstain.inference.backend import Backend
    from counterstain.pipeline import AnalyzeOptions
    from counterstain.progress import OnProgress
    from counterstain.slides.base import Slide


def open_slide(path: str | Path, *, mpp: float | None = None, series: int | None = None) -> Slide:
    """Open an image or a whole slide.

    Parameters
    ----------
    path : file, or folder of an OME-Zarr, to read.
    mpp : micrometres per pixel at full size, instead of what the file says.
    series : number of the image in a file of several, from 0; None takes the only one of full size.

    Raises
    ------
    SlideError
        The file cannot be read, or a whole slide states no pixel size and ``mpp`` is not given.
    """
    from counterstain.slides.opening import open_slide as opened

    return opened(path, mpp=mpp, series=series)


def load_backend(name_or_path: str | Path = "default", *, threads: int | None = None) -> Backend:
    """Load a model.

    Parameters
    ----------
    name_or_path : ``default``, ``classical`` (which has no weights), or the path of a bundle.
    threads : CPU threads; None takes those that the process may use.

    Raises
    ------
    UsageError
        There is no such model.
    BundleError
        The bundle cannot be used.
    """
    from counterstain.inference.names import load_backend as loaded

    return loaded(name_or_path, threads=threads)


def analyze(
    slide: Slide | str | Path,
    backend: Backend | str | Path = "default",
    options: AnalyzeOptions | None = None,
    *,
    regions: str | Path | None = None,
    work: Path | None = None,
    on_progress: OnProgress | None = None,
) -> Analysis:
    """Infer the modalities of a slide, segment and classify its nuclei, and score them.

    Parameters
    ----------
    slide : open, or the path of its file. It stays open for what is read from the analysis later.
    backend : the model, loaded, or its name or path.
    options : what counts as a nucleus, which scores are computed; None takes the defaults.
    regions : file of regions (GeoJSON of QuPath, or CSV) that are scored on their own too.
    work : folder for the maps of a slide that does not fit in memory. An interrupted call goes on with what it finds there.
    on_progress : called now and then with how far the work is.

    Raises
    ------
    SlideError
        The slide cannot be read, or nothing can be counted in it.
    UsageError
        The model, the regions or the options do not fit.
    """
    from pathlib import Path

    from counterstain.pipeline import AnalyzeOptions
    from counterstain.pipeline import analyze as analyzed
    from counterstain.progress import unheard
    from counterstain.scoring.region_files import read_regions
    from counterstain.scoring.regions import NO_REGIONS

    model = load_backend(backend) if isinstance(backend, str | PathLike) else backend
    opened = open_slide(slide) if isinstance(slide, str | PathLike) else slide
    found = analyzed(
        opened,
        model,
        options or AnalyzeOptions(),
        regions=read_regions(Path(regions), opened.resolution.sides) if regions else NO_REGIONS,
        work=work,
        on_progress=on_progress or unheard,
    )
    return replace(found, source=str(slide)) if isinstance(slide, str | PathLike) else found


def write_result(analysis: Analysis, folder: str | Path, formats: Iterable[str] = ()) -> tuple[str, ...]:
    """Write the files of an analysis into a folder and return their names.

    What an earlier analysis wrote there is replaced as a whole; whatever else lies in the folder stays.

    Parameters
    ----------
    formats : such as ``csv``, ``geojson``, ``overlay`` or ``parquet``; none takes those of ``counterstain analyze``.

    Raises
    ------
    UsageError
        A format is unknown or needs a package that is not installed.
    OutputError
        Something cannot be written; the folder is then as it was.
    """
    from pathlib import Path

    from counterstain.outputs.names import check_formats, default_formats
    from counterstain.results.folder import write_folder

    named = tuple(formats)
    check_formats(named)
    return write_folder(analysis, Path(folder), named or default_formats())


def open_result(folder: str | Path, *, slide: str | Path | None = None) -> Analysis:
    """Open the folder of one result: everything that was found out about the slide, with the outlines of all nuclei.

    Parameters
    ----------
    folder : that ``analyze`` or ``write_result`` wrote.
    slide : where the image lies now; None is where it lay.

    Raises
    ------
    UsageError
        The folder holds no result, or one of a later format.
    OutputError
        A file of it is damaged.
    """
    from counterstain.results.opening import open_result as opened

    return opened(folder, slide=slide)
