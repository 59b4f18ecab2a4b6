"""Kaldi's nnet3 networks as data: nodes, descriptors, components; read, written, described."""
