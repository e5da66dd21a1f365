"""Hyperparameter search by Optuna: a study that stops, goes on, and is shared by machines.

Each trial trains one configuration and reports its validation loss at every record; after a
quarter of its epochs a trial that does worse than the median of its elders is pruned.
Everything a study knows lies in its storage, so that a search goes on where it stopped, and
several machines can work on one.
"""

import hashlib
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from tqdm import TqdmWarning, tqdm

with warnings.catch_warnings():
    # It asks tqdm for bars that it does not show here, and in a notebook tqdm wants widgets.
    warnings.simplefilter("ignore", TqdmWarning)
    import optuna
    from optuna.trial import FrozenTrial, Trial, TrialState

from .config import SWEEPABLE, Config
from .runs import runs_root
from .spaces import RECORDING, SMALL, TABLE_1, Space, check_space
from .storage.provenance import training_code_digest
from .training.sweep import fit_many
from .training.train import Progress, TrainingDiverged, numerics, task_of

PATIENCE = 0.25  # share of its epochs that every trial is given
DONE = (TrialState.COMPLETE, TrialState.PRUNED)


class SearchError(Exception):
    """A study that cannot be opened, or that asks another question than the one at hand."""


class Result(NamedTuple):
    """One trial: what was tried, how it went, and how far it was trained.

    Attributes:
        number: Of the trial in its study, from 0 on.
        parameters: Fields of the configuration and their values.
        loss: Weighted validation loss at its last record; an even guess has 1.
        accuracy: Mean validation accuracy there.
        epoch: Epochs trained; fewer than asked for if pruned.
        pruned: Whether it was given up, for being behind or for diverging.
    """

    number: int
    parameters: dict[str, Any]
    loss: float
    accuracy: float
    epoch: int
    pruned: bool


def search(
    base: Config,
    space: Space,
    n_trials: int,
    *,
    name: str | None = None,
    storage: str | None = None,
    batch: int = 1,
    seed: int = 0,
    progress: bool = True,
) -> optuna.Study:
    """Run trials until a study has so many, those of earlier calls and other machines included.

    Args:
        base: The experiment; every trial changes the fields of the space, and no other.
        space: Values to choose from, by field.
        n_trials: Trials that the study shall have, completed or pruned.
        name: Of the study in its storage; made from base, space and code by default.
        storage: Any URL that Optuna takes; a SQLite file among the runs by default.
        batch: Trials trained side by side; those of equal shapes as one program.
        seed: Of the sampler.
        progress: Show a bar.

    Raises:
        ValueError: for a field, a value or two values that the configuration does not take.
        SearchError: if the storage cannot be opened or holds another search of that name.
    """
    check_space(base, space)
    if n_trials < 1 or batch < 1:
        raise ValueError(f"n_trials={n_trials}, batch={batch} will not do; each is at least 1")
    study = open_study(base, space, name=name, storage=storage, seed=seed)
    with tqdm(total=n_trials, unit="trial", disable=not progress) as bar:
        while (done := len(results(study))) < n_trials:
            _show(bar, study, done)
            trials = [study.ask() for _ in range(min(batch, n_trials - done))]
            run_trials(study, trials, base, space)
        _show(bar, study, done)
    return study


def open_study(
    base: Config,
    space: Space,
    *,
    name: str | None = None,
    storage: str | None = None,
    seed: int = 0,
) -> optuna.Study:
    """The study of that name, new or as it was left.

    Raises:
        SearchError: if the storage cannot be opened or holds another search of that name.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    url = storage or default_storage()
    question = json.dumps([base.digest, training_code_digest(), dict(space)])
    name = name or f"{base.task.name}-{hashlib.sha256(question.encode()).hexdigest()[:12]}"
    try:
        study = optuna.create_study(storage=url, study_name=name, load_if_exists=True)
        asked = study.user_attrs.get("question", question)
        study.set_user_attr("question", asked)
        before = len(study.get_trials(deepcopy=False))
    except Exception as error:  # each database has errors of its own
        raise SearchError(
            f"the storage {url} cannot be used: {str(error).splitlines()[0]}; "
            "give an Optuna storage URL, such as sqlite:///search.db"
        ) from error
    if asked != question:
        raise SearchError(
            f"{url} holds a study {name!r} of another configuration, space or version of the code; "
            "choose another name"
        )
    # A sampler that began anew would ask its first questions again.
    study.sampler = optuna.samplers.TPESampler(seed=seed + before, constant_liar=True)
    # Early losses tell the first weights apart, and little else.
    patience = round(PATIENCE * base.train.epochs)
    study.pruner = optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=patience)
    return study


def space_for(config: Config) -> dict[str, tuple[Any, ...]]:
    """The paper's values, or smaller models and larger steps for a small p."""
    return dict(TABLE_1 if config.task.p > 100 else SMALL)


def default_storage() -> str:
    """A SQLite file among the runs."""
    folder = runs_root()
    folder.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{Path(folder, 'searches.db')}"


def run_trials(study: optuna.Study, trials: Sequence[Trial], base: Config, space: Space) -> None:
    """Train trials, those of equal shapes as one program, and tell the study how they did.

    A trial that repeats an earlier one is answered from it. If training is interrupted or cannot
    begin, the trials in hand are given back as failed, and a later search tries others in their
    place.
    """
    unheard = {trial.number: trial for trial in trials}
    try:
        jobs = [(trial, config_of(trial, base, space)) for trial in trials]
        for trial in trials:
            if earlier := _same(study, trial):
                _tell(study, unheard.pop(trial.number), earlier)
        fresh = sorted((job for job in jobs if job[0].number in unheard), key=_program)
        for _, group in groupby(fresh, key=_program):
            for trial, result in _train(list(group)):
                _tell(study, unheard.pop(trial.number), result)
    finally:
        for trial in unheard.values():
            study.tell(trial, state=TrialState.FAIL)


def config_of(trial: Trial, base: Config, space: Space) -> Config:
    """The configuration that a trial stands for."""
    chosen = {name: trial.suggest_categorical(name, values) for name, values in space.items()}
    return base.replace(**chosen, **RECORDING)


def results(study: optuna.Study) -> list[Result]:
    """What a study has found out so far, best first; pruned trials after completed ones."""
    trials = study.get_trials(deepcopy=False, states=DONE)
    return sorted(map(_result, trials), key=lambda result: (result.pruned, result.loss))


def distinct(found: Sequence[Result]) -> list[Result]:
    """The results without those that repeat the parameters of an earlier one, in their order."""
    seen = {json.dumps(result.parameters): result for result in reversed(found)}
    return sorted(seen.values(), key=found.index)


def repeat(base: Config, parameters: Mapping[str, Any], seeds: Sequence[int]) -> list[float]:
    """Validation losses, as in a trial, of the same parameters from other seeds."""
    configs = [base.replace(**{**parameters, **RECORDING, "seed": seed}) for seed in seeds]
    weights = task_of(base).loss_weights
    losses: dict[int, float] = {}
    with numerics(base):
        for news in fit_many(configs):
            for run, now in news.items():
                if isinstance(now, Progress) and now.metrics is not None:
                    losses[run] = float(now.metrics["loss"][1] @ weights)
    return [losses[run] for run in range(len(configs))]


def _train(jobs: Sequence[tuple[Trial, Config]]) -> Iterator[tuple[Trial, Result]]:
    """Train side by side; each trial comes out once, when it is complete or pruned."""
    configs = [config for _, config in jobs]
    going = {run: trial for run, (trial, _) in enumerate(jobs)}
    weights = task_of(configs[0]).loss_weights
    with numerics(configs[0]):
        for news in fit_many(configs, traced=SWEEPABLE):
            for run in sorted(set(news) & set(going)):
                if result := _judge(going[run], news[run], weights):
                    yield going.pop(run), result
            if not going:
                return


def _judge(
    trial: Trial, now: Progress | TrainingDiverged, weights: Float[np.ndarray, " tasks"]
) -> Result | None:
    """Report a record; what became of the trial, if it ends here."""
    if isinstance(now, TrainingDiverged):
        return Result(trial.number, trial.params, np.inf, 0.0, 0, True)
    if now.metrics is None:
        return None  # between two records
    loss = float(now.metrics["loss"][1] @ weights)
    accuracy = float(now.metrics["accuracy"][1].mean())
    if not np.isfinite(loss):
        return Result(trial.number, trial.params, np.inf, accuracy, now.epoch, True)
    trial.report(loss, now.epoch)
    pruned = not now.last and trial.should_prune()
    if not (now.last or pruned):
        return None
    return Result(trial.number, trial.params, loss, accuracy, now.epoch, pruned)


def _tell(study: optuna.Study, trial: Trial, result: Result) -> None:
    """Keep a result in the study."""
    for name in ("loss", "accuracy", "epoch"):
        trial.set_user_attr(name, getattr(result, name))
    if result.pruned:
        study.tell(trial, state=TrialState.PRUNED)
    else:
        study.tell(trial, result.loss)


def _result(trial: FrozenTrial) -> Result:
    found = {name: trial.user_attrs[name] for name in ("loss", "accuracy", "epoch")}
    pruned = trial.state == TrialState.PRUNED
    return Result(number=trial.number, parameters=trial.params, pruned=pruned, **found)


def _same(study: optuna.Study, trial: Trial) -> Result | None:
    """What an earlier trial of the same parameters found."""
    return next((r for r in results(study) if r.parameters == trial.params), None)


def _program(job: tuple[Trial, Config]) -> str:
    """Equal for configurations that can be trained as one program."""
    usual = {name: Config().values[name] for name in SWEEPABLE}
    return job[1].replace(**usual).digest


def _show(bar: tqdm, study: optuna.Study, done: int) -> None:
    bar.update(done - bar.n)
    if found := results(study):
        best = found[0]
        bar.set_postfix_str(f"best: loss {best.loss:.3f}, accuracy {best.accuracy:.3f}")
