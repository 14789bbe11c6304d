// WAV files as a test wants them, whole ones and such as lie.
export interface WavParts {
  readonly code?: number;
  readonly channels?: number;
  readonly sampleRate?: number;
  readonly bits?: number;
  /** What the data chunk says of its length; default: the truth. */
  readonly saidBytes?: number;
  /** Stand before `fmt ` and between it and `data`. */
  readonly extra?: readonly Buffer[];
}

export function chunk(id: string, body: Uint8Array, saidBytes = body.byteLength): Buffer {
  const head = Buffer.alloc(8);
  head.write(id, 'latin1');
  head.writeUInt32LE(saidBytes, 4);
  return Buffer.concat([head, body, Buffer.alloc(body.byteLength % 2)]);
}

/** `data`: the samples as they stand in the file. */
export function wavOf(data: Uint8Array, parts: WavParts = {}): Buffer {
  const { code = 1, channels = 1, sampleRate = 16_000, bits = 16, extra = [] } = parts;
  const fmt = Buffer.alloc(16);
  fmt.writeUInt16LE(code, 0);
  fmt.writeUInt16LE(channels, 2);
  fmt.writeUInt32LE(sampleRate, 4);
  fmt.writeUInt32LE((sampleRate * channels * bits) / 8, 8);
  fmt.writeUInt16LE((channels * bits) / 8, 12);
  fmt.writeUInt16LE(bits, 14);
  const body = Buffer.concat([
    Buffer.from('WAVE'),
    ...extra,
    chunk('fmt ', fmt),
    ...extra,
    chunk('data', data, parts.saidBytes),
  ]);
  return chunk('RIFF', body);
}

/** 16-bit samples of numbers between -1 and 1. */
export function wavOfSamples(samples: ArrayLike<number>, sampleRate = 16_000): Buffer {
  const values = Int16Array.from({ length: samples.length }, (_, at) => Math.round((samples[at] ?? 0) * 32_767));
  return wavOf(new Uint8Array(values.buffer), { sampleRate });
}
