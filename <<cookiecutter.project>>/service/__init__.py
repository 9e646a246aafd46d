"""How the model answers: a BentoML service over one ONNX graph.

Of the project it imports the schema alone, and of the world numpy, onnxruntime, msgspec and bentoml: nothing that
trains, no pandas, no pickle. `limits` says what is refused, `body` reads requests, `request` derives their type from
the schema, `model` runs the graph, `together` runs it once for what has arrived together, `metrics` counts, `page`
describes the service, `front` answers requests, `service` is what BentoML serves and `__main__` runs the same
application without BentoML's supervisor.
"""
