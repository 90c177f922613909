"""Measure the engine against the model's own forward and against flashtrace 0.1.1, in one run."""
