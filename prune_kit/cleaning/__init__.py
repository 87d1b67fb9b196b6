"""Which labels are wrong. Start at `assessment.py`; each file of `cuts` is a way to tell how many."""
