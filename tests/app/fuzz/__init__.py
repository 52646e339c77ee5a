"""The API under requests that no one would write, on a real socket with a real queue."""
