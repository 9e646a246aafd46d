"""The image of the Bento with a real engine, a real registry and real signatures; without them, the Dockerfile.

`docker`, `docker-registry` and `cosign` on PATH, and the base image in the engine or within reach, are what it takes.
"""

import base64
import json
import os
import shutil
import sys
import threading
from pathlib import Path

import pytest
from conftest import commit, copy, render, run, speak
from engines.images import PASSWORD, USERS, forget, lacking, registry
from engines.services import free_ports
from engines.shop import Fragile, Shop, answers, docker, until

CONFINED = ["--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
LACKING = lacking("cosign")
real = pytest.mark.skipif(bool(LACKING), reason=LACKING)


def test_the_dockerfile_is_clean(tmp_path):
    hadolint = Path(sys.executable).with_name("hadolint")
    done = run([hadolint, render(tmp_path) / "ci" / "image" / "Dockerfile"], tmp_path)
    assert done.returncode == 0


@pytest.fixture(scope="module")
def gated(default_trained, tmp_path_factory):
    made = copy(default_trained, tmp_path_factory.mktemp("gated") / "work")
    for name in ("report", "gate"):
        speak(made, name, code=0)
    return made


@pytest.fixture(scope="module")
def shop(gated, tmp_path_factory):
    """A package with its image, signed by a key whose public half is in the repository."""
    folder, port = tmp_path_factory.mktemp("shop"), free_ports(1)[0]
    for name in ("own", "other"):
        command = ["cosign", "generate-key-pair", "--output-key-prefix", name]
        assert run(command, folder, env={"COSIGN_PASSWORD": "secret"}).returncode == 0
    made = Shop(copy(gated, folder / "work"), port, folder)
    shutil.copyfile(folder / "own.pub", made.project / "deploy" / "cosign.pub")
    made.change(signed={"key": "deploy/cosign.pub"})
    commit(made.project, "Ask for signatures")
    with registry(folder / "registry", port):
        made.said = made.word("package")
        try:
            yield made
        finally:
            made.word("stop")
            forget(f"127.0.0.1:*/*/{made.project.name}")


@pytest.fixture
def papers(shop):
    """Whatever a test does to build/ is undone."""
    kept = shop.project.parent / "kept"
    shutil.copytree(shop.project / "build", kept, symlinks=True)
    yield
    shutil.rmtree(shop.project / "build")
    kept.rename(shop.project / "build")


@real
def test_it_is_small_confined_and_answers_from_the_registry(shop):
    image = shop.package()["image"]
    docker("rmi", "--force", f"{shop.repository}:{shop.package()['git_sha']}")
    docker("pull", "--quiet", image)
    about = json.loads(docker("image", "inspect", image))[0]
    assert about["Config"]["User"] == "65532:65532"
    assert about["Config"]["Labels"]["bento.digest"] == shop.package()["digest"]
    layers = docker("history", "--human=false", "--format", "{{.Size}}", image).split()
    assert sum(map(int, layers)) <= 260e6
    port = free_ports(1)[0]
    limits = ["--memory", "200m", "--publish", f"127.0.0.1:{port}:3000"]
    container = docker("run", "--detach", *CONFINED, *limits, image)
    try:
        until(lambda: answers(port, "/readyz")[0] == 200)
        rows = json.loads((shop.project / "build" / "rows.json").read_text())["rows"][:1]
        status, content = answers(port, "/predict", json.dumps({"rows": rows}))
        assert (status, json.loads(content)["model_version"]) == (200, shop.package()["version"])
        for path in ("/app/x", "/x"):
            write = ["exec", container, "python", "-c", f"open({path!r}, 'w')"]
            assert "Read-only file system" in run(["docker", *write], Path.cwd()).stderr
        state = ["inspect", "--format", "{{.State.Health.Status}}", container]
        until(lambda: docker(*state) == "healthy")
    finally:
        docker("rm", "--force", container)
    for shell in ("sh", "bash", "pip", "apt-get", "gcc"):
        assert run(["docker", "run", "--rm", "--entrypoint", shell, image], Path.cwd()).returncode == 127


@real
def test_nothing_is_unpickled_in_it(shop):
    code = (
        "import sys; sys.addaudithook(lambda event, given: event == 'pickle.find_class' and sys.exit(str(given)));"
        "import service.service; from service.model import model; print(model().task)"
    )
    command = ["run", "--rm", *CONFINED, "--network", "none", "--entrypoint", "python", shop.package()["image"]]
    assert docker(*command, "-c", code) == "binary"


@real
def test_the_bill_of_materials_and_the_provenance_are_attested(shop):
    image, key = shop.package()["image"], ["--key", str(shop.keys / "own.pub"), "--insecure-ignore-tlog=true"]
    told = {}
    for kind in ("cyclonedx", "slsaprovenance1"):
        done = shop.cosign("verify-attestation", *key, "--type", kind, image)
        assert done.returncode == 0
        payload = json.loads(done.stdout.splitlines()[-1])["payload"]
        told[kind] = json.loads(base64.b64decode(payload))["predicate"]
    parts = {part["name"]: part for part in told["cyclonedx"]["components"]}
    assert {"onnxruntime", "numpy", "libc6"} <= set(parts)
    assert parts["numpy"]["licenses"]
    assert not {"pandas", "scikit-learn", "mlflow-skinny"} & set(parts)
    needs = {one["uri"]: one["digest"] for one in told["slsaprovenance1"]["buildDefinition"]["resolvedDependencies"]}
    assert needs["bento"]["sha256"] == shop.package()["digest"].removeprefix("sha256:")
    assert needs["git+"]["gitCommit"] == shop.package()["git_sha"]


@real
def test_what_is_signed_is_deployed(shop):
    assert "signed by the key deploy/cosign.pub" in shop.word("deploy")
    assert json.loads(shop.word("status", "--json"))["environments"]["staging"]["release"]["image"]


@real
def test_a_swapped_image_is_refused(shop, papers):
    """Another image of the same repository: in package.json, then in the manifest too, then where nothing is signed."""
    other = docker("image", "inspect", "--format", "{{index .RepoDigests 0}}",
                   next(name for name in shop.said.split() if ":foundation-" in name))  # fmt: skip
    build, image = shop.project / "build", shop.package()["image"]
    package = (build / "package.json").read_text()
    (build / "package.json").write_text(package.replace(image, other))
    assert "the package is not of one piece" in shop.word("deploy", code=1)
    manifest = (build / "manifest.json").read_text()
    (build / "manifest.json").write_text(manifest.replace(image, other))
    assert "manifest.json is not signed by the key deploy/cosign.pub" in shop.word("deploy", code=1)
    shop.change(signed=None)
    try:
        assert "is of another package: its bento.digest is" in shop.word("deploy", code=1)
    finally:
        shop.change(signed={"key": "deploy/cosign.pub"})


@real
def test_a_swapped_model_is_refused(shop, papers):
    (shop.project / shop.package()["path"] / "src" / "models" / "model.onnx").write_bytes(b"another")
    assert "the model is not the one of the manifest" in shop.word("deploy", code=1)


@real
def test_an_unsigned_image_and_one_that_another_signed_are_refused(shop):
    package = shop.package()
    claims = {"bento.digest": package["digest"], "model.md5": package["model_md5"],
              "org.opencontainers.image.revision": package["git_sha"],
              "org.opencontainers.image.version": package["version"]}  # fmt: skip
    shop.without_signature()
    assert "is not signed, and gates.yaml asks for the key" in shop.word("deploy", code=1)
    shop.sign(package["image"], "other", **claims)
    assert "is not signed by the key deploy/cosign.pub" in shop.word("deploy", code=1)
    shop.without_signature()
    shop.sign(package["image"], "own", **claims | {"bento.digest": "sha256:another"})
    assert "is signed as another package than this one" in shop.word("deploy", code=1)
    shop.without_signature()
    shop.sign(package["image"], "own", **claims)
    shop.word("deploy")


@real
def test_another_machine_takes_the_foundation_from_the_registry(shop):
    """What an ephemeral runner does for new code, or a new model: two small layers upon what is there."""
    first = json.loads(docker("image", "inspect", "--format", "{{json .RootFS.Layers}}", shop.package()["image"]))
    with (shop.project / "service" / "limits.py").open("a") as file:
        file.write("# another line\n")
    commit(shop.project, "Another line")
    foundation = next(name for name in shop.said.split() if ":foundation-" in name)
    docker("rmi", "--force", foundation)
    said = shop.word("package")
    assert "[packages " not in said
    second = json.loads(docker("image", "inspect", "--format", "{{json .RootFS.Layers}}", shop.package()["image"]))
    assert [one == other for one, other in zip(first, second, strict=True)][:4] == [True, True, False, True]
    shop.word("deploy")


@real
def test_the_same_inputs_make_the_same_layers(shop, tmp_path):
    """Without any cache; where BuildKit knows SOURCE_DATE_EPOCH, so is the digest."""
    project = copy(shop.project, tmp_path / "again")
    bento = project / shop.package()["path"]
    context = tmp_path / "context"
    context.mkdir()
    for path in (*project.glob("ci/image/[Da]*"), bento / "env" / "python" / "requirements.txt"):
        shutil.copy(path, context)
    for folder in bento.glob("src/*/"):
        shutil.copytree(folder, context / ("models" if folder.name == "models" else f"source/{folder.name}"))
    layers = []
    for number in range(2):
        name = f"again-{os.getpid()}:{number}"
        docker("build", "--quiet", "--no-cache", "--tag", name, str(context))
        layers.append(docker("image", "inspect", "--format", "{{json .RootFS.Layers}}", name))
        docker("rmi", "--force", name)
    assert layers[0] == layers[1]


@real
def test_a_registry_that_breaks_off_is_asked_again(shop, papers):
    door = Fragile(shop.port, breaks=3)
    try:
        shop.word("package", IMAGE_REGISTRY=f"127.0.0.1:{door.port}/broken")
        assert door.broken == 3
        assert shop.package()["image"].startswith(f"127.0.0.1:{door.port}/broken/")
    finally:
        door.close()


@real
def test_a_registry_that_dies_in_the_middle_ends_it_in_a_sentence(shop, papers, tmp_path):
    port = free_ports(1)[0]
    with registry(tmp_path / "registry", port) as process:
        door = Fragile(port, breaks=1_000)
        threading.Thread(target=lambda: (until(lambda: door.broken > 0, 600), process.kill()), daemon=True).start()
        said = shop.word("package", code=2, IMAGE_REGISTRY=f"127.0.0.1:{door.port}/dying")
        door.close()
    assert "package: the push of" in said
    assert "failed, 3 times" in said
    assert not (shop.project / "build" / "package.json").exists()


@real
def test_a_login_lasts_as_long_as_the_word(shop, papers, tmp_path):
    config = Path(os.environ.get("DOCKER_CONFIG", Path.home() / ".docker")) / "config.json"
    before = config.read_text() if config.exists() else ""
    port = free_ports(1)[0]
    login = {"IMAGE_REGISTRY": f"127.0.0.1:{port}/private", "IMAGE_REGISTRY_USER": "robot"}
    with registry(tmp_path / "registry", port, USERS):
        for password in ("wrong", ""):
            said = shop.word("package", code=2, **login | {"IMAGE_REGISTRY_PASSWORD": password})
            assert f"127.0.0.1:{port} refuses" in said
            assert "[service" not in said  # before anything is built
        right = login | {"IMAGE_REGISTRY_PASSWORD": PASSWORD}
        shop.word("package", **right)
        assert f"127.0.0.1:{port} refuses" in shop.word("deploy", code=2)
        shop.word("deploy", **right)
    assert (config.read_text() if config.exists() else "") == before


@real
def test_a_full_disk_ends_it_in_a_sentence(shop, papers, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    if run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", small], tmp_path).returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        said = shop.word("package", code=2, TMPDIR=str(small))
    finally:
        run(["umount", small], tmp_path)
    assert "the disk" in said
    assert "is full" in said
    assert "Traceback" not in said


@real
def test_a_gate_that_fires_and_an_engine_that_is_away(shop, papers):
    shop.change(maximum_mb=100, packages=["numpy"])
    try:
        said = shop.word("package", code=1)
    finally:
        shop.change(maximum_mb=260, packages=["pandas"])
    assert "MB, at most 100 are allowed; it holds numpy" in said
    assert not (shop.project / "build" / "package.json").exists()
    away = {"CONTAINER_ENGINE": None, "DOCKER_HOST": "unix:///nowhere/docker.sock", "PATH": "/usr/bin"}
    said = shop.word("package", code=2, **away)
    assert "no container engine answers" in said
    assert "no image is asked for" in shop.word("package", IMAGE_REGISTRY=None)


@real
def test_old_images_go_and_what_runs_stays(shop):
    """Staging runs the newest; the first one and everything that belongs to it is garbage."""
    shop.word("deploy")
    running = shop.package()["image"].partition("@")[2]
    before = shop.tags()
    shop.change(keep={"count": 0, "days": 0})
    said = shop.word("package", "--sweep")
    after = shop.tags()
    assert "images removed" in said
    assert shop.package()["git_sha"] in after
    assert f"{running.replace(':', '-')}.sig" in after
    assert len([tag for tag in before if len(tag) == 40]) == 2
    assert len([tag for tag in after if len(tag) == 40]) == 1
    assert len([tag for tag in after if tag.startswith("foundation-")]) == 1
    assert "0 images removed" in shop.word("package", "--sweep")


@real
def test_it_is_smaller_and_sooner_ready_than_bentomls_own(shop):
    """`bentoml containerize` keeps working on the same Bento; both are measured in one run."""
    said = shop.word("bench", "image", "--times", "3")
    rows = [line.strip("| ").split(" | ") for line in said.splitlines() if line.startswith(("| this", "| bentoml"))]
    ours, theirs = ([float(cell.replace(",", "")) for cell in row[1:]] for row in rows)
    assert ours[0] < theirs[0] / 3
    assert ours[1] < theirs[1]
    assert ours[2] < theirs[2]
