"""The commands, by what they are for.

Other modules bring JAX or the book's tools with them, and `miiii --help` should not wait for
those: each command imports what it needs.
"""
