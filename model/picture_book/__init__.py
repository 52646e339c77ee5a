"""picture-book, the cascade in the box: a drawn world of things, and the weights trained on it."""
