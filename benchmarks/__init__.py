"""One script a figure; run one as `python -m benchmarks.<name>` from the top of the repository."""
