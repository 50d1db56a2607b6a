"""One file per algorithm or study, with benchmarks, sweeps and published results."""
