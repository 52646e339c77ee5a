"""Training of text encoder, base and super-resolution stages. Knows no particular data set."""
