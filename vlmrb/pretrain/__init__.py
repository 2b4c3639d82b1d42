"""The embedded model's recipe: simulated worlds, questions about them, a small vision-language model, and its training.

Nothing here is needed to use the model: it is a standard folder that `vlmrb.scoring` loads like any other checkpoint.
"""
