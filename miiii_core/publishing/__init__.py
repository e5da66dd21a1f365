"""The book: chapters found, executed when stale, and built into a site."""
