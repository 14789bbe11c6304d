// Samples at one rate -> samples at another: a sinc under a Hann window, for each of the few phases that two rates have between them.
// The definition is torchaudio's (functional.resample, `sinc_interp_hann`, lowpass_filter_width 6, rolloff 0.99), so that a model
// that was trained behind it hears what it knows; SciPy's and librosa's filters differ a little.
const HALF_WIDTH = 6;
const ROLLOFF = 0.99;
/** Rates without a large common divisor (44101 and 16000) would need a filter for each sample of a second. */
const LIMIT_PHASES = 1024;

export interface Resampler {
  /** How many samples come of so many. */
  lengthOf(length: number): number;
  /** Writes the samples from `start` to before `end`. */
  write(samples: Float32Array, out: Float32Array, start: number, end: number): void;
}

/** Undefined where the two rates, in Hz, are in no simple ratio. */
export function makeResampler(from: number, to: number): Resampler | undefined {
  const divisor = greatestCommonDivisor(from, to);
  const [step, phases] = [from / divisor, to / divisor];
  if (phases > LIMIT_PHASES || step > LIMIT_PHASES) return undefined;
  const filters = Array.from({ length: phases }, (_, phase) => filterOf(phase, phases, step));
  return {
    lengthOf: (length) => Math.ceil((length * phases) / step),
    write: (samples, out, start, end) => {
      for (let i = start; i < end; i += 1) {
        const { first, taps } = filters[i % phases]!;
        const from = Math.floor(i / phases) * step + first;
        const last = Math.min(taps.length, samples.length - from);
        let sum = 0;
        for (let tap = Math.max(0, -from); tap < last; tap += 1) sum += taps[tap]! * samples[from + tap]!;
        out[i] = sum;
      }
    },
  };
}

/** The part of one phase's filter that isn't 0, and the sample that its first tap takes. */
function filterOf(phase: number, phases: number, step: number): { first: number; taps: Float32Array } {
  const cutoff = Math.min(step, phases) * ROLLOFF; // in units of the common divisor's rate
  const reach = (HALF_WIDTH * step) / cutoff;
  const centre = (phase * step) / phases;
  const first = Math.ceil(centre - reach);
  const taps = new Float32Array(Math.floor(centre + reach) - first + 1);
  for (let tap = 0; tap < taps.length; tap += 1) {
    const t = ((first + tap - centre) * cutoff) / step; // in zero crossings
    const window = Math.cos((t * Math.PI) / HALF_WIDTH / 2) ** 2;
    const sinc = t === 0 ? 1 : Math.sin(Math.PI * t) / (Math.PI * t);
    taps[tap] = (sinc * window * cutoff) / step;
  }
  return { first, taps };
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}
