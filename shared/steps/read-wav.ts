// A WAV file (RIFF, little-endian: Microsoft's "Multiple Channel Audio Data and WAVE Files") -> samples between -1 and 1, its channels
// averaged to one. The file is untrusted: what its header says is held against the bytes that are there before anything is allocated,
// chunks that nobody knows are passed over, and what can't be told for certain is refused by name rather than guessed.
const LIMIT_CHUNKS = 1024;
const LIMIT_CHANNELS = 32;
const RATE_MIN = 1000;
const RATE_MAX = 384_000;
const FMT_BYTES = 16;
const EXTENSIBLE_BYTES = 26;
/** What a writer puts there that didn't know the length when it began (a pipe): the data goes to the end of the file. */
const UNKNOWN_LENGTH = 0xffff_ffff;
const FORMATS = {
  1: 'PCM',
  3: 'float',
  6: 'A-law',
  7: 'mu-law',
  17: 'IMA ADPCM',
  85: 'MP3',
  65534: 'extensible',
} as const;

export class WavError extends Error {
  override readonly name = 'WavError';
}

export interface Wav {
  /** Hz. */
  readonly sampleRate: number;
  readonly samples: Float32Array;
}

interface Format {
  readonly code: number;
  readonly channels: number;
  readonly sampleRate: number;
  readonly bits: number;
}

/** Reads one sample at a byte; 8 bits are unsigned, as WAV has it. */
type ReadSample = (view: DataView, at: number) => number;
const READERS: Readonly<Record<string, ReadSample>> = {
  '1/8': (view, at) => (view.getUint8(at) - 128) / 128,
  '1/16': (view, at) => view.getInt16(at, true) / 32_768,
  '1/24': (view, at) => ((view.getInt8(at + 2) << 16) | view.getUint16(at, true)) / 8_388_608,
  '1/32': (view, at) => view.getInt32(at, true) / 2_147_483_648,
  '3/32': (view, at) => view.getFloat32(at, true),
};

/** Throws WavError for what is no WAV, is cut off, or lasts longer than `maxSeconds`. */
export function readWav(bytes: Uint8Array, maxSeconds: number): Wav {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const tag = (at: number): string => String.fromCharCode(...bytes.subarray(at, at + 4));
  if (bytes.byteLength < 12 || tag(0) !== 'RIFF' || tag(8) !== 'WAVE') throw new WavError('is no WAV file');
  let format: Format | undefined;
  let at = 12; // the length that RIFF itself states is often wrong, and says nothing that the chunks don't
  for (let chunk = 0; at + 8 <= bytes.byteLength; chunk += 1) {
    if (chunk === LIMIT_CHUNKS) throw new WavError(`has more than ${LIMIT_CHUNKS} chunks`);
    const [id, size, left] = [tag(at), view.getUint32(at + 4, true), bytes.byteLength - at - 8];
    const open = id === 'data' && size === UNKNOWN_LENGTH;
    if (size > left && !open)
      throw new WavError(`is cut off: its chunk '${id.trim()}' has ${size} bytes, and ${left} are there`);
    if (id === 'fmt ') format = readFormat(view, at + 8, size);
    if (id === 'data') {
      if (format === undefined) throw new WavError("has its chunk 'data' before 'fmt'");
      return {
        sampleRate: format.sampleRate,
        samples: readSamples(view, at + 8, open ? left : size, format, maxSeconds),
      };
    }
    at += 8 + size + (size % 2);
  }
  throw new WavError(format === undefined ? "has no chunk 'fmt'" : "has no chunk 'data'");
}

function readFormat(view: DataView, at: number, size: number): Format {
  if (size < FMT_BYTES) throw new WavError(`has a chunk 'fmt' of ${size} bytes; it takes ${FMT_BYTES}`);
  let code = view.getUint16(at, true);
  if (code === 65534) {
    if (size < EXTENSIBLE_BYTES) throw new WavError(`has an extensible chunk 'fmt' of ${size} bytes`);
    code = view.getUint16(at + 24, true); // the subformat's first two bytes
  }
  const format = {
    ...{ code, channels: view.getUint16(at + 2, true), sampleRate: view.getUint32(at + 4, true) },
    bits: view.getUint16(at + 14, true),
  };
  const { channels, sampleRate, bits } = format;
  if (READERS[`${code}/${bits}`] === undefined) {
    const name = FORMATS[code as keyof typeof FORMATS] ?? `format ${code}`;
    throw new WavError(`is ${name} of ${bits} bits; PCM of 8, 16, 24 or 32 and float of 32 bits can be read`);
  }
  if (channels < 1 || channels > LIMIT_CHANNELS)
    throw new WavError(`has ${channels} channels; 1 to ${LIMIT_CHANNELS} can be read`);
  if (sampleRate < RATE_MIN || sampleRate > RATE_MAX) {
    throw new WavError(`has ${sampleRate} samples a second; ${RATE_MIN} to ${RATE_MAX} can be read`);
  }
  if (view.getUint16(at + 12, true) !== (channels * bits) / 8) {
    throw new WavError(`says that ${channels} channels of ${bits} bits take ${view.getUint16(at + 12, true)} bytes`);
  }
  return format;
}

function readSamples(view: DataView, start: number, size: number, format: Format, maxSeconds: number): Float32Array {
  const { channels, sampleRate, bits, code } = format;
  const read = READERS[`${code}/${bits}`]!;
  const [width, stride] = [bits / 8, (bits / 8) * channels];
  if (size % stride !== 0) throw new WavError(`is cut off: ${size} bytes are no whole number of samples`);
  const count = size / stride;
  if (count > maxSeconds * sampleRate) {
    throw new WavError(`lasts ${(count / sampleRate).toFixed(1)} s; at most ${maxSeconds} s are allowed`);
  }
  const samples = new Float32Array(count);
  for (let i = 0, at = start; i < count; i += 1, at += stride) {
    let sum = 0;
    for (let channel = 0; channel < channels; channel += 1) sum += read(view, at + channel * width);
    if (!Number.isFinite(sum)) throw new WavError(`has a sample that is no number, the ${i}th`);
    samples[i] = sum / channels;
  }
  return samples;
}
