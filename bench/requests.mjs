// Prepared HTTP/1.1 requests as bytes that go straight to a socket.
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Numbers that are the same in each run: a model's input of the shape. */
export const inputValues = (shape) =>
  Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i));

/** An HTTP request. `headers`: [name, value]; `body`: a buffer. */
export function httpRequest({ path, headers = [], body }) {
  const head = [
    `POST ${path} HTTP/1.1`,
    'Host: localhost',
    `Content-Length: ${body.length}`,
    ...headers.map(([name, value]) => `${name}: ${value}`),
  ].join('\r\n');
  return { path, headers, body, bytes: Buffer.concat([Buffer.from(`${head}\r\n\r\n`), body]) };
}

/** An infer call of the Open Inference Protocol with binary tensors. `headers`: further ones, as [name, value]. */
export function inferRequest({ model, input, shape, headers = [] }) {
  const values = inputValues(shape);
  const json = Buffer.from(
    JSON.stringify({
      inputs: [{ name: input, datatype: 'FP32', shape, parameters: { binary_data_size: values.byteLength } }],
      parameters: { binary_data_output: true },
    }),
  );
  return httpRequest({
    path: `/v2/models/${model}/infer`,
    headers: [
      ['Content-Type', 'application/octet-stream'],
      ['Inference-Header-Content-Length', json.length],
      ...headers,
    ],
    body: Buffer.concat([json, Buffer.from(values.buffer)]),
  });
}

/** A call with nothing but the values as float32. */
export const rawRequest = (path, shape) =>
  httpRequest({
    path,
    headers: [['Content-Type', 'application/octet-stream']],
    body: Buffer.from(inputValues(shape).buffer),
  });

/** An infer call for a digit, answered in JSON, with the class and its confidence. */
export function digitsRequest(headers = []) {
  const data = Array.from({ length: 784 }, (_, i) => (i % 28 === 14 ? 1 : 0));
  return httpRequest({
    path: '/v2/models/digits/infer',
    headers: [['Content-Type', 'application/json'], ...headers],
    body: Buffer.from(JSON.stringify({ inputs: [{ name: 'image', datatype: 'FP32', shape: [1, 1, 28, 28], data }] })),
  });
}

/** Writes a request where a load generator reads it; answers the path. */
export function writeRequest(folder, { bytes }) {
  const path = join(folder, `${createHash('sha256').update(bytes).digest('hex').slice(0, 16)}.request`);
  writeFileSync(path, bytes);
  return path;
}
