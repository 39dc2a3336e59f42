"""What one asks of a fit: intervals, tests, predictions, comparisons, diagnosis, replication."""
