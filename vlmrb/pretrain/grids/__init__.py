"""Grid worlds for the embedded model to learn from: MiniGrid's environments, behaviour in them, and questions about it."""
