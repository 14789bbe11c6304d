// Sound for the voice detector: a WAV file (PCM, 16 bit, any rate, the first channel) as samples at 16 kHz, and the requests that
// they are cut into. Linear interpolation is enough for a detector of speech.

export const RATE = 16_000;
/** New samples of a request, and how many of the request before stand in front of them. */
export const FRAME = 512;
const CONTEXT = 64;

/** Throws where it is no such file. */
export function readWav(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const tag = (at) => String.fromCharCode(...bytes.subarray(at, at + 4));
  if (bytes.byteLength < 44 || tag(0) !== 'RIFF' || tag(8) !== 'WAVE') throw new Error('no WAV file');
  let format;
  for (let at = 12; at + 8 <= bytes.byteLength;) {
    const size = view.getUint32(at + 4, true);
    const start = at + 8;
    if (tag(at) === 'fmt ') {
      format = { kind: view.getUint16(start, true), channels: view.getUint16(start + 2, true) };
      Object.assign(format, { rate: view.getUint32(start + 4, true), bits: view.getUint16(start + 14, true) });
    }
    if (tag(at) === 'data') {
      if (format?.kind !== 1 || format.bits !== 16) throw new Error('only 16-bit PCM is read');
      // A program that writes to a pipe states no size, or too large a one.
      const end = Math.min(start + size, bytes.byteLength);
      const count = Math.floor((end - start) / (2 * format.channels));
      const samples = Float32Array.from({ length: count }, (_, i) => {
        return view.getInt16(start + 2 * format.channels * i, true) / 32_768;
      });
      return resample(samples, format.rate);
    }
    at = start + size + (size % 2);
  }
  throw new Error('a WAV file without sound');
}

function resample(samples, rate) {
  if (rate === RATE) return samples;
  const length = Math.floor((samples.length * RATE) / rate);
  return Float32Array.from({ length }, (_, i) => {
    const at = (i * rate) / RATE;
    const left = Math.floor(at);
    const [a, b] = [samples[left] ?? 0, samples[left + 1] ?? 0];
    return a + (b - a) * (at - left);
  });
}

/** What each request sends: the end of the one before, then the next samples. A rest that fills no frame is left out. */
export function* frames(samples) {
  for (let at = 0; at + FRAME <= samples.length; at += FRAME) {
    const frame = new Float32Array(CONTEXT + FRAME);
    frame.set(samples.subarray(Math.max(0, at - CONTEXT), at), at === 0 ? CONTEXT : 0);
    frame.set(samples.subarray(at, at + FRAME), CONTEXT);
    yield frame;
  }
}
