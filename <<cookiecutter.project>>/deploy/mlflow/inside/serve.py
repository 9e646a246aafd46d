"""Runs the MLflow server: its secrets come from files into its environment, and into no argument.

As the first process of its container it passes on the signal to end, which the server's own parts would not see.
Users lie in the same database as the runs, so that one dump holds both. A password that was found right counts as right
for a minute: hashing it takes ten times as long as most requests.
"""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

SECRETS = Path("/run/secrets/mlflow")
SCRATCH = Path("/tmp")  # noqa: S108  a volume of this service alone

AUTH = """\
[mlflow]
default_permission = {permission}
database_uri = {database}
admin_username = admin
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 60
"""


def main() -> int:
    for left in SCRATCH.iterdir():  # artifacts that were on their way when an earlier server was killed
        shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()
    auth, get = SCRATCH / "auth.ini", os.environ.__getitem__
    auth.write_text(AUTH.format(permission=get("PERMISSION"), database=get("MLFLOW_BACKEND_STORE_URI")))
    os.environ |= {
        "MLFLOW_AUTH_CONFIG_PATH": str(auth),
        "MLFLOW_AUTH_ADMIN_PASSWORD": (SECRETS / "admin").read_text(),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": (SECRETS / "flask").read_text(),
    }
    command = [sys.executable, "-m", "mlflow", "server", "--app-name", "basic-auth", "--host", "0.0.0.0"]  # noqa: S104
    command += ["--port", "5000", "--workers", get("WORKERS"), "--serve-artifacts"]
    command += ["--artifacts-destination", "proxied-s3://mlflow"]
    server = subprocess.Popen(command, start_new_session=True)
    signal.signal(signal.SIGTERM, lambda *_: os.killpg(server.pid, signal.SIGTERM))
    return server.wait()


sys.exit(main())
