"""Reads a picture with RapidOCR for each path on standard input and answers with the milliseconds: bench/ocr.mjs."""

import json
import sys
import time
from pathlib import Path

import cv2
import numpy as np
from rapidocr_onnxruntime import RapidOCR

assets = Path(sys.argv[1])
read = RapidOCR(
    det_model_path=str(assets / "ch_PP-OCRv4_det_infer.onnx"),
    cls_model_path=str(assets / "ch_ppocr_mobile_v2.0_cls_infer.onnx"),
    rec_model_path=str(assets / "ch_PP-OCRv4_rec_infer.onnx"),
    rec_keys_path=str(assets / "ppocr_keys_v1.txt"),
)
print("ready", flush=True)
for line in sys.stdin:
    picture = Path(line.strip()).read_bytes()
    start = time.perf_counter()
    read(cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR))
    print(json.dumps({"ms": 1000 * (time.perf_counter() - start)}), flush=True)
