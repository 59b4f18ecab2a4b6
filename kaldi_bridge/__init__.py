"""Kaldi's acoustic models in torch, without Kaldi; holds nothing yet."""
