"""The attacks on the commands by class, and what runs and judges them: `benchmarks/attacks.py`."""
