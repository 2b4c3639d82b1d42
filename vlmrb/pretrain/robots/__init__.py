"""What the embedded model learns about OGBench's robot: scenes with random layouts, footage of them, and questions about it."""
