"""Checks on what the build made."""
