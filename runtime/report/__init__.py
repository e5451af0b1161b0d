"""`report.html` of a run: one file that needs nothing else, written at the end of a training."""
