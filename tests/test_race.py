"""A race: what is measured, going on, sharing, and whether the faster one comes first."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import optax
import optuna
import pytest

from miiii_book import race, search
from miiii_core.config import Config
from miiii_core.losses import NEVER

COURSE = Config().replace(
    p=5, d_model=16, n_heads=2, mlp_ratio=2, train_fraction=0.8, epochs=96, eval_every=8,
    evals_per_octave=1, wide_per_octave=1, probes=(), n_snapshots=0,
)  # fmt: skip
BOOK = Path(__file__).parent.parent / "book"
SPACE = {"learning_rate": (1e-2, 3e-3), "dropout": (0.0, 0.1)}


def entrant(name, update="adamw", space=SPACE):
    return race.Entrant(name, {"update": update, "grokfast": "none"}, space)


def slow(learning_rate, weight_decay):
    return optax.adamw(learning_rate / 100, weight_decay=weight_decay)


fast = optax.adamw


@pytest.fixture(autouse=True)
def small_space(monkeypatch, tmp_path):
    monkeypatch.setattr(race, "FILTERED", SPACE)
    monkeypatch.setitem(race.ENTRANTS, "AdamW", entrant("AdamW"))
    monkeypatch.setenv("MIIII_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("MIIII_SHIPPED", str(tmp_path / "nothing"))


def raced(*entrants, course=COURSE, trials=2, seeds=(1, 2), **options):
    return race.race(course, entrants, n_trials=trials, seeds=seeds, progress=False, **options)


@pytest.mark.thorough
def test_a_planted_slow_entrant_comes_last_and_a_fast_one_first():
    course = COURSE.replace(name="nanda", p=23, d_model=32, init="nanda", epochs=160)
    rivals = (entrant(n, f"test_race:{n}", {"learning_rate": (1e-2,)}) for n in ("slow", "fast"))
    found = raced(*rivals, course=course, trials=1, seeds=(1,))
    assert found[0].lost < 0.8 * found[1].lost
    rows = race.table(found)
    assert [row[0] for row in rows] == ["entrant", "fast", "slow"] and len(set(map(len, rows))) == 1


def test_an_outcome_is_read_off_the_curve(monkeypatch):
    means = {0: (0.0, 0.0), 10: (0.6, 0.2), 20: (0.95, 0.8), 30: (1.0, 1.0), 40: (1.0, 1.0)}

    def played(config, task, state):
        for epoch, (mean, least) in means.items():
            accuracy = np.array([[0.0, 0.0], [2 * mean - least, least], [0.0, 0.0]])
            yield type("Now", (), {"epoch": epoch, "metrics": {"accuracy": accuracy}})

    monkeypatch.setattr(race, "fit", played)
    found = race.run(COURSE.replace(epochs=100))
    assert found.reached == (10, 20, 30, 30)
    assert found.lost == pytest.approx(10 * 1.0 + 10 * 0.4 + 10 * 0.05)


@pytest.mark.thorough
def test_one_that_diverges_has_lost_every_epoch():
    found = race.run(COURSE.replace(learning_rate=1e30))
    assert found.lost == COURSE.train.epochs and set(found.reached) == {NEVER}


@pytest.mark.thorough
def test_a_race_goes_on_where_it_stopped_and_trains_nothing_twice(monkeypatch):
    trained, run = [], race.run
    monkeypatch.setattr(race, "run", lambda config: trained.append(config) or run(config))
    [first] = raced(entrant("AdamW"), trials=2, seeds=(1,))
    n = len(trained)
    [again] = raced(entrant("AdamW"), trials=2, seeds=(1, 2))
    assert len(trained) == n + 1 and trained[-1].train.seed == 2
    assert again.setting == first.setting and again.outcomes[1] == first.outcomes[1]
    assert n in (2, 3) and again.state == pytest.approx(2, abs=0.1)
    raced(entrant("AdamW"), trials=2, seeds=(1, 2))
    assert len(trained) == n + 1


def test_a_seed_that_is_done_stays_done_while_another_machine_is_at_it_again():
    study, setting = optuna.create_study(), {"dropout": 0.1}
    for seed, done in ((1, True), (1, False), (2, False)):
        study.enqueue_trial({**setting, "seed": seed})
        trial = study.ask()
        trial.suggest_float("dropout", 0, 1), trial.suggest_int("seed", 0, 9)
        if done:
            trial.set_user_attr("outcome", [1.0, [None], 0.1])
            study.tell(trial, 1.0)
    assert race._missing(study, setting, (1, 2, 3)) == [3, 2]


@pytest.mark.thorough
def test_what_comes_with_the_book_is_read_and_not_written(tmp_path, monkeypatch):
    [mine] = raced(entrant("AdamW"), seeds=(1,))
    (tmp_path / "book" / "results").mkdir(parents=True)
    shutil.move(tmp_path / "runs" / race.FILE, tmp_path / "book" / "results" / race.FILE)
    monkeypatch.setenv("MIIII_SHIPPED", str(tmp_path / "book" / "runs"))
    shipped = tmp_path / "book" / "results" / race.FILE
    before = shipped.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(race, "run", None)  # nothing is trained
        assert raced(entrant("AdamW"), seeds=(1,)) == [mine]
    assert not (tmp_path / "runs" / race.FILE).exists()
    [more] = raced(entrant("AdamW"), seeds=(1, 2))
    assert set(more.outcomes) == {1, 2} and shipped.read_bytes() == before


def test_the_books_race_is_whole_so_that_its_page_trains_nothing(monkeypatch):
    monkeypatch.undo()  # the space is the real one
    monkeypatch.setenv("MIIII_SHIPPED", str(BOOK / "runs"))
    monkeypatch.setattr(race, "run", None)
    found = race.race(race.COURSES["miiii"], race.ENTRANTS.values(), n_trials=24, seeds=range(1, 6))
    assert {place.entrant for place in found} == set(race.ENTRANTS)
    assert found[0].entrant == "Muon"  # as the page says


@pytest.mark.thorough
def test_an_entrant_of_three_lines_from_outside_is_in_the_table(command, tmp_path, monkeypatch):
    (tmp_path / "my_rules.py").write_text(
        "import optax\n"
        "def lion(learning_rate, weight_decay):\n"
        "    return optax.lion(learning_rate, weight_decay=weight_decay)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(race.COURSES, "small", COURSE)
    words = "race --small --trials 1 --seeds 1 --quiet --entry my_rules:lion --only"
    code, said, err = command(*words.split(), "my_rules:lion", "--only", "AdamW")
    assert code == 0, err
    assert "my_rules:lion" in said and "AdamW" in said and "every task 0.99" in said
    for words, why in (
        ("--only nobody", "no entrant"), ("--trials 0", "--trials"), ("--seeds 0", "--seeds"),
        ("--entry no:rule --only no:rule", "not found"), ("--course nanda", "leave out --course"),
    ):  # fmt: skip
        code, _, err = command("race", "--small", *words.split())
        assert code == 2 and why in err


POSTGRES = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)
WORKER = """
import sys
from test_race import entrant, raced
raced(entrant("AdamW"), trials=6, storage=sys.argv[1])
"""


@pytest.fixture
def server(tmp_path):
    """The address of a PostgreSQL server of its own, which runs as a user that is not root."""
    data = tmp_path / "data"
    data.mkdir()
    runner = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
    if runner:
        for folder in (tmp_path, data):
            shutil.chown(folder, "postgres")
        for folder in list(tmp_path.parents)[:-2]:
            folder.chmod(folder.stat().st_mode | 0o011)

    with (tmp_path / "log").open("w") as log:

        def tool(name, *words):
            subprocess.run([*runner, POSTGRES / name, *words], check=True, stdout=log, stderr=log)

        tool("initdb", "-D", data, "-A", "trust", "-U", "miiii")
        options = f"-p 54329 -k {data} -c listen_addresses="
        tool("pg_ctl", "-D", data, "-w", "-o", options, "start")
        try:
            yield f"postgresql+psycopg://miiii@/postgres?host={data}&port=54329"
        finally:
            tool("pg_ctl", "-D", data, "-w", "-m", "immediate", "stop")


@pytest.mark.thorough
@pytest.mark.skipif(POSTGRES is None, reason="no PostgreSQL server is installed")
def test_two_processes_share_a_race_through_postgresql_and_one_may_be_killed(server):
    words = [sys.executable, "-c", WORKER, server]
    here, unheard = Path(__file__).parent, subprocess.DEVNULL
    workers = [subprocess.Popen(words, cwd=here, stderr=unheard) for _ in range(2)]
    storage = race.open_storage(server)
    try:
        base = COURSE.replace(**entrant("AdamW").fixed)
        study = search.open_study(base, SPACE, "race-AdamW", storage)
        deadline = time.monotonic() + 120
        while not search.finished(study) and time.monotonic() < deadline:
            time.sleep(0.2)
        workers[0].kill()
        assert workers[1].wait(timeout=120) == 0
        [place] = raced(entrant("AdamW"), storage=storage, trials=6)
        assert len(search.finished(study)) >= 6 and set(place.outcomes) == {1, 2}
    finally:
        for worker in workers:
            worker.kill()
        storage.remove_session()
        storage._backend.engine.dispose()
