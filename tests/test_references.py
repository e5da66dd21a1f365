import re
from pathlib import Path

BOOK = Path(__file__).parent.parent / "book"


def entries(text):
    """The fields of each entry, as they stand, by its key."""
    found = re.findall(r"^@\w+\{([^,]+),\n(.*?)^\}", text, re.M | re.S)
    return {
        key: dict(re.findall(r"^\s*(\w+)\s*=\s*\{(.*)\},?$", body, re.M)) for key, body in found
    }


def cited(text):
    """The keys that the roles of a page cite."""
    roles = re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", text)
    return {key.strip() for role in roles for key in role.split(",")}


REFERENCES = entries((BOOK / "references.bib").read_text())
PAGES = "\n".join(path.read_text() for path in BOOK.glob("*.md"))


def test_entries_and_roles_are_read():
    text = "@misc{a1,\n  title  = {A {B}},\n  year   = {2000}\n}\n@book{b,\n  url = {x}\n}\n"
    assert entries(text) == {"a1": {"title": "A {B}", "year": "2000"}, "b": {"url": "x"}}
    assert cited("see {cite:t}`a1` and {cite}`b,c2`, not `d`") == {"a1", "b", "c2"}


def test_every_entry_is_cited_and_every_citation_has_an_entry():
    assert len(REFERENCES) == len(re.findall(r"^@", (BOOK / "references.bib").read_text(), re.M))
    assert cited(PAGES) == set(REFERENCES)


def test_every_entry_says_who_when_and_where_it_is_found():
    for key, fields in REFERENCES.items():
        assert {"author", "title", "year"} <= set(fields), key
        assert {"doi", "url"} & set(fields) or fields.get("archiveprefix") == "arXiv", key
        assert re.fullmatch(r"\d{4}\.\d{5}", fields.get("eprint", "0000.00000")), key
        assert re.fullmatch(r"10\.\d{4,}/\S+", fields.get("doi", "10.0000/x")), key
        assert fields.get("url", "https://").startswith("https://"), key
        assert key.lstrip("abcdefghijklmnopqrstuvwxyz").startswith(fields["year"]), key
