"""How the model answers: a BentoML service over one ONNX graph.

Of the project it imports the schema alone, and of the world numpy, onnxruntime, msgspec and bentoml: nothing that
trains, no pandas, no pickle. `limits` says what is refused, `request` derives the request type from the schema,
`model` runs the graph, `metrics` counts, `page` describes the service, `front` answers requests, `service` is what
BentoML serves and `__main__` runs the same application without BentoML's supervisor.
"""
