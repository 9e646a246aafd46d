"""What skl2onnx needs to be told before it can convert every estimator of `features.py`."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy
import skl2onnx
from skl2onnx.common import _registration as registered
from skl2onnx.common.shape_calculator import (
    calculate_linear_classifier_output_shapes,
    calculate_linear_regressor_output_shapes,
)
from sklearn.base import RegressorMixin
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

CLASSIFIER = {"nocl": [True, False], "zipmap": [True, False, "columns"], "raw_scores": [True, False]}


@cache
def register(estimator: type) -> None:
    """Teach skl2onnx this class of estimator where it cannot convert it by itself."""
    if estimator.__module__.startswith("xgboost"):
        from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost

        alias, convert = estimator.__name__, convert_xgboost
    elif estimator in (HistGradientBoostingClassifier, HistGradientBoostingRegressor):
        alias = f"Sklearn{estimator.__name__}"
        convert = _without_booleans(registered.get_converter(alias))
    else:
        return
    numbers = issubclass(estimator, RegressorMixin)
    shapes = calculate_linear_regressor_output_shapes if numbers else calculate_linear_classifier_output_shapes
    options = {"raw_scores": [True, False]} if numbers else CLASSIFIER
    skl2onnx.update_registered_converter(estimator, alias, shapes, convert, overwrite=True, options=options)


def _without_booleans(convert: Callable[..., None]) -> Callable[..., None]:
    """skl2onnx 1.20 gives booleans for attributes that ONNX has as integers; protobuf takes no boolean for one."""

    def mended(scope: Any, operator: Any, container: Any) -> None:
        add = container.add_node

        def plain(*given: Any, **attributes: Any) -> None:
            for name, value in attributes.items():
                if isinstance(value, list):
                    attributes[name] = [int(item) if isinstance(item, bool | numpy.bool_) else item for item in value]
            add(*given, **attributes)

        container.add_node = plain
        try:
            convert(scope, operator, container)
        finally:
            del container.add_node

    return mended
