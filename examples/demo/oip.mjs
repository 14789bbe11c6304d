// A small client of the Open Inference Protocol with the binary tensor extension, as any application would write it.

export class AnswerError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** One request with one input; outputs by name, answer parameters as they come. */
export async function infer(base, model, input, parameters = {}, { timeoutMs = 30_000, headers = {} } = {}) {
  const header = new TextEncoder().encode(
    JSON.stringify({
      parameters,
      inputs: [
        {
          name: input.name,
          datatype: input.datatype,
          shape: input.shape,
          parameters: { binary_data_size: input.data.byteLength },
        },
      ],
    }),
  );
  const started = performance.now();
  const response = await fetch(`http://${base}/v2/models/${model}/infer`, {
    method: 'POST',
    headers: { ...headers, 'inference-header-content-length': String(header.byteLength) },
    body: Buffer.concat([header, input.data]),
    signal: AbortSignal.timeout(timeoutMs),
  });
  const body = await response.json();
  if (response.status !== 200) throw new AnswerError(response.status, body.error);
  return {
    totalMs: performance.now() - started,
    parameters: body.parameters ?? {},
    version: body.model_version,
    outputs: Object.fromEntries(body.outputs.map((output) => [output.name, output.data])),
  };
}

/** A picture file as one BYTES element. */
export function pictureInput(name, file) {
  const data = Buffer.alloc(4 + file.byteLength);
  data.writeUInt32LE(file.byteLength, 0);
  file.copy(data, 4);
  return { name, datatype: 'BYTES', shape: [1], data };
}

/** A 28x28 digit; `noise` 0..1 makes it a distinct input. */
export function digitInput(pixels, noise = 0, seed = 1) {
  const values = Float32Array.from(pixels);
  let state = seed >>> 0;
  for (let i = 0; i < values.length; i += 1) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    values[i] = Math.min(1, Math.max(0, values[i] + noise * (state / 2 ** 32 - 0.5)));
  }
  return { name: 'image', datatype: 'FP32', shape: [1, 1, 28, 28], data: Buffer.from(values.buffer) };
}
