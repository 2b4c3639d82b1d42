"""The commands behind `python -m vlmrb`, one file per family. Each module's `add` registers its parsers."""
