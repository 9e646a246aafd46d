"""CPU or GPU: what was asked for, and whether XGBoost can use it."""

import json
from typing import Any

import numpy

from ..outcome import Bad, Unjudged


def choose(asked: str) -> str:
    """cpu or cuda for auto, cpu or cuda; raises Unjudged where cuda is asked for and cannot be used."""
    if asked not in ("auto", "cpu", "cuda"):
        raise Bad(f"the device is {asked!r}", "Use auto, cpu or cuda in params.yaml or in DEVICE.")
    why = "" if asked == "cpu" else obstacle("cuda")
    if why and asked == "cuda":
        raise Unjudged(f"the device is cuda, but {why}", "Train where there is a GPU, or set DEVICE=cpu.")
    return "cpu" if why or asked == "cpu" else "cuda"


def obstacle(device: str) -> str:
    """Why XGBoost cannot train on the device, "" where it can: asked for a GPU that it cannot use, it only warns."""
    import xgboost

    if device == "cuda" and not xgboost.build_info().get("USE_CUDA"):
        return "this XGBoost is built for the CPU alone (DEVICE=cuda in the environment installs the other build)"
    data = xgboost.DMatrix(numpy.zeros((2, 1)), label=numpy.array([0.0, 1.0]))
    try:
        with xgboost.config_context(verbosity=0):
            booster = xgboost.train({"device": device}, data, num_boost_round=1)
    except xgboost.core.XGBoostError as error:
        return f"XGBoost fails on it: {str(error).strip().splitlines()[0]}"
    return "" if runs_on(booster) == device else "XGBoost finds no usable GPU (see `nvidia-smi`)"


def runs_on(booster: Any) -> str:
    """The kind of device that the booster last used: cpu or cuda."""
    return json.loads(booster.save_config())["learner"]["generic_param"]["device"].partition(":")[0]


def required(booster: Any, device: str) -> None:
    """Raise Unjudged unless the booster trained on the device."""
    if runs_on(booster) != device:
        raise Unjudged(f"training was asked to run on {device} and ran elsewhere", "Look at XGBoost's warnings above.")
