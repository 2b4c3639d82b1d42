"""What the embedded model learns about grid worlds: MiniGrid's environments, behaviour in them, and questions about it."""
