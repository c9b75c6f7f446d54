"""Run commands of the package one after the other in this process, which may be killed: a line of JSON in, one out.

Standard output and error go to files of the case, those of native libraries too. Memory and time of the processor are limited.
"""

import json
import os
import sys
import traceback
import warnings
from pathlib import Path

from counterstain.cli.main import main
from counterstain.errors import CounterstainError
from counterstain.inference.names import load_backend
from counterstain.options import load_options
from counterstain.training.checkpoint import load_checkpoint
from counterstain.training.importing.deepliif import read_deepliif
from counterstain.training.recipe import TrainOptions

try:
    import resource
except ImportError:  # Windows has no such limits
    resource = None

MEMORY_BYTES = 6 * 2**30

LOAD_BUNDLE, LOAD_RECIPE, LOAD_CHECKPOINT, LOAD_MODEL = "load bundle", "load recipe", "load checkpoint", "load model"
"""What is called as a function, because its command would do more than read."""


def serve():
    """Answer requests until there are no more."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    _limit_memory()
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        os.chdir(request["folder"])
        for number, name in ((1, "stdout"), (2, "stderr")):
            opened = os.open(request[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(opened, number)
            os.close(opened)
        answer = _run(request["arguments"])
        sys.stdout.flush()
        sys.stderr.flush()
        print(json.dumps(answer), file=answers, flush=True)


def _limit_memory():
    if resource is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))


def _run(arguments):
    """Return the exit code, and what Python says of an exception that nobody caught."""
    warnings.resetwarnings()
    try:
        if arguments[0] in _CALLS:
            return _called(*arguments)
        main.main(arguments, prog_name="counterstain")
    except SystemExit as end:
        return {"code": end.code or 0, "uncaught": None}
    except BaseException:  # noqa: BLE001 (to find these is what this program is for)
        return {"code": 1, "uncaught": traceback.format_exc()}
    return {"code": 0, "uncaught": None}


def _called(name, path):
    try:
        _CALLS[name](Path(path))
    except CounterstainError as error:
        print(f"error: {error}", file=sys.stderr)
        return {"code": 1, "uncaught": None}
    return {"code": 0, "uncaught": None}


_CALLS = {
    LOAD_BUNDLE: lambda path: load_backend(path, threads=1),
    LOAD_RECIPE: lambda path: load_options(TrainOptions, path),
    LOAD_CHECKPOINT: load_checkpoint,
    LOAD_MODEL: read_deepliif,
}

if __name__ == "__main__":
    serve()
