"""What a chapter publishes, and what it expects of verdicts."""

from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
from tiny_book import FRONT, write_book

from miiii_book import build, ledger, page
from miiii_book.claims.claim import Verdict


@pytest.fixture
def notebook(monkeypatch):
    """A stand-in for the notebook: cells that ran, and what was glued and shown."""
    seen = SimpleNamespace(cells=["p = 7"], glued={}, shown=[])
    shell = SimpleNamespace(user_ns={"In": seen.cells})
    monkeypatch.setattr(page, "get_ipython", lambda: shell)
    monkeypatch.setattr(page, "glue", lambda name, value, display: seen.glued.update({name: value}))
    monkeypatch.setattr(page, "display", seen.shown.append)
    page._has_other_parameters.cache_clear()
    return seen


@pytest.fixture
def verdicts(monkeypatch):
    """What the runs that come with the book say of claims; the claims asked, in order."""
    found = SimpleNamespace(say=Verdict.UNDECIDED, asked=[])

    def examine_shipped(key):
        found.asked.append(key)
        return SimpleNamespace(verdict=found.say)

    monkeypatch.setattr(ledger, "examine_shipped", examine_shipped)
    return found


def test_values_are_published_as_pythons_own(notebook):
    page.publish(
        share=np.float32(0.5), count=np.int64(3), all=np.bool_(True), when=jnp.asarray(2.5),
        one=np.array([7]), verdict=Verdict.UNDECIDED, never=np.inf, word="wave",
    )  # fmt: skip
    assert {name: repr(value) for name, value in notebook.glued.items()} == {
        "share": "0.5", "count": "3", "all": "True", "when": "2.5", "one": "7",
        "verdict": "'undecided'", "never": "inf", "word": "'wave'",
    }  # fmt: skip


@pytest.mark.parametrize("value", [np.arange(2), None, [1], object()])
def test_what_no_sentence_can_hold_is_refused(notebook, value):
    with pytest.raises(TypeError, match=f"share is of type {type(value).__name__}"):
        page.publish(share=value)


def test_a_sentence_is_not_published(notebook):
    with pytest.raises(ValueError, match="end is the text .* by hand"):
        page.publish(end="it fails to generalise after all")


def test_an_expected_verdict_says_nothing(notebook, verdicts):
    page.expects("spike", "undecided")
    assert notebook.shown == [] and verdicts.asked == ["spike"]


@pytest.mark.parametrize("verdict", ["holds", "fails", "und"])
def test_another_verdict_fails_and_says_what_to_rewrite(notebook, verdicts, verdict):
    with pytest.raises(AssertionError) as caught:
        page.expects("spike", verdict)
    for part in ("'spike'", repr(verdict), "'undecided'", "rewrite the paragraphs"):
        assert part in str(caught.value)


def test_a_claim_that_is_none_is_refused(notebook, verdicts):
    with pytest.raises(ValueError, match="'weather'"):
        page.expects("weather", "holds")


def test_on_other_parameters_a_banner_is_shown_once(notebook, verdicts):
    notebook.cells.append("# Parameters\np = 11\n")
    for _ in range(2):
        page.expects("spike", "holds")
    (banner,) = notebook.shown
    assert "runs that come with the book" in banner.data and verdicts.asked == []


def test_an_executed_chapter_holds_values_and_a_banner_that_is_seen(tmp_path):
    source = FRONT + (
        "# One\n\n```{code-cell} ipython3\n:tags: [parameters]\np = 7\n```\n\n"
        "```{code-cell} ipython3\n:tags: [remove-cell]\nfrom miiii_book import page\n"
        "page.expects('spike', 'fails')\npage.publish(square=p**2)\n```\n"
    )
    write_book(tmp_path, one=source, index="# A book\n")
    (chapter,) = build.read_chapters(tmp_path)
    executed = build.execute(chapter, {"p": 5}, [])
    (cell,) = (cell for cell in executed.cells if "publish" in cell.source)
    assert "remove-cell" not in cell.metadata.tags and "remove-input" in cell.metadata.tags
    assert "other-runs" in str(cell.outputs) and "'text/plain': '25'" in str(cell.outputs).replace(
        "application/papermill.record/", ""
    )
