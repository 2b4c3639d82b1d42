"""The studio: a Gradio dashboard over the engine's store, which holds all state."""
