"""What the model is: its schema, and the stages of `dvc.yaml` from raw data to an evaluated ONNX graph."""
