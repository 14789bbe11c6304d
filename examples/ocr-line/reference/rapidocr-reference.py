"""What RapidOCR's recogniser reads in this package's pictures: rapidocr-lines.json, which the tests compare with.

RapidOCR (rapidocr-onnxruntime, Apache-2.0) is another implementation of PaddleOCR's preparation and decoding. It is given
the same ONNX file and dictionary, and each picture alone, without its detector, as a line that is cut out already.

    python -m venv venv && venv/bin/pip install rapidocr-onnxruntime==1.4.4
    venv/bin/python examples/ocr-line/reference/rapidocr-reference.py FOLDER_OF_NPM_PACKAGE_OCR_MODELS/assets
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
from rapidocr_onnxruntime.ch_ppocr_rec import TextRecognizer

assets = Path(sys.argv[1])
package = Path(__file__).resolve().parent.parent
recognise = TextRecognizer(
    {
        "model_path": str(assets / "ch_PP-OCRv4_rec_infer.onnx"),
        "rec_keys_path": str(assets / "ppocr_keys_v1.txt"),
        "rec_img_shape": [3, 48, 320],
        "rec_batch_num": 1,
        "use_cuda": False,
        "use_dml": False,
    }
)

lines = {}
for folder in ("goldens", "blurred"):
    for golden in json.loads((package / folder / "goldens.json").read_text(encoding="utf-8")):
        path = golden["inputs"]["picture"]["file"]
        picture = cv2.imdecode(np.frombuffer((package / path).read_bytes(), np.uint8), cv2.IMREAD_COLOR)
        [(text, confidence)], _ = recognise([picture])
        lines[path] = {"text": text, "confidence": round(float(confidence), 5)}

made_by = {name: version(name) for name in ("rapidocr-onnxruntime", "onnxruntime", "opencv-python", "numpy")}
body = ",\n".join(f"    {json.dumps(path)}: {json.dumps(line, ensure_ascii=False)}" for path, line in lines.items())
target = package / "reference" / "rapidocr-lines.json"
target.write_text(f'{{\n  "madeBy": {json.dumps(made_by)},\n  "lines": {{\n{body}\n  }}\n}}\n', encoding="utf-8")
print(f"{len(lines)} lines -> {target}")
