"""Learned picture-to-picture: what JPEG took, given back."""
