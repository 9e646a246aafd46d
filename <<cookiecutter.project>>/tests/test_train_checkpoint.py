"""A training that is stopped, killed or finds bad checkpoints ends in the same model, or starts again."""

import os
import shutil
import signal
from pathlib import Path

import pytest
import yaml
from trainings import content, parts, train

from << cookiecutter.__package >>.outcome import Unjudged
from << cookiecutter.__package >>.train import checkpoint, stage
from << cookiecutter.__package >>.train.checkpoint import Reached, Shelf, Unusable, packed, unpacked

KEY, OTHER = "a" * 64, "b" * 64
SMALL = Reached([{"round": 1, "train": 0.1 + 0.2, "validation": 1 / 3}], b"a model\nof two lines")


@pytest.fixture(autouse=True)
def checkpoints(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("CHECKPOINTS", str(tmp_path / "checkpoints"))
    return tmp_path / "checkpoints"


class Killed(BaseException):
    """Ends a training where it stands, as SIGKILL does."""


class Watched(Shelf):
    """A checkpoint after every round; `at` that many rounds, what `then` does happens."""

    def __init__(self, at: int = 0, then=None) -> None:
        super().__init__(KEY, seconds=0)
        self.at, self.then = at, then

    def save(self, reached: Reached) -> bool:
        saved = super().save(reached)
        if len(reached.rounds) == self.at:
            self.then()
        return saved


def kill():
    raise Killed


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize(
    ("task", "mode"),
    [
        ("binary", "in_memory"),
        ("multiclass", "in_memory"),
        ("regression", "in_memory"),
        ("binary", "quantile"),
        ("binary", "external"),
    ],
)
def test_however_often_it_is_interrupted_the_model_is_the_same(workplace, schemas, synthetic, task, mode):
    data = parts(workplace / "data", schemas[task], task, synthetic, rows=1_000)
    whole, rounds = train(data, Shelf(OTHER, seconds=1e9), mode=mode, learning_rate=0.5, colsample_bynode=0.7)
    assert 8 < len(rounds) < 40, "it should have stopped early"
    for at in (1, 4, len(rounds) - 2, len(rounds)) if mode == "in_memory" else (4,):
        with pytest.raises(Killed):
            train(data, Watched(at, kill), mode=mode, learning_rate=0.5, colsample_bynode=0.7)
    again, repeated = train(data, Watched(), mode=mode, learning_rate=0.5, colsample_bynode=0.7)
    assert repeated == rounds
    assert content(again) == content(whole)


def test_sigterm_saves_says_so_and_the_next_goes_on(tmp_path, schemas, synthetic, capsys):
    data = parts(tmp_path, schemas["binary"], "binary", synthetic)
    whole, rounds = train(data, Shelf(OTHER, seconds=1e9), early_stopping_rounds=None)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Unjudged, match="stopped by SIGTERM after round 13; the next `make train` goes on from there"):
        train(data, Watched(12, terminate), early_stopping_rounds=None)
    assert signal.getsignal(signal.SIGTERM) == before
    capsys.readouterr()
    again, repeated = train(data, Watched(), early_stopping_rounds=None)
    assert "train: goes on after round-000013 from a checkpoint of 20" in capsys.readouterr().out
    assert (content(again), repeated) == (content(whole), rounds)


def test_a_checkpoint_holds_what_was_put_into_it():
    assert unpacked(KEY, packed(KEY, SMALL)) == SMALL


def test_a_file_torn_at_any_byte_is_not_used():
    content = packed(KEY, SMALL)
    for length in range(len(content)):
        with pytest.raises(Unusable, match="torn or corrupted"):
            unpacked(KEY, content[:length])


def test_a_file_with_any_bit_flipped_is_not_used():
    content = packed(KEY, SMALL)
    for bit in range(8 * len(content)):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 2 ** (bit % 8)
        with pytest.raises(Unusable, match="torn or corrupted"):
            unpacked(KEY, bytes(flipped))


def test_the_one_before_a_bad_one_is_used_and_none_is_a_fresh_start(checkpoints, capsys):
    shelf = Shelf(KEY, seconds=0)
    later = Reached([*SMALL.rounds, {"round": 2, "train": 0.1, "validation": 0.2}], b"a later model")
    assert shelf.save(SMALL)
    assert shelf.save(later)
    assert Shelf(KEY).load() == later
    (checkpoints / KEY / "round-000002.checkpoint").write_bytes(packed(KEY, later)[:-1])
    capsys.readouterr()
    assert Shelf(KEY).load() == SMALL
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "train: the checkpoint round-000002 is not used: it is torn or corrupted"
    assert said[1].startswith("train: goes on after round-000001 from a checkpoint of 20")
    (checkpoints / KEY / "round-000001.checkpoint").write_bytes(b"")
    assert Shelf(KEY).load() is None
    assert "round-000001 is not used" in capsys.readouterr().out
    assert Shelf(KEY).load() is None
    assert capsys.readouterr().out == "", "it is said once"


def test_a_checkpoint_of_another_training_is_never_used(checkpoints, capsys):
    assert Shelf(OTHER).save(SMALL)
    assert Shelf(KEY).load() is None
    shutil.copytree(checkpoints / OTHER, checkpoints / KEY)
    assert Shelf(KEY).load() is None
    assert "the checkpoint round-000001 is not used: it is of another training" in capsys.readouterr().out


def test_a_save_that_was_killed_leaves_nothing_that_is_used(checkpoints):
    shelf = Shelf(KEY)
    assert shelf.save(SMALL)
    (checkpoints / KEY / "round-000002.1.partial").write_bytes(packed(KEY, SMALL))
    assert Shelf(KEY).load() == SMALL


def test_where_nothing_can_be_written_the_training_goes_on(tmp_path, checkpoints, schemas, synthetic, capsys):
    data = parts(tmp_path, schemas["binary"], "binary", synthetic)
    whole, rounds = train(data, Shelf(OTHER, seconds=1e9))
    checkpoints.write_text("a file where the folder should be")
    capsys.readouterr()
    again, repeated = train(data, Watched())
    said = capsys.readouterr().out
    assert said.count("no checkpoint in") == 1
    assert "Not a directory; the training goes on" in said
    assert (content(again), repeated) == (content(whole), rounds)


def test_few_are_kept_of_one_training_and_few_trainings(checkpoints):
    (checkpoints / "of somebody else").mkdir(parents=True)
    shelves = [Shelf(f"{number:064x}") for number in range(checkpoint.KEYS + 2)]
    for age, shelf in enumerate(shelves):
        for count in range(1, 5):
            assert shelf.save(Reached(SMALL.rounds * count, b""))
        assert len(list(shelf.place.iterdir())) == checkpoint.KEPT
        os.utime(shelf.place, (age, age))
    assert {path.name for path in checkpoints.iterdir()} == {
        "of somebody else",
        *(shelf.key for shelf in shelves[-checkpoint.KEYS :]),
    }
    shelves[-1].clear()
    assert not shelves[-1].place.exists()


def test_the_key_follows_everything_that_determines_the_result(tmp_path):
    files = [tmp_path / "rows.parquet", tmp_path / "boost.py"]
    for file in files:
        file.write_text("one")
    settings = {"train": {"seed": 1, "xgboost": {"max_depth": 4}}, "device": "cpu"}
    before = checkpoint.key(settings, files)
    assert checkpoint.key({"device": "cpu", "train": {"xgboost": {"max_depth": 4}, "seed": 1}}, files) == before
    assert checkpoint.key(settings | {"device": "cuda"}, files) != before
    assert checkpoint.key({"train": {"seed": 1, "xgboost": {"max_depth": 5}}, "device": "cpu"}, files) != before
    for file in files:
        file.write_text("two")
        assert checkpoint.key(settings, files) != before
        file.write_text("one")


def test_the_files_of_the_key_are_the_dependencies_of_the_stage():
    root = stage.HERE.parents[2]
    wired = yaml.safe_load((root / "dvc.yaml").read_text())["stages"]["train"]
    code = "src/<< cookiecutter.__package >>"
    named = [dep.replace("${code}", code) for dep in wired["deps"]]
    files = {Path(name) for name in named if not (root / name).is_dir()}
    folders = [root / name for name in named if (root / name).is_dir()]
    files |= {path.relative_to(root) for folder in folders for path in folder.rglob("*.py")}
    keyed = {path.relative_to(root) if path.is_absolute() else path for path in stage.determining()}
    assert keyed == files | {Path("uv.lock")}
    assert wired["params"] == ["task", "train"]
