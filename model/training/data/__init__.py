"""Captioned pictures to train with: from a folder, from shards, or drawn as they are asked for."""
