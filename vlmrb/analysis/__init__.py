"""Analysis of stored results, without I/O: statistics over seeds, method comparison, label agreement, downsampling."""
