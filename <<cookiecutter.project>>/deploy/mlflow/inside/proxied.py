"""An S3 store that MLflow's server keeps to itself: artifacts pass through the server, none by a signed address.

From MLflow 3.17 on a server with a store on S3 tells its clients to fetch artifacts from there, by addresses signed for
the name by which the server calls it; the clients of this one reach the server alone, and have no key of the store.
`proxied-1.0.dist-info` makes it known to MLflow, as the scheme proxied-s3.
"""

from typing import Any

from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.s3_artifact_repo import S3ArtifactRepository


class Proxied(ArtifactRepository):
    def __init__(self, artifact_uri: str, *given: Any, **named: Any) -> None:
        super().__init__(artifact_uri, *given, **named)
        self.store = S3ArtifactRepository(artifact_uri.removeprefix("proxied-"), *given, **named)

    def log_artifact(self, local_file: str, artifact_path: str | None = None) -> None:
        self.store.log_artifact(local_file, artifact_path)

    def log_artifacts(self, local_dir: str, artifact_path: str | None = None) -> None:
        self.store.log_artifacts(local_dir, artifact_path)

    def list_artifacts(self, path: str | None = None) -> list:
        return self.store.list_artifacts(path)

    def _download_file(self, remote_file_path: str, local_path: str) -> None:
        self.store._download_file(remote_file_path, local_path)

    def delete_artifacts(self, artifact_path: str | None = None) -> None:
        self.store.delete_artifacts(artifact_path)
