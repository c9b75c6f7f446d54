from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from counterstain.errors import UsageError
from counterstain.options import load_options, parse_overrides


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    learning_rate: float = 1e-3
    steps: int = 10
    precision: Literal["float32", "bfloat16"] = "float32"

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError("steps must be at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    weight: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    name: str
    seed: int | None = None
    sizes: tuple[int, ...] = (1, 2)
    folder: Path = Path()
    loop: Loop = field(default_factory=Loop)
    sources: tuple[Source, ...] = ()


def _load(tmp_path: Path, text: str, **overrides: object) -> Recipe:
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    return load_options(Recipe, path, {name.replace("__", "."): value for name, value in overrides.items()})


def test_a_file_fills_nested_options(tmp_path):
    text = 'name = "a"\nsizes = [3]\nfolder = "x"\n[loop]\nlearning_rate = 1\n[[sources]]\nweight = 2.5\n'
    expected = Recipe(name="a", sizes=(3,), folder=Path("x"), loop=Loop(learning_rate=1.0), sources=(Source(weight=2.5),))
    assert _load(tmp_path, text) == expected
    assert isinstance(_load(tmp_path, text).loop.learning_rate, float)


def test_overrides_win_over_the_file_and_leave_the_rest(tmp_path):
    recipe = _load(tmp_path, 'name = "a"\n[loop]\nsteps = 5\nlearning_rate = 0.5\n', loop__steps=7, folder=Path("y"))
    assert recipe.loop == Loop(steps=7, learning_rate=0.5)
    assert recipe.folder == Path("y")


def test_defaults_need_no_file():
    assert load_options(Loop) == Loop()


def test_all_faults_are_reported_together(tmp_path):
    with pytest.raises(UsageError) as caught:
        _load(tmp_path, 'colour = 1\nseed = "x"\n[loop]\nlearning_rat = 1\nprecision = "int8"\n[[sources]]\nweigth = 1\n')
    message = str(caught.value)
    assert "recipe.toml: 6 faults" in message
    assert "colour: unknown option; known here: folder, loop, name, seed, sizes, sources" in message
    assert "loop.learning_rat: unknown option; known here: learning_rate, precision, steps" in message
    assert "sources.0.weigth" in message
    assert "name: Field required" in message
    assert "seed" in message
    assert "loop.precision" in message


@pytest.mark.parametrize("value", [True, "1", 2.5])
def test_a_value_of_another_type_is_not_converted(value):
    with pytest.raises(UsageError, match="steps"):
        load_options(Loop, None, {"steps": value})


def test_a_check_of_the_dataclass_is_a_fault():
    with pytest.raises(UsageError, match="steps must be at least 1"):
        load_options(Loop, None, {"steps": 0})


def test_a_value_where_a_table_belongs_is_a_fault():
    with pytest.raises(UsageError, match="loop"):
        load_options(Recipe, None, {"name": "a", "loop": 3})


@pytest.mark.parametrize("text", ["= 3", "a = \xff"])
def test_a_file_that_is_not_toml_is_named(tmp_path, text):
    path = tmp_path / "bad.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError, match=r"bad\.toml"):
        load_options(Loop, path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"nowhere\.toml"):
        load_options(Loop, tmp_path / "nowhere.toml")


def test_overrides_are_read_as_toml_or_text():
    texts = ["loop.learning_rate=1e-4", "name=plain text", "sizes=[1, 2]", "seed = 3", 'folder="a=b"']
    expected = {"loop.learning_rate": 1e-4, "name": "plain text", "sizes": [1, 2], "seed": 3, "folder": "a=b"}
    assert parse_overrides(texts) == expected


@pytest.mark.parametrize("text", ["steps", "=3", "loop.=3"])
def test_an_override_without_name_or_value_is_refused(text):
    with pytest.raises(UsageError, match="NAME=VALUE"):
        parse_overrides([text])
