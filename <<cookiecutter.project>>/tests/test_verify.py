import pytest
from deployments import ROWS, package

from ci import verify
from deploy import releases
from deploy.store import read, state, write
from deploy.target import start
from << cookiecutter.__package >>.outcome import Bad, Unjudged

pytestmark = pytest.mark.processes


@pytest.fixture
def staged(place, tmp_path, monkeypatch):
    """A function that puts a release with some behaviour on staging; reports go to a folder of the test."""
    monkeypatch.setattr(verify, "ROOT", tmp_path)
    write(tmp_path / "gates.yaml", {"verify": {"tolerance": 1e-5, "minimum_rows": len(ROWS)}})  # JSON is YAML

    def stage(**behaviour):
        start(place, "staging", place.add(package(tmp_path, "1", **behaviour)))
        return place

    return stage


def report(tmp_path):
    return read(tmp_path / "reports" / "verify.json")


def test_right_answers_pass(staged, tmp_path):
    release = staged(offset=5e-6).running("staging").release
    verify.main([])
    found = report(tmp_path)
    assert found["largest_difference"] == pytest.approx(5e-6, rel=0.01)
    assert (found["verdict"], found["rows"], found["digest"]) == ("pass", len(ROWS), release.digest)


def test_what_another_pipeline_has_deployed_is_not_judged(staged, tmp_path):
    release = staged().running("staging").release
    write(tmp_path / "build" / "package.json", release.dict())
    verify.main([])
    write(tmp_path / "build" / "package.json", release.dict() | {"git_sha": "1" * 40})
    with pytest.raises(Unjudged, match=r"build/ holds version 1 .* of commit 1111"):
        verify.main([])


def test_answers_that_are_off_fail(staged, tmp_path):
    staged(offset=2e-5)
    with pytest.raises(Bad, match="row 0 of 500"):
        verify.main([])
    assert report(tmp_path)["verdict"] == "fail"


@pytest.mark.parametrize("size", ["alone", "batch"])
def test_one_wrong_row_fails_however_it_is_asked(staged, tmp_path, size):
    staged(wrong={"x": ROWS[321]["x"], "when": size})
    with pytest.raises(Bad, match=r"row 321 of 500, asked (1|100) at a time"):
        verify.main([])


def test_another_version_that_answers_fails(staged, tmp_path):
    staged(version="0")
    with pytest.raises(Bad, match="version 0 answers instead of version 1"):
        verify.main([])
    assert report(tmp_path)["verdict"] == "fail"


def test_a_deployed_service_that_is_dead_fails(staged):
    staged().stop("staging")
    with pytest.raises(Bad, match="does not answer"):
        verify.main([])


def test_nothing_deployed_is_not_judged(place):
    with pytest.raises(Unjudged, match="staging runs nothing"):
        verify.main([])


@pytest.mark.parametrize(
    ("rows", "why"), [([], "only 0 predictions are recorded"), (None, "are not here")], ids=["empty", "absent"]
)
def test_nothing_to_compare_is_not_judged(staged, tmp_path, rows, why):
    place = staged()
    kept = releases.folder(place.running("staging").release) / "rows.json"
    kept.unlink() if rows is None else write(kept, {"rows": rows, "predictions": rows})
    with pytest.raises(Unjudged, match=why):
        verify.main([])
    assert report(tmp_path) is None


@pytest.mark.parametrize(
    ("one", "other", "off"),
    [
        ({"probability": 0.25}, {"probability": 0.5}, 0.25),
        ({"value": 1010.0}, {"value": 1000.0}, 0.01),
        ({"label": "a", "probabilities": {"a": 0.5}}, {"label": "a", "probabilities": {"a": 0.5}}, 0),
        ({"label": "a", "probabilities": {"a": 0.5}}, {"label": "b", "probabilities": {"a": 0.5}}, float("inf")),
        ({"probability": float("nan")}, {"probability": 0.5}, float("inf")),
        ({"probability": 0.5}, {"value": 0.5}, float("inf")),
        (None, {"probability": 0.5}, float("inf")),
    ],
)
def test_difference(one, other, off):
    assert verify.difference(one, other) == off


def test_a_recorded_release_is_read_from_where_it_is_kept(staged):
    place = staged()
    rows, predictions = verify.recorded(place.running("staging").release)
    assert (len(rows), len(predictions)) == (len(ROWS), len(ROWS))
    assert state("releases") in releases.folder(place.running("staging").release).parents
