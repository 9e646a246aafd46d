"""The database as PostgreSQL's administrator sees it: what it holds, and another one put in its place."""

from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from importlib.util import find_spec
from pathlib import Path

import psycopg2
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError

ADMIN = "host=postgres user=postgres connect_timeout=10 dbname="
TABLES = {"experiments": " WHERE experiment_id <> 0", "runs": "", "registered_models": "", "model_versions": ""}
SCHEMAS = {"alembic_version": "store/db_migrations", "alembic_version_auth": "server/auth/db/migrations"}


@contextmanager
def asking(database: str, at_once: bool = False) -> Iterator[psycopg2.extensions.cursor]:
    """A cursor in one transaction; `at_once`: each statement by itself, as making and dropping a database asks for."""
    with closing(psycopg2.connect(ADMIN + database)) as connection:
        connection.autocommit = at_once
        with nullcontext() if at_once else connection, connection.cursor() as cursor:
            yield cursor


def schemas() -> dict[str, str]:
    """Each schema's version, by the table that tells it."""
    found = {}
    with asking("mlflow") as cursor:
        for table in SCHEMAS:
            cursor.execute(f"SELECT version_num FROM {table}")  # noqa: S608  the names above
            found[table] = cursor.fetchone()[0]
    return found


def known(versions: dict[str, str]) -> bool:
    """Whether this MLflow can migrate from these versions, its own among them."""
    mlflow = Path(find_spec("mlflow").origin).parent
    for table, version in versions.items():
        settings = Config()
        settings.set_main_option("script_location", str(mlflow / SCHEMAS[table]))
        try:
            ScriptDirectory.from_config(settings).get_revision(version)
        except CommandError:
            return False
    return True


def held() -> dict[str, int]:
    """How many rows the tables hold that people fill; empty where there is no such database yet."""
    found = {}
    try:
        with asking("mlflow") as cursor:
            for table, where in TABLES.items():
                cursor.execute("SELECT to_regclass(%s)", (table,))
                if cursor.fetchone()[0]:
                    cursor.execute(f"SELECT count(*) FROM {table}{where}")  # noqa: S608  the names above
                    found[table] = cursor.fetchone()[0]
    except psycopg2.OperationalError as error:
        if 'database "mlflow" does not exist' not in str(error):
            raise
    return found


def empty() -> None:
    """Make the database mlflow_restored, empty, for pg_restore."""
    with asking("postgres", at_once=True) as cursor:
        cursor.execute("DROP DATABASE IF EXISTS mlflow_restored WITH (FORCE)")
        cursor.execute("CREATE DATABASE mlflow_restored OWNER mlflow")
        cursor.execute("REVOKE ALL ON DATABASE mlflow_restored FROM PUBLIC")


def swap() -> None:
    """Put mlflow_restored in the place of mlflow, in one step; that stays as mlflow_replaced until the next time."""
    with asking("postgres", at_once=True) as cursor:
        cursor.execute("DROP DATABASE IF EXISTS mlflow_replaced WITH (FORCE)")
        cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE 'mlflow%'")
    with asking("postgres") as cursor:
        cursor.execute("ALTER DATABASE mlflow RENAME TO mlflow_replaced")
        cursor.execute("ALTER DATABASE mlflow_restored RENAME TO mlflow")
