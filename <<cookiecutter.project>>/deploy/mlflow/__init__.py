"""MLflow of this team's own: PostgreSQL, an S3 store and the server on one host; docs/mlflow.md tells how to run it.

    __main__.py   python3 -m deploy.mlflow up|status|backup|restore|down|password
    words.py      what each word does
    stack.py      the containers of compose.yaml and the image that they run
    secrets.py    passwords and keys, and how they reach the host
    backups.py    backup and restore, as steps
    inside/       what runs in the containers, with nothing of this repository
"""
