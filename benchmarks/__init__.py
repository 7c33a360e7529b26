"""What is measured, and how: `python -m benchmarks` runs all, `python -m benchmarks NAME` one."""
