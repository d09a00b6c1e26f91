#!/usr/bin/env python3
"""Golden numbers for tests/statistics from scipy and statsmodels, as golden.json beside this file.

  python3 -m pip install scipy statsmodels; tests/statistics/make_golden.py
"""
import json
import os

import numpy
import scipy
import statsmodels
from scipy import stats
from statsmodels.stats.multitest import multipletests

SAMPLES = {
    "five differences": [0.031, 0.018, 0.044, -0.007, 0.026],
    "all on one side": [0.12, 0.31, 0.22, 0.08, 0.15],
    "noise": [0.4, -0.35, 0.1, -0.2, 0.02, 0.05],
    "twelve": [1.91, 1.87, 2.04, 1.95, 1.88, 2.31, 1.90, 1.93, 2.02, 1.86, 1.99, 1.94],
    "two": [0.5, 0.7],
}
P_VALUES = [[0.01, 0.04, 0.03, 0.005], [0.2, 0.001, 0.8, 0.0400, 0.04], [0.6, 0.7], [0.02]]


def of_sample(values):
    t = stats.ttest_rel(values, numpy.zeros(len(values)))
    flips = stats.permutation_test((values,), numpy.mean, permutation_type="samples", n_resamples=numpy.inf)
    interval = t.confidence_interval(0.95)
    bootstrap = stats.bootstrap((values,), numpy.mean, n_resamples=1_000_000, batch=100_000, method="BCa", rng=numpy.random.default_rng(1))
    return {
        "values": values,
        "mean": float(numpy.mean(values)),
        "deviation": float(numpy.std(values, ddof=1)),
        "t": float(t.statistic),
        "t_p": float(t.pvalue),
        "t_interval": [float(interval.low), float(interval.high)],
        "sign_flip_p": float(flips.pvalue),
        "bootstrap": [float(bootstrap.confidence_interval.low), float(bootstrap.confidence_interval.high)],
    }


golden = {
    "scipy": scipy.__version__,
    "statsmodels": statsmodels.__version__,
    "samples": {name: of_sample(values) for name, values in SAMPLES.items()},
    "holm": [{"p": p, "adjusted": [float(a) for a in multipletests(p, method="holm")[1]]} for p in P_VALUES],
}
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden.json"), "w") as file:
    json.dump(golden, file, indent=1)
    file.write("\n")
