import ast
from pathlib import Path

import pytest

from miiii_core.publishing.chapters import read_chapters
from tools.check_prose import allowed_numbers, bare_numbers, check_prose

ROOT = Path(__file__).parent.parent


def found(text):
    return [number for _, number, _ in bare_numbers(text)]


@pytest.mark.parametrize(
    "text, numbers",
    [
        ("The loss fell to 0.25 nats after 1,024 epochs.", ["0.25", "1,024"]),
        ("It holds 90 % of it, or 90%.", ["90 %", "90%"]),
        ("As −0.64 says, 3×3 blocks.", ["0.64", "3", "3"]),
        ("After epoch 10, and 18.", ["10", "18"]),
        ("It took forty thousand epochs, or Twenty-five.", ["forty thousand", "twenty-five"]),
        (
            "One in a hundred; thousands of\ndozens, ninety\nmillion.",
            ["hundred", "thousands", "dozens", "ninety million"],
        ),
        (
            "At $p = 113$ it is $\\alpha = 0.98$, $x \\approx 12{,}769$ or $$ y < 42 $$",
            ["113", "0.98", "12,769", "42"],
        ),
        ("Bits: $2^{24}$.", ["24"]),
    ],
)
def test_numbers_in_prose_are_found(text, numbers):
    assert found(text) == numbers


@pytest.mark.parametrize(
    "text",
    [
        "---\nversion: 3\n---\n",
        "```{code-cell} ipython3\nx = 41\n```\n",
        "````{solution} ex-one\n:class: dropdown\n\n```python\nx = 41\n```\n````\n",
        "With $k = 1, \\dots, 9$ and $$ x = 2^3 x_0 $$ and `p=31` and $W_{Q2}$.",
        "Seven of nineteen; the twentyfold, a thousandfold and the hundredth.",
        "```{code-cell} ipython3\n# forty of $p = 113$\n```\n",
        "{glue:text}`forty` and `$p = 113$` and {doc}`hundred`",
        "{glue:text}`mean:.3f` in {numref}`fig-2`",
        "float32, W_Q2 and x0",
        "[a page](http://example.org/2024)",
    ],
)
def test_what_is_no_prose_is_left_out(text):
    assert found(text) == []


def test_prose_inside_a_directive_counts():
    assert found("```{note}\nIt took 12 hours.\n```\n") == ["12"]


def test_a_number_is_found_on_the_line_where_it_stands():
    text = "One\n\n$a <\n 12$ and forty\nthousand, 7 > 3"
    assert [(line, number) for line, number, _ in bare_numbers(text)] == [
        (4, "12"), (4, "forty thousand"), (5, "7"), (5, "3"),
    ]  # fmt: skip


def test_a_fault_names_page_line_and_words(tmp_path):
    (tmp_path / "one.md").write_text("# One\n\nIt is 12 long.\n")
    assert check_prose(tmp_path, "") == ["one.md:3: 12 (It is 12 long.)"]
    assert check_prose(tmp_path, "one: 12  # a reason") == []
    assert check_prose(tmp_path, "*: 12") == []


def test_an_allowance_that_nothing_needs_is_a_fault(tmp_path):
    (tmp_path / "one.md").write_text("# One\n")
    assert check_prose(tmp_path, "one: 12") == ["numbers.txt: one no longer has 12"]


def test_the_allow_list_is_read_line_by_line():
    assert allowed_numbers("# why\na: 1 | 2 %  # so\na: 3\n") == {"a": {"1", "2 %", "3"}}


def test_no_number_in_the_book_is_typed():
    assert check_prose(ROOT / "book", (ROOT / "tools" / "numbers.txt").read_text()) == []


@pytest.mark.parametrize("chapter", read_chapters(ROOT), ids=lambda chapter: chapter.name)
def test_a_table_or_figure_is_the_last_line_of_its_cell(chapter):
    """Elsewhere it is made and not shown, and nobody notices."""
    for cell in chapter.notebook().cells:
        if cell.cell_type != "code":
            continue
        for statement in ast.parse(cell.source).body[:-1]:
            value = getattr(statement, "value", None)
            if isinstance(statement, ast.Expr) and isinstance(value, ast.Call):
                made = ast.unparse(value.func)
                assert made != "table" and not made.startswith(("figures.", "controls.")), made
