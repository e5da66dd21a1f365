"""The command that builds the book."""

import click

from .failure import Failure, missing


@click.command()
@click.option("--run", help="preset or folder for the chapters that read a run")
@click.option("-p", "pairs", multiple=True, metavar="NAME=VALUE", help="parameter of the chapters")
@click.option("--chapter", "chapters", multiple=True, help="only for this chapter; repeatable")
def book(run: str | None, pairs: tuple[str, ...], chapters: tuple[str, ...]) -> None:
    """Execute the chapters that are stale and build the site."""
    try:
        from ..publishing.book import ChapterError
        from ..publishing.chapters import find_root, parse_parameters
        from ..publishing.site import SiteError, make_book
    except ModuleNotFoundError as error:
        raise missing("the book", error, "book") from error
    try:
        page = make_book(find_root(), chapters or None, parse_parameters(pairs), run)
    except (ChapterError, SiteError) as error:
        raise Failure(str(error), 1) from error
    click.echo(f"open {page}")
