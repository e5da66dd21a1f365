"""Tables: text of each kind of value, layout in a page and in a terminal, wrong input."""

import numpy as np
import pytest

from miiii_core.figures.tables import table


def test_values_become_text_by_their_kind():
    made = table({"a": [1234567, None], "b": np.array([0.12345, np.nan]), "c": ["x", True]})
    assert made.rows == (("1,234,567", "0.123", "x"), ("–", "–", "True"))
    assert made.numeric == (True, True, False)


def test_significant_digits_are_chosen_and_whole_numbers_keep_all_theirs():
    assert table({"a": [2 / 3, 65536.0]}, digits=2).rows == (("0.67",), ("65,536",))


def test_a_page_gets_escaped_cells_with_numbers_to_the_right():
    shown = table({"name": ["<b>"], "n": [3]})._repr_html_()
    assert '<td style="text-align: left">&lt;b&gt;</td>' in shown
    assert '<td style="text-align: right">3</td>' in shown
    assert shown.count("<tr>") == 2


def test_a_terminal_gets_aligned_columns():
    assert repr(table({"name": ["ab", "c"], "n": [1, 22]})) == "name   n\nab     1\nc     22"


@pytest.mark.parametrize("columns", [{}, {"a": [1], "b": [1, 2]}])
def test_columns_of_different_lengths_are_refused(columns):
    with pytest.raises(ValueError, match="all of one length"):
        table(columns)
