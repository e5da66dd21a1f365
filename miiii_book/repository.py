"""Where the repository is published, as the clone knows it: written nowhere, never guessed."""

import os
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

VARIABLE = "MIIII_REPOSITORY"
# https, ssh or git, with or without a user, a port or .git; or git@github.com:owner/name
ADDRESS = re.compile(
    r"(?:(?:https?|ssh|git)://)?(?:[^@/\s]+@)?(?:www\.|ssh\.)?github\.com(?::\d+/|[:/])"
    r"(?P<owner>[\w-]+)/(?P<name>[\w.-]+?)(?:\.git)?/?"
)


class Repository(NamedTuple):
    """A public repository on GitHub, and the branch that links lead to."""

    owner: str
    name: str
    branch: str = "main"

    @property
    def url(self) -> str:
        """Address of its page."""
        return f"https://github.com/{self.owner}/{self.name}"


def parse_address(address: str, branch: str = "main") -> Repository | None:
    """Return the repository that the address of a git remote means; None if not on GitHub."""
    found = ADDRESS.fullmatch(address.strip())
    return Repository(found["owner"], found["name"], branch) if found else None


def find_repository(root: Path) -> Repository | None:
    """Return what ``$MIIII_REPOSITORY`` or the remote ``origin`` names, on the current branch.

    Args:
        root: Top folder of the clone; a folder inside another repository is not that one.

    Raises:
        ValueError: for a variable that is neither empty nor names a repository on GitHub.
    """
    in_clone = Path(_git(root, "rev-parse", "--show-toplevel") or os.devnull) == root.resolve()
    branch = (in_clone and _git(root, "branch", "--show-current")) or "main"
    if (given := os.environ.get(VARIABLE)) is not None:
        known = parse_address(given, branch) or parse_address(f"github.com/{given}", branch)
        if given and not known:
            raise ValueError(
                f"{VARIABLE}={given!r} will not do; give a repository on GitHub, such as "
                "OWNER/NAME, or nothing for a site without links to one"
            )
        return known
    # As it was set: `git remote get-url` would name a mirror that this machine clones from.
    origin = in_clone and _git(root, "config", "--get", "remote.origin.url")
    return parse_address(origin, branch) if origin else None


def _git(root: Path, *words: str) -> str:
    """Return what git answers; nothing where there is no git, no clone, or no such entry."""
    try:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
