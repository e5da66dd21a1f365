"""Runs on disk: written whole, checked when read, packed small enough to ship."""
