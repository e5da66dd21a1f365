import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest

import miiii_core

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "miiii_core"
# The order of the story. A module imports only what comes before it.
ORDER = (
    "config", "presets", "tasks", "milestones",
    "network.products", "network.model", "network.losses", "network.subsymbolic",
    "analysis.noise", "analysis.spectral", "analysis.atoms", "analysis.blocks",
    "analysis.pairs", "analysis.projections", "analysis.anova", "analysis.dictionaries",
    "analysis.subspaces", "analysis.progress", "analysis.symmetry", "analysis.divisibility",
    "analysis.transients",
    "training.swept", "training.optim", "training.probes", "training.replay",
    "training.schedule", "training.train", "training.clamp", "training.devices", "training.sweep",
    "storage.provenance", "storage.files", "storage.packing", "storage.metrics",
    "storage.saved", "storage.folders", "storage.parcels", "storage.shipped",
    "storage.recorder", "storage.results", "runs", "sweep_runs", "spaces", "search",
    "circuits.ablation", "circuits.graded", "circuits.exam", "circuits.rules", "circuits.history",
    "circuits.formula", "circuits.places", "circuits.breaking", "circuits.erasure",
    "circuits.families", "circuits.paths", "circuits.discovery", "circuits.primality",
    "circuits.dissection", "circuits.gradients", "circuits.laboratory", "circuits.branching",
    "circuits.outcomes", "circuits.delays",
    "addition.published", "addition.trigonometry", "addition.formation", "addition.survey",
    "circuits.products",
    "figures", "controls", "claims", "report",
    "publishing.alt_text", "publishing.chapters", "publishing.book", "publishing.repository",
    "publishing.site",
    "options", "commands", "cli",
)  # fmt: skip
# Packages of which each module has its place.
PACKAGES = {name.split(".")[0] for name in ORDER if "." in name}
SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def dotted(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path):
    """Dotted names below the package that a file imports, wherever in it, its own parts too."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    modules = {dotted(other) for other in SOURCES}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(parts[: -node.level]) if node.level else ""
            origin = ".".join(filter(None, [base, node.module]))
            inside = [f"{origin}.{alias.name}" for alias in node.names]
            # A package names its parts: importing one of them is not importing all.
            names = [n if n.removeprefix("miiii_core.") in modules else origin for n in inside]
        else:
            continue
        for name in names:
            inner = name.removeprefix("miiii_core.")
            if inner != name and inner in modules:
                yield inner


def room(module):
    """Its place in ORDER: its own, or that of the package it is a part of."""
    return next((r for r in (module, module.split(".")[0]) if r in ORDER), module)


def name_of(path):
    return str(path.relative_to(PACKAGE))


def test_every_module_has_its_place_in_the_story():
    rooms = {room(dotted(path)) for path in SOURCES} - PACKAGES
    assert rooms == set(ORDER), "say in ORDER where a new module stands"


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_a_module_imports_only_what_comes_before_it(path):
    own = room(dotted(path))
    if own in PACKAGES:
        assert not set(imports_of(path)), "a package that has no place itself imports nothing"
        return
    later = {m for m in imports_of(path) if ORDER.index(room(m)) > ORDER.index(own)}
    assert not later


def test_the_parts_of_a_package_import_each_other_in_no_circle():
    graph = {dotted(p): set(imports_of(p)) - {dotted(p)} for p in SOURCES}
    while leaves := [m for m, needs in graph.items() if not needs & set(graph)]:
        for module in leaves:
            del graph[module]
    assert not graph


def test_the_order_is_found_in_the_imports():
    """Guards the checks above: had `imports_of` gone blind, they would pass too."""
    train = set(imports_of(PACKAGE / "training" / "train.py"))
    assert {"config", "network.losses", "training.optim", "training.probes", "tasks"} <= train
    assert "figures.style" in set(imports_of(PACKAGE / "figures" / "grids.py"))


@pytest.mark.parametrize("path", [PACKAGE / "__init__.py", *SOURCES], ids=name_of)
def test_every_public_name_has_a_docstring(path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree)
    kinds = ast.FunctionDef | ast.ClassDef
    public = [node for node in tree.body if isinstance(node, kinds) and node.name[0] != "_"]
    methods = [
        inner
        for node in public
        if isinstance(node, ast.ClassDef)
        for inner in node.body
        if isinstance(inner, ast.FunctionDef) and inner.name[0] != "_"
    ]
    silent = [node.name for node in [*public, *methods] if not ast.get_docstring(node)]
    assert not silent


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_a_module_is_read_in_one_sitting(path):
    assert len(path.read_text().splitlines()) <= 300


def in_a_fresh_python(code, folder, *options):
    """What a script leaves: the JSON it prints. Anything else that it prints is an error."""
    done = subprocess.run(
        [sys.executable, *options, "-c", code],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return json.loads(done.stdout)


LOOK = """
import json, os, sys
before = dict(os.environ)
{imports}
jax = sys.modules.get("jax")
print(json.dumps({{
    "environment": dict(os.environ) == before,
    "modules": sorted(sys.modules),
    "devices": jax is not None and jax._src.xla_bridge.backends_are_initialized(),
}}))
"""


def test_importing_the_package_loads_nothing_else(tmp_path):
    found = in_a_fresh_python(LOOK.format(imports="import miiii_core"), tmp_path, "-W", "error")
    assert found["environment"]
    assert not {"jax", "numpy", "matplotlib"} & set(found["modules"])


def test_importing_every_module_only_defines_names(tmp_path):
    imports = "\n".join(f"import miiii_core.{name}" for name in ORDER)
    found = in_a_fresh_python(LOOK.format(imports=imports), tmp_path)
    assert found["environment"], "an environment variable was set on import"
    assert not found["devices"], "something was computed on import"
    assert not list(tmp_path.iterdir()), "a file was written on import"


def test_training_needs_no_plotting(tmp_path):
    found = in_a_fresh_python(LOOK.format(imports="import miiii_core.runs"), tmp_path)
    assert "matplotlib.pyplot" not in found["modules"]


def test_the_version_is_the_projects():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == miiii_core.__version__


def test_the_commands_that_the_readme_gives_exist():
    readme, makefile = (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()
    named = set(re.findall(r"\bmake ([a-z]+)\b(?=[`\s]*(?:#|,|\)|`|$|\.))", readme, re.M))
    assert {"book", "test"} <= named
    for target in named:
        assert re.search(rf"^{target}:", makefile, re.M), target


def test_sections_of_the_changelog_run_backwards():
    heads = re.findall(r"^## \[([^\]]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.M)
    numbers = [tuple(map(int, head.split("."))) for head in heads if head != "Unreleased"]
    assert all(newer > older for newer, older in pairwise(numbers))


def test_the_page_on_the_package_has_every_module_in_order():
    page = (ROOT / "book" / "api.md").read_text()
    shown = re.findall(r"automodule:: miiii_core\.([\w.]+)", page)
    assert tuple(shown) == tuple(m for m in ORDER if m not in ("options", "commands", "cli"))
