"""One module per replay method: its sampler, and in METHOD everything that the rest of the project asks about it."""
