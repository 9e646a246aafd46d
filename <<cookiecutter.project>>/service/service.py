"""What BentoML builds, describes and serves: `bentoml serve` in the Bento's folder, or `python -m service`.

BentoML owns the life of the process, the Bento, its image, `/livez` and the page at `/`; `front.Front`, which wraps
its application, owns what is asked for. BentoML's metrics and access log are off: `Front` has its own.
"""

from typing import Any

import bentoml
import msgspec

from service.front import Front
from service.limits import Limits
from service.model import model
from service.request import Requests
from << cookiecutter.__package >>.schema import SCHEMA


class Fronted(bentoml.Service):
    """A BentoML service behind `Front`, whoever serves it: the application that BentoML runs and tests."""

    def to_asgi(self, is_main: bool = True) -> Front:
        return Front(super().to_asgi(is_main=is_main))


@bentoml.service(
    name="<< cookiecutter.project >>",
    service_class=Fronted,
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
)
class Predictor:
    """Rows in, predictions out: see `/docs.json`."""

    @bentoml.api
    def predict(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """One prediction for each row: for another BentoML service in this process, whose calls pass no HTTP."""
        decoded = Requests(SCHEMA, Limits.read()).decode(msgspec.json.encode({"rows": rows}))
        return msgspec.to_builtins(model().predictions(model().score(decoded)))
