"""The least that answers over the same graph, one request after another: ASGI, msgspec and onnxruntime.

Nothing is validated, counted, named or logged.
"""

import msgspec
import numpy
import onnxruntime

from << cookiecutter.__package >>.columns import Category
from << cookiecutter.__package >>.schema import SCHEMA

OPTIONS = onnxruntime.SessionOptions()
OPTIONS.intra_op_num_threads = OPTIONS.inter_op_num_threads = 1
SESSION = onnxruntime.InferenceSession("models/model.onnx", OPTIONS)
TEXTS = [column.name for column in SCHEMA.features if isinstance(column, Category)]
NUMBERS = [column.name for column in SCHEMA.features if not isinstance(column, Category)]
DECODE, ENCODE = msgspec.json.Decoder().decode, msgspec.json.Encoder().encode


async def app(scope, receive, send) -> None:
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message["body"], message["more_body"]
    rows = DECODE(body)["rows"]
    feeds = {name: numpy.array([[row[name]] for row in rows], dtype=object) for name in TEXTS}
    block = numpy.array([[row[name] for row in rows] for name in NUMBERS], dtype=numpy.float32)
    feeds.update(zip(NUMBERS, block.reshape(len(NUMBERS), -1, 1), strict=True))
    content = ENCODE({"predictions": SESSION.run(None, feeds)[0].tolist()})
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})
