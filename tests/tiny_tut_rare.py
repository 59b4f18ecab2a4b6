"""TUT Rare Sound Events 2017 in miniature: tones as events, noise as backgrounds, 2 s mixtures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
import yaml

RATE = 8000
SECONDS = 2.0
HERTZ = {"babycry": 500, "gunshot": 2000}
DEVELOPMENT = "TUT-rare-sound-events-2017-development"
EVALUATION = "TUT-rare-sound-events-2017-evaluation"
EVENTS = {"devtrain": (0, 1, 2), "devtest": (3, 4)}
PLACES = {"devtrain": ("a001", "a002"), "devtest": ("b001", "b002")}
EVENT_SECONDS = 0.4


def tone(label: str) -> np.ndarray:
    return 0.3 * np.sin(2 * np.pi * HERTZ[label] * np.arange(RATE) / RATE)


def noise(seed: int) -> np.ndarray:
    return 0.01 * np.random.default_rng(seed).normal(size=round(RATE * SECONDS))


def write(path: Path, samples: np.ndarray, rate: int = RATE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, subtype="PCM_16")


def write_development(root: Path) -> Path:
    """Writes the sources and cv_setup of both parts, and returns the development folder."""
    data = root / DEVELOPMENT / "data" / "source_data"
    (data / "cv_setup").mkdir(parents=True)
    for part, numbers in EVENTS.items():
        events = {}
        for label in HERTZ:
            events[label] = [
                {
                    "audio_filename": f"{n}.wav",
                    "segment": [0.1, 0.1 + EVENT_SECONDS],
                    "user": f"u{n}",
                }
                for n in numbers
            ]
            for n in numbers:
                write(data / "events" / label / f"{n}.wav", tone(label))
        names = [f"{place}_{begin}_{begin + 30}.wav" for place in PLACES[part] for begin in (0, 30)]
        for seed, name in enumerate(names):
            write(data / "bgs" / "audio" / name, noise(seed))
        backgrounds = [
            {"filepath": f"audio/{name}", "classname": "home", "classid": 1} for name in names
        ]
        (data / "cv_setup" / f"events_{part}.yaml").write_text(yaml.safe_dump(events))
        (data / "cv_setup" / f"bgs_{part}.yaml").write_text(yaml.safe_dump(backgrounds))
    (data / "bgs" / "bg_screening.csv").write_text("filename,babycry,glassbreak,gunshot\n")
    return root / DEVELOPMENT


def mixture_name(part: str, label: str, index: int) -> str:
    return f"mixture_{part}_{label}_{index:03d}_{'0' * 32}.wav"


def mixtures_folder(root: Path, part: str) -> Path:
    dataset = EVALUATION if part == "evaltest" else DEVELOPMENT
    return root / dataset / "data" / "mixture_data" / part / "20b255387a2d0cddc0a3dff5014875e7"


def write_finished(root: Path, part: str, count: int = 4) -> Path:
    """Writes finished mixtures and their lists; those of even number hold the event at 1 s."""
    folder = mixtures_folder(root, part)
    (folder / "meta").mkdir(parents=True, exist_ok=True)
    for label in HERTZ:
        lines = []
        for index in range(count):
            name = mixture_name(part, label, index)
            samples = noise(100 + index)
            lines.append(name)
            if index % 2 == 0:
                samples[RATE : RATE + 3200] += tone(label)[:3200]
                lines[-1] += f"\t1.0\t{1.0 + EVENT_SECONDS}\t{label}"
            write(folder / "audio" / name, samples)
        (folder / "meta" / f"event_list_{part}_{label}.csv").write_text("\n".join(lines) + "\n")
    return folder


def write_recipes(root: Path, part: str = "devtest", count: int = 4) -> Path:
    """Writes official recipes; the last one of each class lies over the last background."""
    folder = mixtures_folder(root, part)
    (folder / "meta").mkdir(parents=True, exist_ok=True)
    first, second = PLACES[part]
    for label in HERTZ:
        recipes = []
        for index in range(count):
            place = f"{first}_0_30" if index < count - 1 else f"{second}_30_60"
            recipe = {
                "mixture_audio_filename": mixture_name(part, label, index),
                "annotation_string": "",
                "bg_path": f"audio/{place}.wav",
                "bg_classname": "home",
                "event_present": index % 2 == 0,
                "ebr": float("-inf"),
            }
            if index % 2 == 0:
                recipe |= {
                    "ebr": 6.0,
                    "event_path": f"{label}/{EVENTS[part][0]}.wav",
                    "event_class": label,
                    "event_start_in_mixture_seconds": 0.5,
                    "event_length_seconds": EVENT_SECONDS,
                    "segment_start_seconds": 0.1,
                    "segment_end_seconds": 0.1 + EVENT_SECONDS,
                    "scaling_factor": 1.0,
                }
            recipes.append(recipe)
        path = folder / "meta" / f"mixture_recipes_{part}_{label}.yaml"
        path.write_text(yaml.safe_dump(recipes))
    return folder
