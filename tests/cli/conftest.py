"""Images small enough to be analysed in no time, and the command itself."""

import io
import struct
import zlib

import pytest
from click.testing import CliRunner
from drawn import nuclei
from PIL import Image

from counterstain.cli.main import main


def bomb() -> bytes:
    """A PNG whose header promises 100,000 x 100,000 pixels and whose data are a few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty current folder."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return work


@pytest.fixture
def good(folder):
    """One good image in the current folder."""
    Image.fromarray(nuclei()).save(folder / "good.png")
    return folder / "good.png"


@pytest.fixture
def run():
    """Run the command in this process; an unexpected exception fails the test."""

    def invoke(*arguments):
        return CliRunner().invoke(main, [str(argument) for argument in arguments], catch_exceptions=False)

    return invoke


@pytest.fixture
def analyze(run):
    """Analyse into ``out`` with the weightless model."""
    return lambda *arguments: run("analyze", *arguments, "--out", "out", "--bundle", "classical")


@pytest.fixture
def draw():
    return nuclei


@pytest.fixture
def as_png():
    return png


@pytest.fixture
def bomb_bytes():
    return bomb()
