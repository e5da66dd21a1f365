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
    r"\A---\n.*?\n---\n|^(?P<fence>```+)(?:\{code-cell\}|[a-z]+$).*?^(?P=fence)$|\$\$.+?\$\$"
    r"|\$[^$]+\$|\{[a-z:]+\}`+[^`]+`+|(?<!`)(?:``[^`]+``|`[^`\n]+`)(?!`)|\(http[^)]*\)|<[^>]+>|^:[a-z-]+:.*$"
    r"|^\([\w-]+\)=$|^ {4,}\S.*$",
    re.M | re.S,
)
NUMBER = re.compile(r"(?<![\w.-])\d+(?:,\d{3})*(?:\.\d+)?(?: ?%)?(?!\w)")


def bare_numbers(text: str) -> Iterator[tuple[int, str, str]]:
    """Every number in the prose of a page: its line, itself, and the words around it."""
    blanked = NOT_PROSE.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
    for number, line in enumerate(blanked.splitlines(), 1):
        for found in NUMBER.finditer(line):
            around = line[max(0, found.start() - 24) : found.end() + 24]
            yield number, found[0], " ".join(around.split())


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
