"""The studio: a Gradio dashboard over what the engine stored. A view of the database, and nowhere else the truth."""
