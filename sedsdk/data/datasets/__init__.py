"""Readers of published data sets, each from the data set's own files as downloaded.

One module per data set, `read_NAME(folder, part)`, and what they share:

    parts           names of parts, joined parts, and the tenth that is held out
    layout          where lists and audio folders lie
    audio_files     audio files below a folder, found by name without suffix
    video_segments  clips cut from videos, and the names that downloaders give them
    listing         rows of a list → clips of a manifest, and the problems on the way
    domestic_lists  the lists of DCASE 2018 Task 4 and DESED

`docs/datasets.md` has the layouts and parts.
"""
