"""`preflight` and `commit`: what they refuse, and in which words."""

from pathlib import Path

import pytest
from conftest import commit, render, run, speak
from engines import forges
from engines.forges import TOKEN
from engines.repositories import over_http
from engines.world import first

NOWHERE = "http://127.0.0.1:9"
GITHUB = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_API_URL": NOWHERE,
    "GITHUB_REPOSITORY": "team/project",
    "GITHUB_SERVER_URL": NOWHERE,
    "GITHUB_SHA": "0" * 40,
    "REQUEST": "1",
    "RUNNER_ENVIRONMENT": "github-hosted",
}
GITLAB = {
    "CI_API_V4_URL": NOWHERE,
    "CI_COMMIT_SHA": "0" * 40,
    "CI_DISPOSABLE_ENVIRONMENT": "true",
    "CI_MERGE_REQUEST_IID": "7",
    "CI_MERGE_REQUEST_PROJECT_ID": "1",
    "CI_MERGE_REQUEST_PROJECT_URL": f"{NOWHERE}/team/project",
    "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": "1",
    "CI_PROJECT_ID": "1",
    "GITLAB_CI": "true",
}
CREDENTIALS = ["AWS_ACCESS_KEY_ID", "AWS_ENDPOINT_URL", "AWS_ROLE_ARN", "DEPLOYMENTS", "GITHUB_TOKEN", "GITLAB_TOKEN"]
NOTHING = dict.fromkeys(CREDENTIALS)
JOBS = [(GITHUB, "Actions"), (GITLAB, "CI/CD > Variables")]


@pytest.fixture(scope="module")
def directory(tmp_path_factory) -> Path:
    return render(tmp_path_factory.mktemp("directory"), forge="both")


@pytest.fixture(scope="module")
def bucket(tmp_path_factory) -> Path:
    return render(tmp_path_factory.mktemp("bucket"), forge="both", remote="s3://team/flights")


@pytest.mark.parametrize(("job", "where"), JOBS, ids=["github", "gitlab"])
def test_a_hosted_runner_needs_more_than_this_machine(directory, job, where):
    said = speak(directory, "preflight", env=NOTHING | job, code=2).stderr
    assert "is a directory" in said
    assert "MLFLOW_TRACKING_URI" in said
    assert where in said.splitlines()[-1]


def test_s3_needs_credentials(bucket):
    job = NOTHING | GITHUB | {"MLFLOW_TRACKING_URI": NOWHERE}
    assert "AWS_ACCESS_KEY_ID" in speak(bucket, "preflight", env=job, code=2).stderr
    speak(bucket, "preflight", env=job | {"AWS_ACCESS_KEY_ID": "key"}, code=0)


def test_a_release_needs_a_place_and_a_trained_model(bucket, tmp_path):
    outputs = tmp_path / "outputs"
    job = NOTHING | GITHUB | {"MLFLOW_TRACKING_URI": NOWHERE, "AWS_ACCESS_KEY_ID": "key", "REQUEST": None}
    assert "DEPLOYMENTS" in speak(bucket, "preflight", env=job, code=2).stderr
    whole = job | {"DEPLOYMENTS": "/srv/late", "GITHUB_OUTPUT": str(outputs)}
    assert "No model is trained yet" in speak(bucket, "preflight", env=whole, code=0).stdout
    assert outputs.read_text() == "heavy=false\nstale=false\n"


def test_releases_that_may_overtake_each_other_are_told(bucket, tmp_path):
    with forges.gitlab(tmp_path) as (double, address):
        own = {"MLFLOW_TRACKING_URI": NOWHERE, "AWS_ACCESS_KEY_ID": "key", "DEPLOYMENTS": "/srv/late"}
        job = NOTHING | GITLAB | address | own | {"CI_MERGE_REQUEST_IID": None, "GITLAB_TOKEN": forges.TOKEN}
        assert "Releases may overtake" in speak(bucket, "preflight", env=job, code=0).stdout
        double.turns = "oldest_first"
        assert "Releases may overtake" not in speak(bucket, "preflight", env=job, code=0).stdout


def test_an_own_runner_needs_nothing(directory):
    assert "training comes first" in speak(directory, "preflight", env=NOTHING, code=0).stdout


@pytest.mark.parametrize(
    ("path", "heavy"), [("NOTES.md", "false"), ("service/more.py", "true"), ("params.yaml", "true")]
)
def test_a_shallow_clone_fetches_what_it_compares_with(bake, tmp_path, path, heavy):
    origin, clone = bake(forge="github"), tmp_path / "clone"
    for command in (["switch", "--quiet", "--create", "change"], ["config", "uploadpack.allowAnySHA1InWant", "true"]):
        run(["git", *command], origin)
    with (origin / path).open("a") as file:
        file.write("\n# more\n")
    commit(origin, "A change")
    run(["git", "clone", "--quiet", "--depth=1", "--branch=change", f"file://{origin}", clone], tmp_path)
    said = speak(clone, "preflight", env=NOTHING | {"BASE_REF": "origin/main"}, code=0).stdout
    assert f"heavy = {heavy}" in said


def test_a_base_that_is_nowhere_counts_as_everything(directory):
    said = speak(directory, "preflight", env=NOTHING | {"BASE_REF": "origin/gone"}, code=0).stdout
    assert "heavy = true" in said


EDITS = {
    "nothing": ("README.md", "#", "#", False),
    "parameter": ("params.yaml", "max_depth: ", "max_depth: 1", True),
    "code": ("src/flight_delays/evaluate.py", "import", "import sys\nimport", True),
    "data": ("data/raw/weather.csv.dvc", "- md5: ", "- md5: 0", True),
    "rule of the check": ("gates.yaml", "minimum_rows: ", "minimum_rows: 1", True),
}


@pytest.mark.parametrize(("path", "old", "new", "stale"), EDITS.values(), ids=EDITS)
def test_without_any_data_it_is_known_whether_to_train(shared, default_project, tmp_path, path, old, new, stale):
    clone, trained = tmp_path / "clone", shared("first", lambda into: first(into, default_project))
    run(["git", "clone", "--quiet", trained, clone], tmp_path)
    (clone / path).write_text((clone / path).read_text().replace(old, new, 1))
    said = speak(clone, "preflight", env=NOTHING, code=0).stdout
    assert f"stale = {str(stale).lower()}" in said


@pytest.fixture
def written(bake, tmp_path) -> Path:
    """A clone of a branch in which training has just written."""
    origin, clone = tmp_path / "origin.git", tmp_path / "clone"
    run(["git", "clone", "--quiet", "--bare", bake(forge="both"), origin], tmp_path)
    run(["git", "clone", "--quiet", origin, clone], tmp_path)
    (clone / "dvc.lock").write_text("schema: '2.0'\n")
    return clone


def test_what_training_wrote_goes_onto_the_branch(written):
    assert "is on change" in speak(written, "commit", env=NOTHING | {"BRANCH": "change"}, code=0).stdout
    assert "dvc.lock" in run(["git", "ls-tree", "--name-only", "change"], written.parent / "origin.git").stdout
    assert "nothing to commit" in speak(written, "commit", env=NOTHING | {"BRANCH": "change"}, code=0).stdout


def test_without_a_token_gitlab_keeps_it_in_the_artifacts(written):
    said = speak(written, "commit", env=NOTHING | GITLAB | {"BRANCH": "change"}, code=2).stderr
    assert "GITLAB_TOKEN" in said
    assert "artifacts" in said.splitlines()[-1]


FORGES = [pytest.param(GITHUB, "GITHUB_TOKEN", id="github"), pytest.param(GITLAB, "GITLAB_TOKEN", id="gitlab")]


@pytest.mark.parametrize(("job", "name"), FORGES)
def test_the_token_of_the_step_pushes_over_http_and_nothing_else_does(written, job, name):
    """In a clone as a runner leaves it: a credential in the address, and a machine whose git knows a right one."""
    job, helper = NOTHING | job | {"REQUEST": None, "BRANCH": "change"}, f"!echo username=x; echo password={TOKEN};"
    with over_http(written.parent, TOKEN) as server:
        address = f"{server.url}/origin.git".replace("://", "://gitlab-ci-token:of-the-job@")
        for command in (["remote", "set-url", "origin", address], ["config", "credential.helper", helper]):
            run(["git", *command], written)
        assert "is on change" in speak(written, "commit", env=job | {name: TOKEN}, code=0).stdout
        pushed = run(["git", "rev-parse", "change"], written.parent / "origin.git").stdout
        assert pushed == run(["git", "rev-parse", "HEAD"], written).stdout
        (written / "dvc.lock").write_text("schema: '2.0'\nstages: {}\n")
        said = speak(written, "commit", env=job | {name: "of-somebody"}, code=2).stderr
    assert f"refuses {name} to push to change" in said
    assert "of-somebody" not in said
    assert run(["git", "rev-parse", "change"], written.parent / "origin.git").stdout == pushed


def test_checks_that_do_not_start_are_told(written):
    job = NOTHING | GITHUB | {"BRANCH": "change", "BASE_REF": "origin/main", "GITHUB_TOKEN": TOKEN}
    said = speak(written, "commit", env=job, code=2).stderr
    assert "dvc.lock is on change, and the checks of request 1 did not start" in said


def test_a_branch_that_moved_on_is_not_overwritten(written):
    other = written.parent / "other"
    run(["git", "clone", "--quiet", written.parent / "origin.git", other], written.parent)
    (other / "NOTES.md").write_text("# Notes\n")
    moved = commit(other, "Meanwhile")
    run(["git", "push", "--quiet", "origin", "main"], other)
    assert "moved on" in speak(written, "commit", env=NOTHING | {"BRANCH": "main"}, code=2).stderr
    assert run(["git", "rev-parse", "main"], written.parent / "origin.git").stdout.strip() == moved
