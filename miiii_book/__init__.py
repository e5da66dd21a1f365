"""The book's own code: figures, claims, pages, and the build; only chapters import it."""
