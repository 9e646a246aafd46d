"""FastAPI, pandas and the scikit-learn pipeline: `uvicorn bench.serving.pandas_server:app`."""

from typing import Any

import joblib
from fastapi import FastAPI
from pydantic import BaseModel

from bench.serving.rows import Row, columns
from << cookiecutter.__package >>.features import frame
from << cookiecutter.__package >>.schema import SCHEMA

app = FastAPI()
PIPELINE = joblib.load("models/native/pipeline.joblib")
ANSWER = getattr(PIPELINE, "predict_proba", PIPELINE.predict)


class Request(BaseModel):
    rows: list[Row]


@app.post("/predict")
def predict(request: Request) -> dict[str, Any]:
    return {"predictions": ANSWER(frame(SCHEMA, columns(request.rows))).tolist()}
