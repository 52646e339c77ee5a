"""A pixel-space cascade: text encoder, base U-Net, super-resolution U-Nets. Knows no Redis or HTTP."""
