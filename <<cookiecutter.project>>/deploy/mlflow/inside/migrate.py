"""Brings role, database, buckets and both schemas to what this image's MLflow needs. Safe to repeat.

Nothing else changes them: the server does not start on a schema of another version.
"""

import subprocess
import sys
from pathlib import Path

import boto3
import psycopg2
from botocore.exceptions import ClientError
from psycopg2 import sql
from psycopg2.extensions import encrypt_password

SECRETS = Path("/run/secrets/jobs")
ADMIN = "host=postgres user=postgres dbname=postgres"
URI = f"postgresql+psycopg2://mlflow@postgres:5432/mlflow?passfile={SECRETS}/pgpass"
BUCKETS = ("mlflow", "dvc")
ONE_AT_A_TIME = 7013  # the number of the lock that says so
SCHEMAS = (  # MLflow's own first: it takes a database with any table in it for one of its own
    ["mlflow", "db", "upgrade", URI],
    ["mlflow.server.auth", "db", "upgrade", "--url", URI],
)


def database(connection: psycopg2.extensions.connection) -> None:
    """The role that the server logs in as, with its present password, and its database."""
    with connection.cursor() as cursor:
        # a statement that fails is logged by the database: it is given the password's hash
        hashed = encrypt_password((SECRETS / "mlflow").read_text(), "mlflow", connection, "scram-sha-256")
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = 'mlflow'")
        verb = sql.SQL("ALTER" if cursor.fetchone() else "CREATE")
        cursor.execute(sql.SQL("{} ROLE mlflow LOGIN PASSWORD {}").format(verb, sql.Literal(hashed)))
        cursor.execute("SELECT 1 FROM pg_database WHERE datname = 'mlflow'")
        if not cursor.fetchone():
            cursor.execute("CREATE DATABASE mlflow OWNER mlflow")
            cursor.execute("REVOKE ALL ON DATABASE mlflow FROM PUBLIC")


def buckets() -> None:
    store = boto3.client("s3", endpoint_url="http://seaweedfs:8333")
    for bucket in BUCKETS:
        try:
            store.head_bucket(Bucket=bucket)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
                raise
            store.create_bucket(Bucket=bucket)


def schemas() -> None:
    for words in SCHEMAS:
        done = subprocess.run([sys.executable, "-m", *words], check=False, text=True, stderr=subprocess.PIPE)
        sys.stderr.write(done.stderr)
        if "Can't locate revision" in done.stderr:
            sys.exit("migrate: the database was left by a newer MLflow than this one")
        if done.returncode:
            sys.exit("migrate: the schema could not be upgraded; see above")


def main() -> None:
    connection = psycopg2.connect(ADMIN)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", (ONE_AT_A_TIME,))
    database(connection)
    buckets()
    schemas()
    print("migrate: database, buckets and schemas are what this MLflow needs")


if __name__ == "__main__":
    main()
