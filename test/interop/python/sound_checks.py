"""The steps for sound against librosa, soundfile and Whisper's own formula.

`sound_checks.py make FOLDER` writes WAV files and cases.json; the suite beside it runs the steps on them and writes, for each case, what came out as raw
FP32 `NAME.f32`; `sound_checks.py check FOLDER` compares.
"""

import json
import pathlib
import sys

import numpy as np
import soundfile

from checks import check, equal, holds, run

sys.path.append(str(pathlib.Path(__file__).parents[2] / "fixtures" / "mel-spectrogram"))
import reference  # noqa: E402

ENCODINGS = ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT"]
FRONT_ENDS = {
    "librosa-default": {"sampleRate": 22050, "nFft": 2048, "hopLength": 512, "nMels": 128, "padMode": "zeros"},
    "keyword": {"nFft": 512, "winLength": 480, "hopLength": 160, "nMels": 40, "fMin": 20, "fMax": 7600, "melScale": "htk", "norm": "none",
                "log": "natural", "offset": 1e-6},
    "decibels": {"nFft": 1024, "hopLength": 256, "nMels": 64, "log": "db", "topDb": 80},
    "amplitudes": {"nFft": 1000, "hopLength": 250, "nMels": 64, "power": 1, "log": "db", "center": False},
    "whisper": {"nMels": 80, "log": "whisper", "samples": 480000, "frames": 3000},
    "whisper-large-v3": {"nMels": 128, "log": "whisper", "samples": 480000, "frames": 3000},
}


def sound(seconds, rate):
    """A rising tone with an echo, noise, and a silence."""
    t = np.arange(int(seconds * rate)) / rate
    noise = np.random.default_rng(7).normal(0, 0.01, len(t))
    values = 0.5 * np.sin(2 * np.pi * (200 * t + 400 * t**2)) + 0.2 * np.sin(2 * np.pi * 3000 * t) + noise
    values[len(t) // 2 : len(t) // 2 + rate // 4] = 0
    return np.clip(values, -0.99, 0.99).astype(np.float32)


def make(folder):
    cases = []
    for encoding in ENCODINGS:
        left = sound(0.5, 16000)
        soundfile.write(folder / f"{encoding}.wav", np.stack([left, left[::-1]], axis=1), 16000, subtype=encoding)
        cases.append({"name": encoding, "file": f"{encoding}.wav", "audio": {"sampleRate": 16000}})
    for name, parameters in FRONT_ENDS.items():
        rate = parameters.get("sampleRate", 16000)
        for seconds in (1, 30):
            soundfile.write(folder / f"{name}-{seconds}.wav", sound(seconds, rate), rate, subtype="FLOAT")
            cases.append({"name": f"{name}-{seconds}", "file": f"{name}-{seconds}.wav", "audio": {"sampleRate": rate}, "mel": parameters})
    reference.spectrogram(sound(1, 16000), {})  # librosa compiles at its first call, which can take a minute
    (folder / "cases.json").write_text(json.dumps(cases))


def compares(case):
    def compare(folder):
        samples, _ = soundfile.read(folder / case["file"], dtype="float32", always_2d=True)
        expected = samples.mean(axis=1)
        if "mel" in case:
            expected = reference.spectrogram(expected, case["mel"])
        actual = np.fromfile(folder / f"{case['name']}.f32", "<f4").reshape(expected.shape)
        error = np.max(np.abs(actual - expected) / np.maximum(1, np.abs(expected)))
        holds(error < 1e-4, f"the largest error is {error}")
        equal(actual.size > 0, True)

    return compare


if __name__ == "__main__":
    mode, path = sys.argv[1], pathlib.Path(sys.argv[2])
    if mode == "make":
        make(path)
    else:
        for one in json.loads((path / "cases.json").read_text()):
            check(one["name"])(compares(one))
        run(path)
