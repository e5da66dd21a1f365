"""Check the prose of the book: no number typed by hand that a page could compute.

What a page measures it glues, so that text and figure cannot part. Numbers that are no
measurement stand in an allow-list, ``tools/numbers.txt``: years, definitions, criteria fixed
beforehand, what others have published.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

# What is not prose: the front matter, fenced code, formulas, roles, code spans, addresses.
NOT_PROSE = re.compile(
    r"\A---\n.*?\n---\n|^(?P<fence>```+)(?:\{code-cell\}|[a-z]+$).*?^(?P=fence)$"
    r"|(?P<formula>\$\$.+?\$\$|\$[^$]+\$)"
    r"|\{[a-z:]+\}`+[^`]+`+|(?<!`)(?:``[^`]+``|`[^`\n]+`)(?!`)|\(http[^)]*\)|<[^>]+>|^:[a-z-]+:.*$"
    r"|^\([\w-]+\)=$|^ {4,}\S.*$",
    re.M | re.S,
)
NUMBER = re.compile(r"(?<![\w.-])\d+(?:,\d{3})*(?:\.\d+)?(?: ?%)?(?!\w)")
# In a formula single digits are exponents, factors and bounds; longer numbers may be outcomes.
IN_FORMULA = re.compile(r"(?<![\w.])\d+(?:\{,\}\d{3}|\.?\d)+")
TENS = "twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety"
LARGE = r"dozens?|hundreds?|thousands?|millions?|billions?"
# In words, from twenty up: "forty-one", "forty thousand", "a hundred".
WORD = rf"(?:(?:{TENS})(?:-[a-z]+)?|{LARGE})"
IN_WORDS = re.compile(rf"\b{WORD}(?:\s+{WORD})*\b", re.I)


def bare_numbers(text: str) -> Iterator[tuple[int, str, str]]:
    """Every number of the prose of a page: its line, itself, and the words around it.

    Besides those in digits, numbers from twenty up in words, and in formulas those of two digits
    or more.
    """
    places: list[tuple[int, str]] = []

    def blanked(found: re.Match[str]) -> str:
        if found["formula"]:
            places.extend(
                (found.start() + number.start(), number[0].replace("{,}", ","))
                for number in IN_FORMULA.finditer(found[0])
            )
        return re.sub(r"[^\n]", " ", found[0])

    prose = NOT_PROSE.sub(blanked, text)
    places += [(found.start(), found[0]) for found in NUMBER.finditer(prose)]
    words = IN_WORDS.finditer(prose)
    places += [(found.start(), " ".join(found[0].lower().split())) for found in words]
    for start, number in sorted(places):
        before, after = text[:start].rpartition("\n")[2], text[start:].partition("\n")[0]
        around = before[-24:] + after[: len(number) + 24]
        yield text.count("\n", 0, start) + 1, number, " ".join(around.split())


def allowed_numbers(listed: str) -> dict[str, set[str]]:
    """The allow-list: for each page, or ``*`` for all, the numbers that may stand in its prose."""
    allowed: dict[str, set[str]] = {}
    for line in listed.splitlines():
        page, separator, numbers = line.partition("#")[0].partition(":")
        if separator:
            allowed.setdefault(page.strip(), set()).update(n.strip() for n in numbers.split("|"))
    return allowed


def check_prose(book: Path, listed: str) -> list[str]:
    """All faults, one line each: ``page:line: number (words around it)``, and stale allowances."""
    allowed, used, faults = allowed_numbers(listed), set(), []
    for page in sorted(book.glob("*.md")):
        for line, number, around in bare_numbers(page.read_text(encoding="utf-8")):
            homes = [home for home in (page.stem, "*") if number in allowed.get(home, ())]
            used |= {(home, number) for home in homes[:1]}
            if not homes:
                faults.append(f"{page.name}:{line}: {number} ({around})")
    stale = {(home, n) for home, numbers in allowed.items() for n in numbers} - used
    return faults + [f"numbers.txt: {home} no longer has {n}" for home, n in sorted(stale)]


def main() -> int:
    """Check the pages of the book, and say where a number is typed."""
    root = Path(__file__).parent.parent
    faults = check_prose(root / "book", (root / "tools" / "numbers.txt").read_text())
    print("\n".join(faults) or "prose: every number is glued or allowed")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
