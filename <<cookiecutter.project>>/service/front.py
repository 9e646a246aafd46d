"""The lean path: an ASGI application around BentoML's that answers everything a caller or an operator asks for.

BentoML's ordinary path spends most of a request in its own machinery: a timer that outlives the answer, spans, access
log, metric look-ups, a pydantic object for each row. Here `POST /predict` goes from bytes to columns to bytes, and so
do its errors, which BentoML would log together with the caller's values. Other paths than these are BentoML's.
"""

import asyncio
import gc
import itertools
import logging
import os
import re
import secrets
import traceback
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import Any

import msgspec
import numpy
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY

from service.body import Bodies, Gone
from service.limits import Limits
from service.metrics import Metrics, exposition
from service.model import PREDICTIONS, Model, model, version
from service.page import HTML, document
from service.request import Refused, Requests
from service.together import Together
from << cookiecutter.__package >>.schema import SCHEMA

log = logging.getLogger("service")
JSON = b"application/json"
IDENTITY = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")  # a caller's X-Request-ID that is kept


class Problem(msgspec.Struct):
    """An answer to a request that was refused."""

    model_version: str
    request_id: str
    error: str
    problems: list[str]


class Front:
    """The ASGI application of one process. `draining`: answers ask the caller to reconnect, elsewhere."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.pages = {"/readyz": self.readyz, "/metrics": self.metrics, "/docs.json": self.docs, "/": self.page}
        self.limits = Limits.read()
        self.version = version()
        self.ready = self.draining = False
        self.waiting = self.waiting_large = 0
        self.prefix = secrets.token_hex(6)
        self.numbers = itertools.count(1)
        self.pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="large")
        self.encode = msgspec.json.Encoder().encode

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] == "http" and scope["path"] == "/predict":
            await self.predict(scope, receive, send)
        elif scope["type"] == "http" and scope["path"] in self.pages:
            await self.show(scope, send)
        elif scope["type"] == "lifespan":
            await self.app(scope, receive, self.starting(send))
        else:
            await self.app(scope, receive, send)

    def starting(self, send):
        """`send` of the lifespan: the process has started when BentoML has and the graph has answered."""

        async def sent(message) -> None:
            if message["type"] == "lifespan.startup.complete":
                self.start(model())
            await send(message)

        return sent

    def start(self, loaded: Model) -> None:
        self.model = loaded
        self.bodies = Bodies(self.limits)
        self.requests = Requests(SCHEMA, self.limits)
        self.together = Together(loaded, self.limits.rows)
        self.answer = msgspec.defstruct(
            "Answer",
            [("model_version", str), ("request_id", str), ("predictions", list[PREDICTIONS[loaded.task]])],
            gc=False,
        )
        self.counted = Metrics(self.version, loaded.task, loaded.classes, SCHEMA[SCHEMA.label], REGISTRY)
        self.document = self.encode(document(SCHEMA, self.requests.type, self.answer, Problem, self.version))
        self.ready = True
        gc.collect()
        gc.freeze()  # what lives as long as the process is not looked at again
        gc.set_threshold(50_000, 20, 100)
        log.info("model version %s is ready in process %d", self.version, os.getpid())

    async def predict(self, scope, receive, send) -> None:
        begun = perf_counter()
        headers = dict(scope["headers"])
        identity = self.identity(headers.get(b"x-request-id", b""))
        try:
            code, content = 200, await self.answered(scope["method"], headers, receive, identity)
        except Refused as refused:
            problem = Problem(self.version, identity, refused.error, refused.problems)
            code, content = refused.status, self.encode(problem)
        except Gone:
            return
        except Exception as error:
            code, content = 500, self.encode(Problem(self.version, identity, "the model could not answer", []))
            log.error("request %s: %s", identity, cause(error))
        more = [(b"x-request-id", identity.encode())]
        if code == 405:
            more.append((b"allow", b"POST"))
        await self.reply(send, code, content, JSON, more)
        self.counted.answered(code, perf_counter() - begun)

    async def answered(self, method: str, headers: dict[bytes, bytes], receive, identity: str) -> bytes:
        if method != "POST":
            raise Refused(405, "use POST")
        if headers.get(b"content-type", JSON).partition(b";")[0].strip().lower() != JSON:
            raise Refused(415, "send Content-Type: application/json")
        body = await self.bodies.read(receive)
        if self.waiting >= self.limits.waiting:
            raise Refused(503, "overloaded; try again in a second")
        self.waiting += 1
        try:
            if len(body) > self.limits.large:
                return await self.large(body, identity)
            return self.content(await self.together.score(self.requests.decode(body)), identity)
        finally:
            self.waiting -= 1

    async def large(self, body: bytes, identity: str) -> bytes:
        """Compute in a thread; the graph releases the interpreter's lock, so small requests go on meanwhile."""
        if self.waiting_large >= self.limits.waiting_large:
            raise Refused(503, "overloaded with large requests; try again in a second")
        self.waiting_large += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self.pool, self.compute, body, identity)
        finally:
            self.waiting_large -= 1

    def compute(self, body: bytes, identity: str) -> bytes:
        return self.content(self.model.score(self.requests.decode(body)), identity)

    def content(self, scores: numpy.ndarray, identity: str) -> bytes:
        self.counted.predicted(scores)
        return self.encode(self.answer(self.version, identity, self.model.predictions(scores)))

    def identity(self, given: bytes) -> str:
        """The caller's request id where it is a sane one, else a new one."""
        if given and IDENTITY.fullmatch(given):
            return given.decode()
        return f"{self.prefix}-{next(self.numbers):x}"

    async def reply(self, send, code: int, content: bytes, kind: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        headers += [(b"content-type", kind), (b"content-length", b"%d" % len(content))]
        if code == 503:
            headers.append((b"retry-after", b"1"))
        if self.draining or code in (408, 413):
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": code, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    async def show(self, scope, send) -> None:
        if scope["method"] in ("GET", "HEAD"):
            await self.reply(send, *self.pages[scope["path"]](), [])
        else:
            content = self.encode(Problem(self.version, self.identity(b""), "use GET", []))
            await self.reply(send, 405, content, JSON, [(b"allow", b"GET, HEAD")])

    def readyz(self) -> tuple[int, bytes, bytes]:
        """200 once the graph has answered; says which process answers, for whoever replaces one by another."""
        state = "starting" if not self.ready else "draining" if self.draining else "ready"
        content = self.encode({"state": state, "model_version": self.version, "pid": os.getpid()})
        return 200 if state == "ready" else 503, content, JSON

    def metrics(self) -> tuple[int, bytes, bytes]:
        return 200, exposition(REGISTRY), CONTENT_TYPE_LATEST.encode()

    def docs(self) -> tuple[int, bytes, bytes]:
        return 200, self.document, JSON

    def page(self) -> tuple[int, bytes, bytes]:
        return 200, HTML, b"text/html; charset=utf-8"


def cause(error: BaseException) -> str:
    """What failed and where, without the message, which may repeat a caller's values."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__} at " + " < ".join(f"{frame.filename}:{frame.lineno}" for frame in reversed(frames))
