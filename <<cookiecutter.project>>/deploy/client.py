"""The service as its callers see it: one kept-open connection."""

import http.client
import json
from typing import Any, Self
from urllib.parse import urlsplit

from << cookiecutter.__package >>.outcome import Bad


class Client:
    """Asks the service at `address`; every method but `ready` raises Bad where nothing answers."""

    def __init__(self, address: str, timeout_s: float = 10) -> None:
        self.address, parts = address, urlsplit(address)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self.connection = kind(parts.hostname or "", parts.port, timeout=timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        headers = {} if body is None else {"Content-Type": "application/json"}
        try:
            self.connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = self.connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            self.connection.close()
            what = f"{self.address}{path} does not answer: {type(error).__name__}: {error}"
            raise Bad(what, "See `make status`, then deploy again.") from error

    def predict(self, rows: list[dict[str, Any]]) -> tuple[int, dict[str, Any]]:
        """The status and the answer to /predict; an answer that is no JSON object becomes {"text": …}."""
        status, content = self.ask("POST", "/predict", {"rows": rows})
        try:
            answer = json.loads(content)
        except ValueError:
            answer = None
        return status, answer if isinstance(answer, dict) else {"text": content.decode(errors="replace")[:300]}

    def ready(self) -> bool:
        """Whether the service says that it is ready."""
        try:
            return self.ask("GET", "/readyz")[0] == 200
        except Bad:
            return False
        finally:
            self.connection.close()
