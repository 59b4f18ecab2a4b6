"""Trains the acoustic model that comes with kaldi_bridge, on speech that anyone can make."""
