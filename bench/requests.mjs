// Prepared requests of the Open Inference Protocol with binary tensors, as bytes that go straight to a socket.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Writes the request file of a model's infer call and answers its path. `headers`: further ones, as [name, value]. */
export function writeInferRequest(folder, { model, input, shape, headers = [] }) {
  const values = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i));
  const json = Buffer.from(
    JSON.stringify({
      inputs: [{ name: input, datatype: 'FP32', shape, parameters: { binary_data_size: values.byteLength } }],
      parameters: { binary_data_output: true },
    }),
  );
  const body = Buffer.concat([json, Buffer.from(values.buffer)]);
  const head = [
    `POST /v2/models/${model}/infer HTTP/1.1`,
    'Host: localhost',
    'Content-Type: application/octet-stream',
    `Inference-Header-Content-Length: ${json.length}`,
    `Content-Length: ${body.length}`,
    ...headers.map(([name, value]) => `${name}: ${value}`),
  ].join('\r\n');
  const path = join(folder, `${model}-${headers.map(([, value]) => value).join('-')}.request`);
  const request = Buffer.concat([Buffer.from(`${head}\r\n\r\n`), body]);
  writeFileSync(path, request);
  return { path, request, bodyBytes: body.length };
}
