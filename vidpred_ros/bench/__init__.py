"""Speed on this machine: `vidpred bench`."""
