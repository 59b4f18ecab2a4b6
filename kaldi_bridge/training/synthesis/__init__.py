"""Who reads: flite and espeak-ng, with the time of every phone."""
