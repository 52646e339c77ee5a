"""A pixel-space cascade: text encoder, base and super-resolution U-Nets. Knows no queue or HTTP."""
