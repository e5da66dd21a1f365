"""Runs that travel with the repository: a shelf of packed runs, listed with their checksums."""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

from ..config import Config, Precision, differences
from ..presets import nearest_preset
from .files import LEFTOVER, FileDamaged, check_writable, load_json, save_json, write_atomic
from .folders import book_folder, held
from .metrics import Metrics
from .parcels import least_size, parcel
from .saved import Run, RunError, load, save_info

RUN_BYTES = 8_000_000
SHELF_BYTES = 90_000_000
MANIFEST = "manifest.json"


def shipped_root() -> Path | None:
    """The folder of shipped runs: ``$MIIII_SHIPPED``, or ``book/runs`` where the book is.

    None outside the book, as after a bare ``pip install``.
    """
    if "MIIII_SHIPPED" in os.environ:
        return Path(os.environ["MIIII_SHIPPED"])
    home = book_folder()
    return home / "book" / "runs" if home else None


def find_shipped(config: Config, *, rounded: bool = False) -> Run | None:
    """The shipped run of a configuration, every byte checked; None if there is none.

    Args:
        config: What is looked for.
        rounded: Whether one will do that was trained in another precision and is else the same.

    Raises:
        RunError: if it is listed and not whole; names what is wrong.
    """
    root = shipped_root()
    listed = read_manifest(root) if root else {}
    precisions = [config.model.precision, *(get_args(Precision) if rounded else ())]
    for wanted in (config.replace(precision=precision).digest for precision in precisions):
        for name, entry in listed.items():
            if root and entry["digest"] == wanted:
                return _whole(root, name, entry)
    return None


def relatives(config: Config, *fields: str) -> list[Run]:
    """Shipped runs that differ from a configuration in these fields and no more, by p and seed.

    Args:
        config: Of the run that they are to be compared with; itself it is not among them.
        fields: Such as ``seed``.

    Raises:
        RunError: if one is not whole; names what is wrong.
    """
    root, alike = shipped_root(), list[Run]()
    for name, entry in (read_manifest(root) if root else {}).items():
        assert root is not None
        differing = {field for field, _, _ in differences(load(root / name).config, config)}
        if differing and differing <= set(fields):
            alike.append(_whole(root, name, entry))
    return sorted(alike, key=lambda run: (run.config.task.p, run.config.train.seed))


def pack(
    run: Run,
    folder: Path,
    room: int | None = None,
    measure: Callable[[Run], Metrics] | None = None,
) -> Run:
    """Pack a finished run into a folder of the shelf, and list it in the manifest.

    The folder appears whole or not at all. An older packing of the same
    configuration is replaced. One process at a time writes to a shelf.

    Args:
        run: To be packed.
        folder: Where on the shelf.
        room: Bytes that it may take; with less room fewer snapshots travel. The most that any
            run may take if not given.
        measure: What to ask of snapshots, as they may have to stay behind: its answer travels
            beside what was recorded. Can take minutes, and comes after all that may be refused.

    Raises:
        RunError: if the run is unfinished or damaged, the folder is another's, or
            a run or the shelf would be too large; nothing has changed then.
        OSError: if the folder cannot be written.
    """
    _refuse_taken(folder, run.config)
    read_manifest(folder.parent)
    room = RUN_BYTES if room is None else min(room, RUN_BYTES)
    _refuse_full(folder, least_size(run, room))
    check_writable(folder.parent, 2 * RUN_BYTES)
    files, info = parcel(run, room, None if measure is None else measure(run))
    with held(folder.parent, wait=True):
        _refuse_taken(folder, run.config)  # again, as another process may have been quicker
        _place(folder, files, info, room)
    return load(folder)


def place_for(run: Run, root: Path, name: str | None = None) -> Path:
    """The folder of a run on the shelf, called like its preset or else like its own folder.

    Args:
        run: To be packed.
        root: The shelf.
        name: Another name for the folder.

    Raises:
        ValueError: for a name that is hidden or is no plain name.
    """
    preset, differs = nearest_preset(run.config)
    name = name or (run.folder.resolve().name if differs else preset)
    if name != Path(name).name or name.startswith(".") or name == MANIFEST:
        raise ValueError(f"name={name!r} will not do; it takes a plain name such as {preset}")
    return root / name


def read_manifest(root: Path) -> dict[str, dict[str, Any]]:
    """What the manifest lists: by run, its ``digest`` and of each file bytes and SHA-256.

    Raises:
        RunError: if it is there and is no manifest.
    """
    path = root / MANIFEST
    if not path.is_file():
        return {}
    try:
        listed = load_json(path)["runs"]
        for entry in listed.values():
            _ = entry["digest"], [(file["bytes"], file["sha256"]) for file in _files(entry)]
        return listed
    except (FileDamaged, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{path} is damaged: {error}; restore it with git") from error


def verify_manifest(root: Path) -> list[str]:
    """What on the shelf is missing, altered, not listed, or too large; nothing if all is well."""
    try:
        listed = read_manifest(root)
    except RunError as error:
        return [str(error)]
    problems = [p for name, entry in listed.items() for p in _differences(root, name, entry)]
    known = {MANIFEST, *(f"{name}/{file}" for name, e in listed.items() for file in e["files"])}
    problems += [f"{root / path} is not listed" for path in _contents(root) if path not in known]
    for name in _shelf(root):
        if _size(root / name) > RUN_BYTES:
            problems.append(_too_large(_size(root / name), RUN_BYTES, f"{root / name} is"))
    if (total := sum(_size(root / name) for name in _shelf(root))) > SHELF_BYTES:
        problems.append(_too_large(total, SHELF_BYTES, f"{root} is"))
    return problems


def _place(folder: Path, files: Mapping[str, bytes], info: dict[str, Any], room: int) -> None:
    """Write a packed run and list it, on a shelf that no other process writes to."""
    root, listed = folder.parent, read_manifest(folder.parent)
    with _whole_or_not_there(folder) as part:
        for path, content in files.items():
            (part / path).parent.mkdir(exist_ok=True)
            write_atomic(part / path, content)
        save_info(part, info)
        _refuse_too_large(_size(part), room, f"{folder.name} is")
        _refuse_full(folder, _size(part))
    kept = {other: entry for other, entry in listed.items() if (root / other).is_dir()}
    _write_manifest(root, kept | {folder.name: _entry(folder)})


def _files(entry: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list(entry["files"].values())


def _write_manifest(root: Path, listed: Mapping[str, Any]) -> None:
    save_json(root / MANIFEST, {"runs": {name: listed[name] for name in sorted(listed)}})


def _entry(folder: Path) -> dict[str, Any]:
    files = {path: _fingerprint(folder / path) for path in _contents(folder)}
    return {"digest": load(folder).config.digest, "files": files}


def _fingerprint(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _whole(root: Path, name: str, entry: Mapping[str, Any]) -> Run:
    if problems := _differences(root, name, entry):
        raise RunError(f"{problems[0]}; restore it with: git checkout -- {root / name}")
    return load(root / name)


def _differences(root: Path, name: str, entry: Mapping[str, Any]) -> list[str]:
    """Files of a listed run that are missing or altered, and a digest that is another's."""
    folder, problems = root / name, []
    for path, listed in entry["files"].items():
        if not (folder / path).is_file():
            problems.append(f"{folder / path} is missing")
        elif _fingerprint(folder / path) != listed:
            problems.append(f"{folder / path} was altered: its checksum is not the listed one")
    if not problems and (digest := load(folder).config.digest) != entry["digest"]:
        problems.append(f"{folder} has digest {digest}, and the manifest lists {entry['digest']}")
    return problems


def _contents(folder: Path) -> list[str]:
    """Files below a folder, but hidden ones, such as those that a killed process left."""
    paths = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    shown = [path for path in paths if not any(part.startswith(".") for part in path.parts)]
    return sorted(path.as_posix() for path in shown)


def _shelf(root: Path) -> list[str]:
    """Names of the folders on the shelf."""
    return sorted({path.split("/")[0] for path in _contents(root) if "/" in path})


def _size(folder: Path) -> int:
    return sum((folder / path).stat().st_size for path in _contents(folder))


def _too_large(size: int, limit: int, what: str) -> str:
    return (
        f"{what} {size / 1e6:.3f} MB, {(size - limit) / 1e6:.3f} MB more than the "
        f"{limit / 1e6:g} MB that may be shipped"
    )


def _refuse_too_large(size: int, limit: int, what: str) -> None:
    if size > limit:
        raise RunError(_too_large(size, limit, what))


def _refuse_full(folder: Path, size: int) -> None:
    """Refuse a run for which the shelf has no room beside the others."""
    root, name = folder.parent, folder.name
    others = sum(_size(root / other) for other in _shelf(root) if other != name)
    _refuse_too_large(others + size, SHELF_BYTES, f"{root} with {name} would be")


def _refuse_taken(folder: Path, config: Config) -> None:
    if not folder.exists():
        return
    if not (folder / "run.json").is_file():
        raise RunError(f"{folder} is there and holds no run; choose another name")
    if (digest := load(folder).config.digest) != config.digest:
        raise RunError(
            f"{folder} holds another run (digest {digest}, not {config.digest}) "
            "and is never overwritten; choose another name"
        )


@contextmanager
def _whole_or_not_there(folder: Path) -> Iterator[Path]:
    """A folder to fill beside another, whose place it takes if nothing fails."""
    part, old = (folder.parent / f".{folder.name}.{kind}{LEFTOVER}" for kind in ("new", "old"))
    shutil.rmtree(part, ignore_errors=True)
    _put_back(old, folder)
    try:
        part.mkdir()
        yield part
        if folder.exists():
            folder.rename(old)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
        _put_back(old, folder)


def _put_back(old: Path, folder: Path) -> None:
    """What was moved aside goes back, or goes for good if its place is taken."""
    if old.exists():
        shutil.rmtree(old) if folder.exists() else old.rename(folder)
