"""One file for each command of ``vidpred``; what they share is in ``common``."""
