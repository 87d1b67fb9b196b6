"""Which labels are wrong. Start at `assessment.py`; `cuts` has the ways to tell how many."""
