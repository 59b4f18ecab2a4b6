"""Kaldi's tables: archives of matrices and vectors, scripts that point into them, single files."""

from kaldi_bridge.archives.locations import read_matrix
from kaldi_bridge.archives.reading import read_archive, read_scp
from kaldi_bridge.archives.writing import write_archive

__all__ = ["read_archive", "read_matrix", "read_scp", "write_archive"]
