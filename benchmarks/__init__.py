"""The engine beside its rivals: `make bench`, or `python -m benchmarks.engine`."""
