import io
import sys

from counterstain.cli.showing.console import show_columns, show_error, show_summary, show_warning
from counterstain.cli.showing.progress import progress_bars
from counterstain.progress import Progress
from counterstain.results.record import CountsRecord, Record, ScoreRecord

SCORE = ScoreRecord(
    name="percent_positive", region="all", value=30.0, interval_95=(10.8, 60.3), counts={"positive": 3, "total": 10}
)
RECORD = Record.model_construct(counts=CountsRecord(nuclei=10, positive=3, negative=7), scores=(SCORE,), warnings=("few",))


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_on_a_terminal_there_are_bars_and_they_name_the_image(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress_bars(quiet=False) as bars:
        bar = bars.begin("slide [1]")
        bar.step(Progress(stage="tiles", done=1, total=4, done_mpx=0.2, total_mpx=0.8))
    assert "slide [1]" in sys.stderr.getvalue()
    assert "1/4" in sys.stderr.getvalue()


def test_quiet_shows_no_bars_on_a_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress_bars(quiet=True) as bars:
        bar = bars.begin("x")
        bar.step(Progress(stage="tiles", done=1, total=1, done_mpx=0.2, total_mpx=0.8))
        bar.end()
    assert sys.stderr.getvalue() == ""


def test_on_a_terminal_the_summary_is_framed(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(sys, "stdout", Terminal())
    show_summary([("slide [1]", RECORD)])
    lines = sys.stdout.getvalue().splitlines()
    assert any("slide [1]" in line and "30.0" in line and "10.8 to 60.3" in line for line in lines)
    assert any("─" in line or "━" in line for line in lines)


def test_an_analysis_without_the_score_shows_dashes(capsys):
    show_summary([("x", RECORD.model_copy(update={"scores": ()}))])
    assert capsys.readouterr().out.splitlines()[1].split()[-3:] == ["-", "-", "1"]


def test_columns_are_aligned_without_trailing_spaces(capsys):
    show_columns([("a", "b"), ("long", "")])
    assert capsys.readouterr().out == "a     b\nlong\n"


def test_an_error_names_the_input_once(capsys):
    show_error("x.png", ValueError("x.png is empty"))
    show_error("x.png", ValueError("no"))
    assert capsys.readouterr().err == "error: x.png is empty\nerror: x.png: no\n"


def test_control_characters_of_a_name_do_not_reach_the_terminal(capsys):
    odd = "a\n\t\x1b[31m\x9b\udce9.png"
    show_error(odd, ValueError(odd))
    show_warning(odd, odd)
    show_columns([(odd, "1")])
    shown = "".join(capsys.readouterr())
    assert "a\\n\\t\\x1b[31m\\x9b\ufffd.png" in shown
    assert not set(shown) & set("\t\x1b\x9b\udce9")
    assert len(shown.splitlines()) == 3
