"""The results of a run as one JSON document: for a program that started it, or for a page that shows it."""

from dataclasses import asdict
from typing import Any

from counterstain.jobs.outcome import Content, Outcome
from counterstain.results.part import as_json
from counterstain.results.summary import Failure
from counterstain.slides.opening import as_unicode
from counterstain.versions import FORMAT_VERSION


def document(outcome: Outcome[Content]) -> dict[str, Any]:
    """Return the results of a run, made of JSON's own types alone."""
    done = [
        {
            "status": "kept" if name in outcome.kept else "done",
            "name": name,
            "folder": as_unicode(outcome.out / name),
            **as_json(content),
        }
        for name, content in outcome.records
    ]
    failed = [failed_entry(failure) for failure in outcome.failures]
    return {
        "format_version": FORMAT_VERSION,
        "out": as_unicode(outcome.out),
        **({"summary": as_unicode(outcome.summary)} if outcome.summary else {}),
        "images": [*done, *failed],
    }


def failed_entry(failure: Failure) -> dict[str, Any]:
    """Return what stands among the images for one that has no result."""
    return {
        "status": "failed",
        "name": failure.name,
        "source": failure.source,
        "error": failure.error,
        "type": failure.kind,
        "remedies": [{key: value for key, value in asdict(remedy).items() if value} for remedy in failure.remedies],
    }
