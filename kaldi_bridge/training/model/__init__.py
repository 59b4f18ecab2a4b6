"""The network, and how it leaves in Kaldi's format."""
