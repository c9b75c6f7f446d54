import numpy as np
import pytest

from counterstain.spreadsheets import as_shown, numbers, open_text, read_sheet, truths


def test_the_separator_is_the_one_of_the_header_and_empty_lines_do_not_count():
    for delimiter in ",;\t":
        sheet = read_sheet(["sep=x\n", "\n", delimiter.join("abc") + "\n", delimiter.join("123") + "\n", "\n", delimiter * 2])
        assert (sheet.names, [*sheet.rows]) == (("a", "b", "c"), [(1, ["1", "2", "3"])])


@pytest.mark.parametrize("lines", [[], ["\n"], ["", ",,\n"]])
def test_a_table_without_a_header_is_refused(lines):
    with pytest.raises(ValueError, match="it is empty"):
        read_sheet(lines)


@pytest.mark.parametrize(
    ("row", "fault"),
    [("1", "row 2 has 1 fields and the header 2"), ("1,2,3", "row 2 has 3 fields"), ('"1,2', "row 2: unexpected end of data")],
)
def test_a_row_of_another_length_or_an_open_quote_is_refused(row, fault):
    with pytest.raises(ValueError, match=fault):
        [*read_sheet(["a,b\n", "1,2\n", row]).rows]


def test_numbers_have_a_point_or_a_comma_and_what_is_missing_is_nan():
    found = numbers(["1.5", "1,5", " -2e-3 ", "", "NA", "NaN", "#N/A", "null"])
    np.testing.assert_array_equal(found, [1.5, 1.5, -2e-3, *[np.nan] * 5])


def test_whole_numbers_keep_all_their_digits_and_may_have_an_exponent():
    assert numbers([str(2**62 + 1), "7"], np.int64).tolist() == [2**62 + 1, 7]
    assert numbers(["1E+03", "2.0"], np.int64).tolist() == [1000, 2]


@pytest.mark.parametrize(("text", "kind"), [("x", np.float64), ("1.234,5", np.float64), ("1.5", np.int64), ("", np.int64)])
def test_what_is_no_number_is_refused(text, kind):
    with pytest.raises(ValueError, match=r".+"):
        numbers([text], kind)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["true", "TRUE", "True", "T", "1", "WAHR", "VRAI"], True),
        (["false", "FALSE", "False", "F", "0", "FALSCH", "FAUX"], False),
    ],
)
def test_truth_has_the_words_of_every_program(words, expected):
    assert truths(words).tolist() == [expected] * len(words)


@pytest.mark.parametrize("word", ["", "maybe", "2", "NA"])
def test_what_is_neither_true_nor_false_is_refused(word):
    with pytest.raises(ValueError, match=f"'{word}' is neither"):
        truths(["true", word])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_text_is_read_in_the_encodings_that_spreadsheets_write(tmp_path, encoding):
    (tmp_path / "table.csv").write_bytes("ä,b\n".encode(encoding))
    with open_text(tmp_path / "table.csv") as text:
        assert read_sheet(text).names == ("ä", "b")


def test_another_encoding_is_refused_with_what_to_do(tmp_path):
    (tmp_path / "table.csv").write_bytes("a,b\n1,ä\n".encode("latin-1"))
    with pytest.raises(ValueError, match="UTF-8"), open_text(tmp_path / "table.csv") as text:
        [*read_sheet(text).rows]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\tx", "\rx"])
def test_what_a_spreadsheet_would_compute_is_shown_as_it_is(text):
    assert as_shown(text) == "'" + text


@pytest.mark.parametrize("text", ["", "slide", "a=b", "'x"])
def test_other_text_is_left_alone(text):
    assert as_shown(text) == text
