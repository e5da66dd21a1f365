"""Searches: what a trial is worth, going on, pruning, and what is refused."""

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from miiii_book import search
from miiii_book.spaces import RECORDING, TABLE_1
from miiii_core import train
from miiii_core.config import Config
from miiii_core.runs import RunError

BASE = Config().replace(p=7, d_model=8, n_heads=2, mlp_ratio=2, epochs=8, eval_every=2)
SPACE = {"learning_rate": (1e-2, 1e-3), "dropout": (0.0, 0.2)}


@pytest.fixture
def storage(tmp_path):
    return f"sqlite:///{tmp_path / 'search.db'}"


def searched(storage, n=3, space=SPACE, base=BASE, **options):
    return search.search(base, space, n, name="s", storage=storage, progress=False, **options)


def test_the_paper_searched_these_values():
    names = ("dropout", "grokfast_lambda", "weight_decay", "d_model", "learning_rate", "n_heads")
    sizes = dict(zip(names, (4, 3, 4, 2, 2, 2), strict=True))
    assert {name: len(values) for name, values in TABLE_1.items()} == sizes


def loss_of(trial):
    return trial.user_attrs["scores"][0]


@pytest.mark.thorough
def test_trials_have_the_validation_losses_of_their_configurations(storage):
    study = searched(storage, 4)
    found = search.results(study)
    assert len(search.finished(study)) == 4
    assert list(map(loss_of, found)) == sorted(map(loss_of, found))
    for trial in found[:2]:
        assert all(trial.params[name] in SPACE[name] for name in SPACE)
        config = BASE.replace(**trial.params, **RECORDING)
        task = train.task_of(config)
        *_, end = train.fit(config, task, train.initial_state(config, task))
        # The oracle: cross-entropy over ln q, averaged over tasks.
        loss = np.mean(end.metrics["loss"][1] / np.log([2, 3, 5]))
        accuracy = end.metrics["accuracy"][1].mean()
        assert trial.user_attrs["scores"] == pytest.approx([loss, accuracy, 8], rel=1e-4)
        assert trial.state == TrialState.COMPLETE and trial.value == loss_of(trial)


@pytest.mark.thorough
def test_a_search_goes_on_where_it_stopped_and_repeats_no_training(storage, monkeypatch):
    space, trained, fit = {"learning_rate": (1e-2, 1e-3)}, [], search.fit
    monkeypatch.setattr(search, "fit", lambda c, *rest: trained.append(c) or fit(c, *rest))
    first = search.finished(searched(storage, 2, space=space))
    study = searched(storage, 6, space=space)
    every = search.finished(study)
    assert len(every) == 6 and every[:2] == first and len(first) == 2
    assert len(trained) == len({config.digest for config in trained}) <= 2
    found = search.results(study)
    assert len(found) == len(trained) and loss_of(found[0]) == min(map(loss_of, every))


def test_an_interrupted_trial_is_given_back(storage, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(search, "fit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        searched(storage)
    scripted(monkeypatch, lambda rate, epoch: rate)
    study = searched(storage, 2)
    states = [trial.state for trial in study.get_trials()]
    assert states == [TrialState.FAIL, TrialState.COMPLETE, TrialState.COMPLETE]


def scripted(monkeypatch, losses):
    """Training whose validation loss, at each epoch, the learning rate alone decides."""

    def fit(config, task, state):
        for epoch in range(1, 5):
            loss = losses(config.optim.learning_rate, epoch) * np.log([[2, 3, 5]] * 3)
            metrics = {"loss": loss, "accuracy": np.zeros((3, 3))}
            yield train.Progress(epoch=epoch, state=state, metrics=metrics, last=epoch == 4)

    monkeypatch.setattr(search, "fit", fit)


@pytest.mark.thorough
def test_trials_behind_the_median_of_their_elders_are_pruned(storage, monkeypatch):
    scripted(monkeypatch, lambda rate, epoch: rate - epoch / 100)
    rates = tuple(float(r) for r in np.geomspace(0.1, 10, 30))
    found = search.results(searched(storage, 20, space={"learning_rate": rates}))
    pruned = [one for one in found if one.state == TrialState.PRUNED]
    complete = found[: -len(pruned)]
    assert pruned and complete and found == complete + pruned
    assert {one.user_attrs["scores"][2] for one in pruned} <= {2, 3}
    assert {one.user_attrs["scores"][2] for one in complete} == {4}
    assert np.median(list(map(loss_of, pruned))) > np.median(list(map(loss_of, complete)))


@pytest.mark.thorough
def test_a_trial_that_diverges_is_last_and_stops_nothing(storage):
    study = searched(storage, 6, space={"learning_rate": (1e30, 1e-2)})
    assert len(search.finished(study)) == 6
    learned, diverged = search.results(study)
    assert learned.params["learning_rate"] == 1e-2 and np.isfinite(loss_of(learned))
    assert diverged.params["learning_rate"] == 1e30 and diverged.state == TrialState.PRUNED
    assert loss_of(diverged) == np.inf


def test_a_study_answers_one_question_and_is_named_after_it(storage, monkeypatch):
    for space in (SPACE, SPACE, {"dropout": (0.0, 0.1)}):
        search.open_study(BASE, space, storage=storage)
    assert len(optuna.study.get_all_study_names(storage)) == 2
    questions = [(BASE, SPACE), (BASE.replace(seed=1), SPACE), (BASE, SPACE | {"dropout": (0.1,)})]
    names = {search.study_name(*question, "s") for question in questions}
    assert len(names) == 3 and all(name.startswith("s-") for name in names)
    monkeypatch.setattr(search, "rule_digest", lambda optim: "another text of it")
    assert search.study_name(BASE, SPACE, "s") not in names


def test_studies_lie_among_the_runs_whatever_the_folder_is_called(tmp_path, monkeypatch):
    monkeypatch.setenv("MIIII_RUNS", str(tmp_path / "what? 50% & más"))
    for _ in range(2):
        search.open_study(BASE, SPACE)
    assert [path.name for path in tmp_path.iterdir()] == ["what? 50% & más"]
    assert (tmp_path / "what? 50% & más" / "searches.db").is_file()


@pytest.mark.parametrize("url", ["nonsense", "sqlite:////nowhere/at/all.db"])
def test_a_storage_that_does_not_open_is_named(url):
    with pytest.raises(RunError, match=f"the storage {url} cannot be used: .*sqlite:///"):
        searched(url)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"dropuot": (0.1,)}, "dropuot cannot be searched; fields that can are"),
        ({"n_snapshots": (0, 5)}, "n_snapshots cannot be searched"),
        ({"dropout": ()}, r"dropout has the values \[\]"),
        ({"masked": ((2,),)}, r"masked has the values \[\(2,\)\]"),
        ({"dropout": (2.0,)}, "dropout=2.0"),
        ({"n_heads": (3,)}, "n_heads=3"),
    ],
)
def test_a_space_that_makes_no_sense_is_refused(storage, space, message):
    with pytest.raises(ValueError, match=message):
        searched(storage, space=space)


def test_the_command_searches_among_runs_and_shows_what_it_tried(command, tmp_path, monkeypatch):
    monkeypatch.setenv("MIIII_RUNS", str(tmp_path / "runs"))
    scripted(monkeypatch, lambda rate, epoch: rate)
    words = "search --p 7 --d-model 8 --n-heads 2 --epochs 8 --trials 2 --choice d-model=8".split()
    code, said, err = command(*words, "--choice", "n-heads=2", "--choice", "grokfast=ema,none")
    assert code == 0, err
    assert (tmp_path / "runs" / "searches.db").is_file()
    assert said.split()[:1] == ["trial"] and {"grokfast", "loss"} <= set(said.split())
    assert {command("search", "--choice", choice)[0] for choice in ("foo=1", "foo")} == {2}
