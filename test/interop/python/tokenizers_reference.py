"""Writes eleven tokenizers into a folder, and to cases.json what they make of random texts: FOLDER COUNT SEED."""

import json
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "fixtures" / "tokenizers"))
from make import expected, random_text, tokenizers  # noqa: E402

folder, count, chance = Path(sys.argv[1]), int(sys.argv[2]), random.Random(int(sys.argv[3]))
texts = [random_text(chance) for _ in range(count)]
results = {}
for name, made in tokenizers().items():
    made.save(str(folder / f"{name}.json"))
    results[name] = expected(made, texts)
(folder / "cases.json").write_text(json.dumps({"texts": texts, "results": results}))
