"""Hastie, Tibshirani and Friedman (2009), example 10.2: is a point outside a sphere? No linear model can tell."""

import pandas
from sklearn.datasets import make_hastie_10_2

points, side = make_hastie_10_2(n_samples=3_000, random_state=1)
table = pandas.DataFrame(points.round(4), columns=[f"x{number}" for number in range(10)])
table.insert(0, "point", range(len(table)))
table["outside"] = side > 0
table.to_csv("data/raw/points.csv", index=False)
