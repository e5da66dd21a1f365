"""Runs: train one into a folder, or several at once, resume it, or get it from the cache.

What a run is once it is read, and what lies in its folder, is told in `stored`. Neither imports
JAX before something is computed, so that runs are found and listed at once.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from tqdm import tqdm

from . import OnFirstUse, files
from .config import Config, Precision
from .files import RunError, held
from .presets import PRESETS, nearest_preset, train_command
from .stored import Recorder, Run, first_info, load, load_state, provenance, verify

if TYPE_CHECKING:
    import jax

    from . import batch, optim, probes
    from . import model as network
    from . import train as training
else:
    jax, network, training = map(OnFirstUse, ("jax", ".model", ".train"))
    batch, optim, probes = map(OnFirstUse, (".batch", ".optim", ".probes"))

SAVE_SECONDS = 20.0  # least time between two saves of the state
LARGE_P = 100  # from this p on a training can take hours, and is never started unasked
STOPPING = [getattr(signal, n) for n in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, n)]


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, or another signal to stop, in training; says what was saved and how to go on."""

    number: int = signal.SIGINT  #: Number of the signal


def train(
    config: Config, folder: Path | str, *, device: batch.DeviceName = "auto", progress: bool = True
) -> Run:
    """Train a run into a new or empty folder; a bar shows accuracies, speed and time left.

    Raises:
        RunError: if the folder holds a run or anything else; nothing is touched.
        ValueError: if device or update rule is not there, or the experiment does not fit.
        OSError: if the folder cannot be written, is held by another process, or lacks room.
        TrainingDiverged: if the loss stops being finite; the last good state is kept.
        Interrupted: on Ctrl-C; everything is saved, and `resume` goes on.
    """
    return train_many({Path(folder): config}, device=device, progress=progress)[0]


def train_many(
    configs: Mapping[Path, Config], *, device: batch.DeviceName = "auto", progress: bool = True
) -> list[Run]:
    """Train new runs at once as one program, spread over all devices of a kind.

    Configurations, by folder, may differ in fields of `config.BATCHABLE`. Each becomes the run
    that `train` would make of it, to rounding, and can be resumed alone. Of several, one that
    diverges has that status and its last good state, and raises nothing; all other errors are
    those of `train`.
    """
    targets = jax.devices(batch.find_device(device).platform)
    batch.batch_fields(list(configs.values()))
    with ExitStack() as locks:
        for folder in configs:
            locks.enter_context(held(folder))
        return _start(configs, targets, progress)


def resume(folder: Path | str, *, device: batch.DeviceName = "auto", progress: bool = True) -> Run:
    """Go on with a run that was interrupted or killed; the result is the uninterrupted one's.

    Raises what `train` raises, and `RunError` if there is no run or none that can go on.
    """
    load(folder)  # before a lock is put beside a folder that holds no run
    with held(Path(folder)):
        return _go_on(load(folder), batch.find_device(device), progress)


def cached(which: str | int | Path | Config, *, progress: bool = True, **overrides: Any) -> Run:
    """Return a finished run: loaded if it is there, else trained once and kept.

    A shipped run is taken in whatever precision it was trained, unless one is asked for, or the
    configuration has another than float32. Others are kept in `runs_root` by digest: resumed if
    interrupted, and trained again if damaged or of other code; the old one is moved to
    ``replaced`` first. At a p of 100 or more nothing is trained unasked, and nothing is moved.

    Args:
        which: A configuration, a preset's name, or else the folder of a run.
        progress: Whether to show a bar if the run has to be trained.
        overrides: Fields to change, as in `Config.replace`; None leaves a field alone.

    Raises:
        ValueError: for what is neither a preset nor a folder, or for an unknown field.
        RunError: for no finished run in a folder, a large run not there, or a shipped one damaged.
    """
    changes = {name: value for name, value in overrides.items() if value is not None}
    if not isinstance(which, Path | Config):
        name = str(which)  # papermill reads 7 as an int
        if name not in PRESETS and not Path(name).is_dir():
            known = ", ".join(sorted(PRESETS))
            raise ValueError(f"{name!r} is no folder of a run, and no preset; these are {known}")
        which = PRESETS.get(name) or Path(name)
    if isinstance(which, Path):
        return _finished(load(which), changes)
    config = which.replace(**changes)
    asked = "precision" in changes or config.model.precision != Config().model.precision
    if shipped := _find_shipped(config, rounded=not asked):
        return shipped
    folder = cache_folder(config)
    if config.task.p >= LARGE_P:
        if why := _unusable(folder):
            how = "move it aside and type" if folder.exists() else "type"
            raise RunError(f"{why}. To train it, for hours without a GPU, {how}: "
                           f"{train_command(config)}")  # fmt: skip
        return _finished(load(folder), {})
    with held(folder, wait=True):
        if folder.exists() and (why := _unusable(folder)):
            beside = folder.parent / "replaced" / f"{folder.name}-{time.time_ns()}"
            beside.parent.mkdir(exist_ok=True)
            print(f"{why}; moved to {folder.rename(beside)}, and trained anew", file=sys.stderr)
        if not folder.exists():
            return _start({folder: config}, [batch.find_device("auto")], progress)[0]
        run = load(folder)
        return run if run.finished else _go_on(run, batch.find_device("auto"), progress)


def cache_folder(config: Config) -> Path:
    """Return where `cached` keeps a run, whatever its nearest preset was when it was trained."""
    usual = runs_root() / f"{nearest_preset(config)[0]}-{config.digest}"
    others = runs_root().glob(f"[!.]*-{config.digest}")
    return usual if usual.exists() else min(others, default=usual)


def runs_root() -> Path:
    """Return the folder of cached runs: ``$MIIII_RUNS``, or ``_runs`` beside the book or here."""
    return Path(os.environ.get("MIIII_RUNS") or (book_folder() or Path.cwd()) / "_runs")


def shipped_root() -> Path | None:
    """Return the folder of shipped runs, ``$MIIII_SHIPPED`` or the book's; None without a book."""
    home, named = book_folder(), os.environ.get("MIIII_SHIPPED")
    return Path(named) if named else home and home / "book" / "runs"


def shipped_runs() -> list[Run]:
    """Return all shipped runs, by name; raise `RunError` if one's ``run.json`` is damaged."""
    root = shipped_root()
    return [load(path.parent) for path in sorted(root.glob("[!.]*/run.json"))] if root else []


def _start(configs: Mapping[Path, Config], devices: list[jax.Device], progress: bool) -> list[Run]:
    """Train new runs, a single one by the program that `resume` goes on with."""
    every = list(configs.values())
    for folder in configs:
        if folder.is_file() or any(folder.glob("[!.]*")):
            advice = "choose a new folder"
            with suppress(RunError):
                if not load(folder).finished:
                    advice += f", or go on with the run in it: {_resume_command(folder)}"
            raise RunError(f"{folder} is not empty, and nothing there is overwritten; {advice}")
        optim.optimiser(configs[folder].optim, 1)  # an update rule that is not there is told before
    _make_room(configs, devices)
    recorders = [Recorder(*own, first_info(own[1], devices[0])) for own in configs.items()]
    with jax.default_device(devices[0]), network.numerics(every[0].model):
        news = _alone(every[0]) if len(every) == 1 else batch.fit_many(every, devices=devices)
        _record(recorders, news, progress)
    return [load(folder) for folder in configs]


def _go_on(run: Run, device: jax.Device, progress: bool) -> Run:
    """Train a run from its last saved state to its end."""
    config = run.config
    if run.finished:
        raise RunError(f"{run.folder} is finished at epoch {run.epoch}: there is nothing to resume")
    verify(run)
    if why := _other_code(run):
        print(f"{why}: its end may not be that of an uninterrupted run", file=sys.stderr)
    _make_room({run.folder: config}, [device])
    with jax.default_device(device), network.numerics(config.model):
        state = load_state(run)
        epoch = int(state.epoch)
        before = run.metrics.until(epoch) if epoch else None
        if before and (other := set(before) ^ set(probes.metric_axes(config))):
            text = f"{run.folder} was begun by code that does not record the same"
            raise RunError(f"{text}: {', '.join(sorted(other))}; train it anew elsewhere")
        sessions = {"sessions": [*run.info["sessions"], provenance(device, epoch)]}
        recorder = Recorder(run.folder, config, run.info | sessions, before)
        _record([recorder], _alone(config, state), progress)
    return load(run.folder)


def _make_room(configs: Mapping[Path, Config], devices: Sequence[jax.Device]) -> None:
    """Refuse what does not fit into memory, or a folder that takes no files."""
    config, at_once = next(iter(configs.values())), -(-len(configs) // len(devices))
    need, there = batch.estimate_memory(config, at_once), batch.available_memory(devices[0])
    if need > there:
        raise ValueError(
            f"{at_once} at p={config.task.p} and d_model={config.model.d_model} needs about "
            f"{need / 1e9:.1f} GB and {devices[0].platform} has {there / 1e9:.1f} GB; choose a "
            "smaller p, d_model, mlp_ratio or train_fraction, or fewer runs at once"
        )
    for folder in configs:
        files.make_folder(folder)


def _alone(config: Config, state: training.TrainState | None = None) -> Iterator[batch.News]:
    """Train one run, from its first state if none is given, as a batch of one."""
    task = training.task_of(config)
    try:
        for now in training.fit(config, task, state or training.initial_state(config, task)):
            yield {0: now}
    except training.TrainingDiverged as error:
        yield {0: error}


def _record(recorders: Sequence[Recorder], news: Iterable[batch.News], progress: bool) -> None:
    """Train runs to their ends, saving on the way; raises what `train` raises."""
    first, many = recorders[0], len(recorders) > 1
    where = first.folder.parent if many else first.folder
    others = " and so with the others" if many else ""
    began = saved = time.perf_counter()
    bar = tqdm(desc=where.name, total=first.config.train.epochs, unit="epoch",
               disable=not progress, file=_Screen(), dynamic_ncols=True)  # fmt: skip
    with bar, _stopping_cleanly(where, _resume_command(first.folder) + others) as stopped:
        for each in news:
            kept = [(recorders[i], recorders[i].take(now)) for i, now in each.items()]
            going = [(recorder, now) for recorder, now in kept if now is not None]
            stop = bool(stopped)  # a signal that comes during a save is for the next round
            # Early on more often: a run that is killed again and again still gets ahead.
            late = time.perf_counter() - saved > min(SAVE_SECONDS, 1 + saved - began)
            for recorder, now in going:
                bar.update(now.epoch - bar.n)
                if now.metrics is not None:
                    _, validation, _ = now.metrics["accuracy"]
                    means = f"{validation.mean():.3f} on average, {validation.min():.2f} at worst"
                    bar.set_postfix_str(f"validation accuracy {means}", refresh=False)
                if stop or late or now.last:
                    unfinished = "interrupted" if stop else "running"
                    recorder.save(now, "finished" if now.last else unfinished)
            saved = time.perf_counter() if late else saved
            if stop and (unended := [each for each in going if not each[1].last]):
                recorder, now = unended[0]
                go_on = _resume_command(recorder.folder) + others
                error = Interrupted(f"stopped at epoch {now.epoch}; go on with: {go_on}")
                error.number = stopped[0]
                raise error
    if first.diverged and not many:
        kept_there = f"the state of epoch {first.info['epoch']} is kept in {where}"
        advice = "Try a smaller learning_rate or a larger eps"
        raise training.TrainingDiverged(f"{first.diverged}; {kept_there}. {advice}")


class _Screen:
    """Standard error, for a bar whose terminal may close: that costs the bar and not the run."""

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr, name)

    def write(self, text: str) -> None:
        with suppress(OSError, ValueError):
            sys.stderr.write(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            sys.stderr.flush()


def _resume_command(folder: Path) -> str:
    return f"miiii resume {shlex.quote(str(folder))}"


@contextmanager
def _stopping_cleanly(where: Path, go_on: str) -> Iterator[list[int]]:
    """Note the first signal to stop, to be looked at between chunks; the second one kills.

    An exception raised inside a step would lose the state whose memory it reuses.
    """
    came: list[int] = []

    def note(number: int, frame: Any) -> None:
        came.append(number)
        usual.close()

    try:
        with ExitStack() as usual:
            # One that is ignored stays so, as with `nohup`; threads but the main one get none.
            if threading.current_thread() is threading.main_thread():
                for number in STOPPING:
                    if signal.getsignal(number) not in (None, signal.SIG_IGN):
                        usual.callback(signal.signal, number, signal.signal(number, note))
            yield came
    except Interrupted:
        raise
    except KeyboardInterrupt as error:
        raise Interrupted(f"stopped at once; go on from the last save with: {go_on}") from error
    except OSError as error:
        why = f"{where} could not be written: {error.strerror}; what was saved before is whole"
        raise OSError(f"{why}. Make room, then go on with: {go_on}") from error


def book_folder() -> Path | None:
    """Return the nearest folder with a `_toc.yml`, from the working folder upwards, if any."""
    homes = (Path.cwd(), *Path.cwd().parents)
    return next((home for home in homes if (home / "_toc.yml").is_file()), None)


def _find_shipped(config: Config, *, rounded: bool) -> Run | None:
    """The shipped run of a configuration, checked; in another precision too if that will do."""
    shelf = {run.config.digest: run for run in shipped_runs() if run.finished}
    for precision in (config.model.precision, *(get_args(Precision) if rounded else ())):
        if run := shelf.get(config.replace(precision=precision).digest):
            verify(run)
            return run
    return None


def _finished(run: Run, changes: Mapping[str, Any]) -> Run:
    if changes and run.config.replace(**changes) != run.config:
        raise RunError(f"{run.folder} is a run of its own and cannot be changed by {changes}")
    if not run.finished:
        go_on = _resume_command(run.folder)
        raise RunError(f"{run.folder} stopped at epoch {run.epoch}; go on with: {go_on}")
    return run


def _unusable(folder: Path) -> str:
    """Why a cached run will not do; nothing if it is whole and of this training version."""
    if not folder.exists():
        return f"the run {folder.name} is not here, neither trained nor shipped in book/runs"
    try:
        verify(run := load(folder))
    except RunError as error:
        return str(error)
    return _other_code(run)


def _other_code(run: Run) -> str:
    """By what other code a run was begun; nothing if by this, or a rule that is not here."""
    found, ours = run.info["training_version"], training.TRAINING_VERSION
    if found != ours:
        return f"{run.folder} is of training version {found}, and this code of {ours}"
    rule = optim.rule_digest(run.config.optim)
    text = f"{run.folder} was begun by another text of {run.config.optim.update}"
    return text if rule and run.info.get("rule", rule) != rule else ""
