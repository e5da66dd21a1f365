"""Keep of the theme's icon fonts what pages show: two small fonts and their style.

The theme's two fonts are a quarter of a megabyte, for some thirty icons. Ours are declared after
the theme's, for these icons alone: for any other a browser still reads the theme's.

python -m tools.icons
"""

from importlib.util import find_spec
from pathlib import Path

from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTFont

FOLDER = Path(__file__).parent.parent / "book" / "_static" / "icons"
THEME = "theme/pydata_sphinx_theme/static/vendor/fontawesome/webfonts"
# The icons by the names of their glyphs: of buttons, admonitions and folded parts.
SOLID = """angle-down angle-left angle-right arrow-up arrow-up-right-from-square bars bell
circle-check circle-exclamation circle-half-stroke circle-info circle-xmark code download expand
file file-pdf lightbulb list magnifying-glass magnifying-glass-minus moon pencil rocket share sun
triangle-exclamation"""
# In the font's own record: family, full name, licence and its address.
NAMES = {
    1: "miiii icons",
    4: "miiii icons",
    13: "From Font Awesome Free 6, SIL Open Font License 1.1",
    14: "https://openfontlicense.org",
}
FACE = """@font-face {{
  font-family: "{family}";
  font-weight: {weight};
  font-display: block;
  src: url({file}) format("woff");
  unicode-range: {ranges};
}}
"""


def main() -> None:
    """Write the fonts and their style."""
    origin = getattr(find_spec("pydata_sphinx_theme"), "origin", None)
    fonts = Path(origin or "pydata_sphinx_theme is not installed").parent / THEME
    faces = [
        _keep(fonts / "fa-solid-900.ttf", SOLID, "solid.woff", "Font Awesome 6 Free", 900),
        _keep(fonts / "fa-brands-400.ttf", "github", "brands.woff", "Font Awesome 6 Brands", 400),
    ]
    (FOLDER / "icons.css").write_text("/* Made by tools/icons.py. */\n" + "".join(faces))


def _keep(source: Path, names: str, file: str, family: str, weight: int) -> str:
    """Write a font of some glyphs, under a name of its own as its licence asks; return its face."""
    font = TTFont(source, recalcTimestamp=False)
    # Unicode leaves these codes for signs of one's own.
    found = {name: code for code, name in font.getBestCmap().items() if 0xE000 <= code < 0xF900}
    codes = sorted(found[name] for name in names.split())
    subsetter = Subsetter(Options(flavor="woff", hinting=False, name_IDs=[0]))
    subsetter.populate(unicodes=codes)
    subsetter.subset(font)
    for number, text in NAMES.items():
        font["name"].setName(text, number, 3, 1, 0x409)
    font.flavor = "woff"
    font.save(FOLDER / file)
    ranges = ", ".join(f"U+{code:X}" for code in codes)
    return FACE.format(family=family, weight=weight, file=file, ranges=ranges)


if __name__ == "__main__":
    main()
