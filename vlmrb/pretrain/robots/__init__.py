"""OGBench's robot for the embedded model to learn from: scenes with random layouts, footage of them, and questions about it."""
