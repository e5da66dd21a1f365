import jax.numpy as jnp
import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from miiii_core import search
from miiii_core.config import Config
from miiii_core.report import search_table
from miiii_core.search import SearchError
from miiii_core.spaces import SMALL, TABLE_1
from miiii_core.training import train

BASE = Config().replace(p=7, d_model=8, n_heads=2, mlp_ratio=2, epochs=8, eval_every=2)
SPACE = {"learning_rate": (1e-2, 1e-3), "dropout": (0.0, 0.2), "n_heads": (1, 2)}


@pytest.fixture
def storage(tmp_path):
    return f"sqlite:///{tmp_path / 'search.db'}"


@pytest.fixture
def trained(monkeypatch):
    """Configurations that were really trained, in order."""
    seen, fit_many = [], search.fit_many

    def counting(configs, **options):
        seen.extend(configs)
        return fit_many(configs, **options)

    monkeypatch.setattr(search, "fit_many", counting)
    return seen


def searched(storage, n=3, space=SPACE, base=BASE, **options):
    return search.search(base, space, n, name="s", storage=storage, progress=False, **options)


def test_the_paper_searched_these_values():
    sizes = {name: len(values) for name, values in TABLE_1.items()}
    assert sizes == {
        "dropout": 4, "grokfast_lambda": 3, "weight_decay": 4, "d_model": 2, "learning_rate": 2,
        "n_heads": 2,
    }  # fmt: skip
    assert set(SMALL) == set(TABLE_1)
    search.check_space(Config(), TABLE_1)
    search.check_space(Config().replace(p=23), SMALL)


def test_each_trial_has_the_validation_loss_of_its_configuration(storage):
    study = searched(storage)
    found = search.results(study)
    assert len(found) == 3 and [r.loss for r in found] == sorted(r.loss for r in found)
    for result in found:
        assert all(result.parameters[name] in SPACE[name] for name in SPACE)
        config = BASE.replace(**result.parameters, **search.RECORDING)
        task = train.task_of(config)
        *_, end = train.fit(config, task, train.initial_state(config, task))
        # The oracle: cross-entropy over ln q, averaged over tasks.
        loss = np.mean(end.metrics["loss"][1] / np.log([2, 3, 5]))
        assert result.loss == pytest.approx(loss, rel=1e-5) and not result.pruned
        assert result.accuracy == pytest.approx(end.metrics["accuracy"][1].mean())
        assert result.epoch == 8


def test_a_search_goes_on_where_it_stopped(storage, trained):
    searched(storage, 2)
    first = search.results(search.open_study(BASE, SPACE, name="s", storage=storage))
    searched(storage, 2)
    assert len(first) == 2 and len(trained) <= 2
    study = searched(storage, 5)
    found = search.results(study)
    assert len(found) == 5 and {r.number for r in found} == set(range(5))
    assert {r for r in map(str, first)} <= {r for r in map(str, found)}


def test_a_repeated_trial_is_not_trained_again(storage, trained):
    study = searched(storage, 6, space={"learning_rate": (1e-2, 1e-3)})
    assert len(search.results(study)) == 6
    assert len(trained) == len({config.digest for config in trained}) <= 2
    once = search.distinct(search.results(study))
    assert len(once) == len(trained) and once[0] == search.results(study)[0]


def test_an_interrupted_trial_is_given_back(storage, monkeypatch):
    def interrupted(configs, **options):
        raise KeyboardInterrupt
        yield

    with monkeypatch.context() as patch:
        patch.setattr(search, "fit_many", interrupted)
        with pytest.raises(KeyboardInterrupt):
            searched(storage)
    study = searched(storage, 2)
    states = [trial.state for trial in study.get_trials()]
    assert states == [TrialState.FAIL, TrialState.COMPLETE, TrialState.COMPLETE]
    assert len(search.results(study)) == 2


def scripted(monkeypatch, losses):
    """Training whose validation loss, at each epoch, the learning rate alone decides."""

    def fit_many(configs, **options):
        state = train.initial_state(BASE, train.task_of(BASE))
        for epoch in range(1, 5):
            news = {}
            for run, config in enumerate(configs):
                loss = losses(config.optim.learning_rate, epoch) * np.log([[2, 3, 5]] * 3)
                metrics = {"loss": loss, "accuracy": np.zeros((3, 3))}
                now = {"epoch": epoch, "state": state, "metrics": metrics, "last": epoch == 4}
                news[run] = train.Progress(**now)
            yield news

    monkeypatch.setattr(search, "fit_many", fit_many)


def test_trials_behind_the_median_of_their_elders_are_pruned(storage, monkeypatch):
    scripted(monkeypatch, lambda rate, epoch: rate - epoch / 100)
    rates = tuple(float(r) for r in np.geomspace(0.1, 10, 30))
    found = search.results(searched(storage, 20, space={"learning_rate": rates}))
    pruned = [r for r in found if r.pruned]
    complete = [r for r in found if not r.pruned]
    assert pruned and complete and found == complete + pruned
    assert all(2 <= r.epoch < 4 for r in pruned) and all(r.epoch == 4 for r in complete)
    assert np.median([r.loss for r in pruned]) > np.median([r.loss for r in complete])


def test_a_trial_that_diverges_is_last_and_stops_nothing(storage):
    space = {"learning_rate": (1e30, 1e-2)}
    found = search.results(searched(storage, 8, space=space))
    assert len(found) == 8
    assert {r.parameters["learning_rate"] for r in found if r.pruned} == {1e30}
    assert all(r.loss == np.inf for r in found if r.pruned)
    assert found[0].parameters["learning_rate"] == 1e-2 and np.isfinite(found[0].loss)


def test_the_winner_can_be_repeated_from_other_seeds():
    losses = search.repeat(BASE, {"dropout": 0.2, "seed": 9}, seeds=(3, 4))
    for seed, loss in zip((3, 4), losses, strict=True):
        config = BASE.replace(dropout=0.2, seed=seed, probes=())
        task = train.task_of(config)
        *_, end = train.fit(config, task, train.initial_state(config, task))
        assert loss == pytest.approx(float(end.metrics["loss"][1] @ task.loss_weights), rel=1e-4)


def test_values_that_fit_each_other_and_not_the_base_are_taken():
    search.check_space(BASE, {"d_model": (9, 12), "n_heads": (3,)})
    with pytest.raises(ValueError, match="n_heads=3 will not do"):
        search.check_space(BASE, {"n_heads": (3,)})


def test_a_trial_whose_values_are_refused_is_given_back(storage):
    study = search.open_study(BASE, {}, name="s", storage=storage)
    trials = [study.ask(), study.ask()]
    with pytest.raises(ValueError, match="n_heads=3 will not do"):
        search.run_trials(study, trials, BASE, {"n_heads": (3,)})
    assert {trial.state for trial in study.get_trials()} == {TrialState.FAIL}


def test_choices_that_are_names_are_tried_and_shown(storage):
    study = searched(storage, 2, space={"grokfast": ("ema", "none"), "mlp_ratio": (2, 3)})
    found = search.results(study)
    lines = search_table(found).splitlines()
    assert lines[0].split() == ["trial", "grokfast", "mlp_ratio", "loss", "accuracy", "epoch"]
    for line, result in zip(lines[1:], found, strict=False):
        assert line.split()[1:3] == [str(value) for value in result.parameters.values()]


def test_a_study_is_named_after_its_question(storage):
    for space in (SPACE, {"dropout": (0.0, 0.1)}):
        search.open_study(BASE, space, storage=storage)
        search.open_study(BASE, space, storage=storage)
    assert len(optuna.study.get_all_study_names(storage)) == 2


def test_one_not_finite_record_ends_a_trial(storage, monkeypatch):
    scripted(monkeypatch, lambda rate, epoch: np.nan if epoch == 2 else rate)
    (result,) = search.results(searched(storage, 1))
    assert result.pruned and result.loss == np.inf and result.epoch == 2


def test_a_study_answers_one_question_only(storage):
    searched(storage, 1)
    for base, space in [(BASE.replace(seed=1), SPACE), (BASE, SPACE | {"dropout": (0.1,)})]:
        with pytest.raises(
            SearchError, match="holds a study 's' of another configuration, space or version"
        ):
            searched(storage, 1, base=base, space=space)


@pytest.mark.parametrize("url", ["nonsense", "sqlite:////nowhere/at/all.db"])
def test_a_storage_that_does_not_open_is_named(url):
    with pytest.raises(SearchError, match=f"the storage {url} cannot be used: .*sqlite:///"):
        searched(url)


@pytest.mark.parametrize(
    "space, message",
    [
        ({"dropuot": (0.1,)}, "no field is called dropuot; fields are"),
        ({"dropout": ()}, "dropout has no values to choose from"),
        ({"dropout": (0.1, 2.0)}, "dropout=2.0 will not do"),
        ({"n_heads": (3,)}, "n_heads=3 will not do; it takes a divisor"),
        ({"masked": ((2,),)}, r"masked=\(2,\) will not do; a choice is a number or a name"),
        (
            {"dropout": (0.0, 0.1), "d_model": (8, 10), "n_heads": (2, 4)},
            "n_heads=4 will not do.*allow dropout=0.0, d_model=10, n_heads=4, so leave out one",
        ),
        (
            {"n_snapshots": (0, 5), "dropout": (0.1,)},
            "n_snapshots cannot be a choice.*a search sets probes, n_snapshots, .*; leave it out",
        ),
    ],
)
def test_a_space_that_makes_no_sense_is_refused(storage, space, message):
    with pytest.raises(ValueError, match=message):
        searched(storage, space=space)
    assert not optuna.study.get_all_study_names(storage)


@pytest.mark.parametrize("n, batch", [(0, 1), (1, 0)])
def test_no_trials_are_refused(storage, n, batch):
    with pytest.raises(ValueError, match=f"n_trials={n}, batch={batch} will not do"):
        searched(storage, n, batch=batch)


def test_by_default_a_study_lies_among_the_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("MIIII_RUNS", str(tmp_path / "runs"))
    searched(None, 1)
    assert (tmp_path / "runs" / "searches.db").is_file()


def test_trials_side_by_side_find_what_single_ones_do(storage, tmp_path):
    side_by_side = search.results(searched(storage, 6, batch=6))
    for result in side_by_side:
        config = BASE.replace(**result.parameters, **search.RECORDING)
        task = train.task_of(config)
        *_, end = train.fit(config, task, train.initial_state(config, task))
        loss = float(jnp.asarray(end.metrics["loss"][1]) @ task.loss_weights)
        assert result.loss == pytest.approx(loss, rel=1e-4)
