"""The microscope: a trained network as scripts that a page loads from a disk, and such pages.

Weights go out as whole numbers of one byte, each row with a scale of its own. Where that changes
more than `MOST_CHANGED` of the network's answers, as it does of one that is untrained, two bytes.
Of W_Q and W_K a page gets what the read-out token looks for: its query is always the same.
"""

import base64
import html
import json
import re
import shutil
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import parse_qsl, urlencode

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from miiii_core.model import WEIGHT_NAMES, Transformer
from miiii_core.runs import Run
from miiii_core.tasks import Task
from miiii_core.train import initial_state

from .build import digest_of

FOLDER = Path(__file__).parent / "microscope"
VIEWS = ("ask", "waves", "break", "neurons", "wind")
SCRIPTS = ("weights", "measure", "views", "state", *VIEWS)  # in the order of their loading
STORED = tuple(name for name in WEIGHT_NAMES if name not in ("W_Q", "W_K"))
MOST_SNAPSHOTS = 12
MOST_CHANGED = 0.001  # share of answers, over all inputs and tasks, that rounding may change
FALLBACK = "Here a trained network answers in your browser; that takes JavaScript."


def chosen_epochs(run: Run, most: int = MOST_SNAPSHOTS) -> list[int]:
    """Return the epochs to show: 0, the last, and between them as many as there is room for."""
    kept = sorted({0, *run.snapshot_epochs, run.epoch})
    places = np.linspace(0, len(kept) - 1, min(most, len(kept)))
    return [kept[i] for i in places.round().astype(int)]


def weights_at(run: Run, epoch: int) -> Transformer:
    """Return the weights at one of `chosen_epochs`; at 0 they are those that the seed draws."""
    if epoch == run.epoch:
        return run.model
    return initial_state(run.config, run.task).model if epoch == 0 else run.snapshot(epoch)


def quantised(
    weight: Float[Array, "*rows columns"], width: int
) -> tuple[Float[np.ndarray, "*rows"], Int[np.ndarray, "*rows columns"]]:
    """Return a scale for each row, and whole numbers of so many bytes to be multiplied by it."""
    values, most = np.asarray(weight, np.float32), 2 ** (8 * width - 1) - 1
    scale = np.abs(values).max(axis=-1) / np.float32(most)
    whole = np.rint(values / np.where(scale > 0, scale, 1)[..., None])
    return scale, whole.clip(-most, most).astype(f"<i{width}")


def rounded(model: Transformer, width: int) -> Transformer:
    """Return the network with the weights that a page computes with."""
    pairs = [quantised(getattr(model, name), width) for name in STORED]
    weights = [jnp.asarray(scale[..., None] * whole, jnp.float32) for scale, whole in pairs]
    return eqx.tree_at(lambda m: [getattr(m, name) for name in STORED], model, weights)


def sought(model: Transformer) -> Float[np.ndarray, "heads d_model"]:
    """Return the direction of the stream that each head of the read-out token looks for."""
    weights = {name: np.asarray(weight, float) for name, weight in model.weights.items()}
    query = (weights["W_E"][-1] + weights["W_pos"][2]) @ weights["W_Q"]
    return (weights["W_K"] @ query[..., None])[..., 0] / model.config.d_head**0.5


def bytes_needed(model: Transformer, task: Task) -> int:
    """Return 1 if whole numbers of one byte leave the network's answers as they are, else 2."""
    digits = jnp.asarray(task.digits)
    whole, coarse = (np.asarray(m.activations(digits).logits) for m in (model, rounded(model, 1)))
    changed = [whole[:, own].argmax(1) != coarse[:, own].argmax(1) for own in task.columns]
    return 1 if np.mean(changed) <= MOST_CHANGED else 2


def weights_script(run: Run, epoch: int, width: int | None = None) -> str:
    """Return the script that hands the weights at an epoch to a page: `sought`, scales, rows."""
    model = weights_at(run, epoch)
    width = width or bytes_needed(model, run.task)
    scales, wholes = zip(*(quantised(getattr(model, n), width) for n in STORED), strict=True)
    raw = [each.astype("<f4").tobytes() for each in (sought(rounded(model, width)), *scales)]
    text = base64.b64encode(b"".join([*raw, *(whole.tobytes() for whole in wholes)]))
    return f'miiii.weights("{name_of(run)}",{epoch},{zlib.adler32(text)},"{text.decode()}");\n'


def meta_script(run: Run, epochs: Sequence[int]) -> str:
    """Return the script that tells a page what was trained, on what, and what it learned."""
    task, counted = run.task, run.task.loss_weights > 0
    packed = [_base64(np.packbits(members)) for members in task.split_members]
    mean = {split: run.metrics.split("accuracy", split)[:, counted].mean(axis=1).round(4).tolist()
            for split in ("train", "validation")}  # fmt: skip
    # Snapshots stand at equal distances, and epochs between them by their logarithm.
    stops = np.linspace(0, 100, len(epochs))
    places = np.interp(np.log1p(run.metrics["epoch"]), np.log1p(epochs), stops)
    known: dict[str, Any] = {
        "name": name_of(run), "kind": task.config.name, "p": task.p, "moduli": task.moduli,
        "classes": task.class_sizes, "epochs": epochs, "train": packed[0], "validation": packed[1],
        "shapes": {name: getattr(run.model, name).shape for name in STORED},
        "record": {"places": places.round(2).tolist(), **mean},
    }  # fmt: skip
    if task.config.name == "basis":  # whose right answers are no arithmetic
        known["targets"] = _base64(task.targets.astype("<u2"))
    return f"miiii.meta({json.dumps(known, separators=(',', ':'))});\n"


def scripts_of(run: Run, most: int = MOST_SNAPSHOTS, width: int | None = None) -> dict[str, str]:
    """Return a run's scripts by their names, the trained weights before earlier ones."""
    epochs, name = chosen_epochs(run, most), name_of(run)
    weights = {f"{name}-{e:08d}.js": weights_script(run, e, width) for e in reversed(epochs)}
    return {f"{name}.js": meta_script(run, epochs), **weights}


def name_of(run: Run) -> str:
    """Return what pages call a run: its folder's name, with what an address has no letters for."""
    return re.sub(r"[^A-Za-z0-9.-]", "_", run.folder.resolve().name)


def container(views: str, state: str, base: str = "", runs: str = "", link: str = "") -> str:
    """Return the HTML in whose place the views come; without JavaScript it says what is missing."""
    given = {"views": views, "state": state, "base": base, "runs": runs}
    data = " ".join(f'data-{key}="{html.escape(value)}"' for key, value in given.items())
    more = f' <a href="{html.escape(link)}">All views of the network.</a>' if link else ""
    return f'<div class="miiii-microscope" {data}><p class="miiii-off">{FALLBACK}{more}</p></div>'


def page(run: Run, most: int = MOST_SNAPSHOTS, width: int | None = None, also: str = "") -> str:
    """Return one self-contained page of a run, which works from a disk and asks nobody."""
    texts = [*(_own(f"{name}.js") for name in SCRIPTS), also]
    texts += scripts_of(run, most, width).values()
    return Template(_own("page.html")).substitute(
        title=f"{name_of(run)}, a network to touch",
        style=_own("microscope.css"),
        views=container("all", "", runs=name_of(run)),
        scripts="\n".join(f"<script>\n{text}</script>" for text in texts),
    )


def lay_out(folder: Path, runs: Sequence[Run], shelf: Path) -> None:
    """Write what pages load into a folder; what was made of a run before is kept on a shelf."""
    others = shutil.ignore_patterns("page.html", "lab.js")
    shutil.copytree(FOLDER, folder, ignore=others, dirs_exist_ok=True)
    for run in runs:
        made_of = [run.folder / "run.json", *(FOLDER.parents[1] / "miiii_core").glob("*.py")]
        kept = shelf / f"{name_of(run)}-{digest_of(None, [Path(__file__), *made_of])[:16]}"
        if not kept.is_dir():
            part = shelf / f"{kept.name}.part"
            part.mkdir(parents=True, exist_ok=True)
            for name, text in scripts_of(run).items():
                (part / name).write_text(text, "utf-8")
            part.rename(kept)
        shutil.copytree(kept, folder, dirs_exist_ok=True)


def show(run: Run, *others: Run, on_state: Callable[[dict[str, str]], Any] | None = None) -> Any:
    """Return the views of a run, or of others to choose from, as a widget for JupyterLab.

    A function that is given hears the state, as an address has it, whenever a reader changes it.
    """
    import ipywidgets as widgets

    shelf = {name_of(each): each for each in (run, *others)}
    chosen = widgets.Dropdown(options=list(shelf), description="run")
    epoch = widgets.SelectionSlider(options=[0], description="epoch")
    off = widgets.SelectMultiple(rows=5, description="taken out")
    said, heard, stage = widgets.HTML(), widgets.Text(), widgets.VBox()
    for one, name in ((said, "said"), (heard, "heard")):  # unseen: to and from this cell's page
        one.add_class(f"miiii-{chosen.model_id}-{name}").layout.display = "none"

    def lay(_: Any) -> None:
        own = shelf[chosen.value]
        epoch.options, epoch.value = (epochs := chosen_epochs(own, 6)), epochs[-1]
        groups = [f"prime-{q}" for q in own.task.moduli]
        if own.config.task.name == "nanda":
            groups = [f"frequency-{k}" for k in range(1, own.task.p // 2 + 1)]
        off.options = [*(f"head-{h + 1}" for h in range(own.config.model.n_heads)), *groups]
        text = html.escape(page(own, 6, 2, f'miiii.cell = "{chosen.model_id}";\n{_own("lab.js")}'))
        frame = f'<iframe srcdoc="{text}" style="width: 100%; height: 80vh; border: 0"></iframe>'
        stage.children = [widgets.HTML(frame)]

    def say(change: Any) -> None:  # of the control that changed: the page may know more of others
        own = {"epoch": epoch.value} if change["owner"] is epoch else {"off": ",".join(off.value)}
        said.value = urlencode(own, safe=",")

    def hear(change: Any) -> None:
        state, said.value = dict(parse_qsl(change["new"])), ""
        epoch.unobserve(say, "value")
        epoch.value = int(state.get("epoch", epoch.value))
        epoch.observe(say, "value")
        if on_state:
            on_state(state)

    lay(None)
    for control, act in ((chosen, lay), (epoch, say), (off, say), (heard, hear)):
        control.observe(act, "value")
    return widgets.VBox([widgets.HBox([chosen, epoch, off]), said, heard, stage])


def _own(name: str) -> str:
    return (FOLDER / name).read_text("utf-8")


def _base64(array: np.ndarray) -> str:
    return base64.b64encode(array.tobytes()).decode()
