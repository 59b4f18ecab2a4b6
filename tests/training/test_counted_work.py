from __future__ import annotations

from sedsdk.training.progress import CountedWork


def test_long_work_is_told_every_ten_seconds_and_short_work_never():
    said: list[str] = []
    now = [0.0]
    progress = CountedWork("mixtures made", said.append, lambda: now[0])
    for done in range(101):
        now[0] = done / 4  # 25 s in all
        progress(done, 100)
    assert said == ["mixtures made: 40 of 100", "mixtures made: 80 of 100"]
    quick: list[str] = []
    progress = CountedWork("mixtures made", quick.append, lambda: 0.0)
    for done in range(101):
        progress(done, 100)
    assert quick == []


def test_the_end_of_the_work_is_no_progress():
    said: list[str] = []
    now = [0.0]
    progress = CountedWork("x", said.append, lambda: now[0])
    now[0] = 60.0
    progress(5, 5)
    assert said == []
