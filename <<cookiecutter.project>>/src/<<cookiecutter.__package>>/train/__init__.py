"""Fits the pipeline on the training window, with early stopping on the validation window.

`stage` is the whole, `device` chooses CPU or GPU, `memory` whether the rows fit, `rows` and `matrix` bring them to
XGBoost, `boost` trains round by round, `checkpoint` keeps what a killed training has reached, and `distributed` trains
on several workers. The same data, parameters, device and memory mode give the same bits, whatever the number of
threads and however often the training was interrupted; `distributed` alone promises less.
"""
