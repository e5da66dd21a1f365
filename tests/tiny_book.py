"""A book of two chapters and a page without code, for tests of the build."""

import json
import shutil
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).parents[1]
FRONT = """---
jupytext: {text_representation: {extension: .md, format_name: myst}}
kernelspec: {display_name: Python 3, language: python, name: python3}
---
"""
WAVES = (
    FRONT
    + """
# Waves

```{code-cell} ipython3
:tags: [parameters]
p = 7
run = "first"
scale = 1.0
```

The figure {numref}`fig-wave` has a wave for $p$ digits.

```{code-cell} ipython3
:mystnb: {figure: {name: fig-wave, caption: A wave.}, image: {alt: "a sine of period {period:03d}"}}
import matplotlib.pyplot as plt
import numpy as np

figure, axes = plt.subplots()
axes.plot(scale * np.sin(2 * np.pi * np.arange(p) / p));
```

```{code-cell} ipython3
from myst_nb import glue
glue("period", p, display=False)
print("p is", p)
```
"""
)
PLAIN = (
    FRONT
    + """
# Plain

```{code-cell} ipython3
:tags: [parameters]
p = 7
```

```{code-cell} ipython3
import sys
print(p**2, sys.executable)
```
"""
)


def write_book(root, extensions=("buttons", "mended"), **pages):
    """Write pages, with the configuration of the book but for the extensions left out."""
    (root / "book").mkdir()
    for name, text in pages.items():
        (root / "book" / f"{name}.md").write_text(text)
    config = yaml.safe_load((REPOSITORY / "_config.yml").read_text())
    config["sphinx"]["local_extensions"] = dict.fromkeys(extensions, "book/_ext")
    (root / "_config.yml").write_text(yaml.safe_dump(config))
    shutil.copy(REPOSITORY / "book" / "references.bib", root / "book")
    for folder in ("_static", "_ext"):
        shutil.copytree(REPOSITORY / "book" / folder, root / "book" / folder)
    entries = [{"file": f"book/{name}"} for name in pages if name != "index"]
    table = {"format": "jb-book", "root": "book/index", "chapters": entries}
    (root / "_toc.yml").write_text(json.dumps(table))
