"""What RapidOCR finds and reads in this package's pictures: rapidocr-pictures.json, which the tests compare with.

RapidOCR (rapidocr-onnxruntime, Apache-2.0) is another implementation of PaddleOCR's preparation and post-processing. It is
given the same ONNX files and dictionary, and each picture with its own defaults.

    python -m venv venv && venv/bin/pip install rapidocr-onnxruntime==1.4.4
    venv/bin/python examples/ocr/reference/rapidocr-reference.py FOLDER_OF_NPM_PACKAGE_OCR_MODELS/assets
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
from rapidocr_onnxruntime import RapidOCR

assets = Path(sys.argv[1])
package = Path(__file__).resolve().parent.parent
read = RapidOCR(
    det_model_path=str(assets / "ch_PP-OCRv4_det_infer.onnx"),
    cls_model_path=str(assets / "ch_ppocr_mobile_v2.0_cls_infer.onnx"),
    rec_model_path=str(assets / "ch_PP-OCRv4_rec_infer.onnx"),
    rec_keys_path=str(assets / "ppocr_keys_v1.txt"),
)

pictures = {}
for path in sorted(package.glob("*/*.webp")):
    picture = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    lines, _ = read(picture)
    pictures[path.relative_to(package).as_posix()] = [
        {"box": np.array(box).astype(int).tolist(), "text": text, "confidence": round(float(confidence), 5)}
        for box, text, confidence in lines or []
    ]

made_by = {name: version(name) for name in ("rapidocr-onnxruntime", "onnxruntime", "opencv-python", "numpy")}
body = ",\n".join(
    f"    {json.dumps(path)}: [\n"
    + ",\n".join(f"      {json.dumps(line, ensure_ascii=False)}" for line in lines)
    + ("\n    ]" if lines else "]")
    for path, lines in pictures.items()
)
target = package / "reference" / "rapidocr-pictures.json"
target.write_text(f'{{\n  "madeBy": {json.dumps(made_by)},\n  "pictures": {{\n{body}\n  }}\n}}\n', encoding="utf-8")
print(f"{len(pictures)} pictures, {sum(map(len, pictures.values()))} lines -> {target}")
