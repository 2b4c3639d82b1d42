"""How the embedded models are made: simulated worlds, questions about them, a small vision-language model, and its training.

Using a model needs none of this: it is a standard folder that `vlmrb.scoring` loads like any other checkpoint.
"""
