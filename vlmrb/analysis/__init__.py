"""What stored results say: statistics over seeds, methods compared, labels judged, curves thinned out. No I/O."""
