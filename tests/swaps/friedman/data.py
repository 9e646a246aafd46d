"""Friedman (1991), the first benchmark of multivariate adaptive regression splines, measured at three sites.

A site's instrument shifts the value, and one reading in twenty of `x3` is lost.
"""

import numpy
import pandas
from sklearn.datasets import make_friedman1

points, value = make_friedman1(n_samples=2_500, noise=0.5, random_state=1)
draw = numpy.random.default_rng(1)
site = draw.integers(0, 3, len(points))
table = pandas.DataFrame(points.round(4), columns=[f"x{number}" for number in range(10)])
table.loc[draw.random(len(points)) < 0.05, "x3"] = None
table.insert(0, "reading", range(len(table)))
table.insert(1, "site", numpy.array(["north", "east", "south"])[site])
table["value"] = (value + numpy.array([0, 3, 6])[site]).round(4)
table.to_csv("data/raw/readings.csv", index=False)
