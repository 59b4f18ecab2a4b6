"""Holds this package to files that Kaldi's own programs made: `python -m kaldi_bridge.golden DIR`.

`DIR` is any folder of the layout that its MANIFEST.md describes: recordings, features, i-vectors,
extractors, models and what nnet3-compute wrote for them. What belongs to what is found from the
names, the scp and conf files and COMMANDS.txt; no recording or model is known by its name. One row
is printed per golden file, and per form of the model (binary, text, with transition model,
prepared) where it is a model's output.
"""
