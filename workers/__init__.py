"""The GPU side of imagen: takes tasks from the queue, runs them, commits what they made."""
