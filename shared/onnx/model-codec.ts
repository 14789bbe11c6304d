// ONNX model files in and out. Decoding is zero-copy: the tensors' raw data are views of the file's buffer, which therefore
// must not change while the model lives. docs/decisions/0001-onnx-codec.md says why the codec is our own.
import { decodeMessage } from './decode-message.js';
import { encodeMessage } from './encode-message.js';
import { modelProtoType, type ModelProto } from './model-proto.js';
import { OnnxError } from './onnx-error.js';

/** Protobuf's own limit; larger models keep their weights in external data. */
export const LIMIT_MODEL_BYTES = 2 ** 31 - 1;

/** Throws OnnxError `malformed` or `too-large`. Structure is checked apart: validate-model.ts. */
export function decodeModel(bytes: Uint8Array): ModelProto {
  if (bytes.byteLength > LIMIT_MODEL_BYTES) {
    throw new OnnxError(
      'too-large',
      `the file has ${bytes.byteLength} bytes, an ONNX file at most ${LIMIT_MODEL_BYTES}`,
    );
  }
  return decodeMessage(bytes, modelProtoType) as ModelProto;
}

/** The file as chunks to be written one after the other; big ones are the tensors' own bytes, not copies. */
export function encodeModel(model: ModelProto): Uint8Array[] {
  return encodeMessage(model, modelProtoType);
}
