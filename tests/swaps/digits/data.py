"""Handwritten digits, 8 by 8 pixels (Alpaydin and Kaynak 1998, bundled with scikit-learn)."""

import pandas
from sklearn.datasets import load_digits

digits = load_digits()
table = pandas.DataFrame(digits.data.astype(int), columns=[f"pixel_{number}" for number in range(64)])
table.insert(0, "scan", range(len(table)))
table.insert(1, "digit", digits.target)
table.to_csv("data/raw/scans.csv", index=False)
