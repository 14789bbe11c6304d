// The triangular filters that turn a power spectrum into mel bands, as librosa (filters.mel) and torchaudio (functional.melscale_fbanks)
// define them, with both of the field's mel scales: HTK's 2595 log10(1 + f / 700), and Slaney's, linear up to 1000 Hz.

export interface MelScale {
  readonly sampleRate: number;
  readonly nFft: number;
  readonly nMels: number;
  readonly fMin: number;
  readonly fMax: number;
  readonly melScale: 'slaney' | 'htk';
  /** `slaney`: each filter has the area 1; `none`: its peak is 1. */
  readonly norm: 'slaney' | 'none';
}

/** A band's weights, where they aren't 0. */
export interface MelFilter {
  /** The frequency that the first weight is for, by number. */
  readonly first: number;
  readonly weights: Float64Array;
}

const SLANEY_LINEAR_HZ = 200 / 3;
const SLANEY_BREAK_HZ = 1000;
const SLANEY_BREAK_MEL = SLANEY_BREAK_HZ / SLANEY_LINEAR_HZ;
const SLANEY_LOG_STEP = Math.log(6.4) / 27;

/** One for each band, low ones first; a band narrower than a frequency's width may have no weights. */
export function melFilters({ sampleRate, nFft, nMels, fMin, fMax, melScale, norm }: MelScale): MelFilter[] {
  const [low, high] = [toMel(fMin, melScale), toMel(fMax, melScale)];
  const edges = Array.from({ length: nMels + 2 }, (_, at) => toHz(low + ((high - low) * at) / (nMels + 1), melScale));
  const frequencies = Array.from({ length: nFft / 2 + 1 }, (_, at) => (at * sampleRate) / nFft);
  return Array.from({ length: nMels }, (_, band) => {
    const [left, middle, right] = [edges[band]!, edges[band + 1]!, edges[band + 2]!];
    const scale = norm === 'slaney' ? 2 / (right - left) : 1;
    const all = frequencies.map((hz) =>
      Math.max(0, Math.min((hz - left) / (middle - left), (right - hz) / (right - middle))),
    );
    const first = all.findIndex((weight) => weight > 0);
    const end = all.findLastIndex((weight) => weight > 0) + 1;
    return {
      first: Math.max(first, 0),
      weights: Float64Array.from(all.slice(Math.max(first, 0), end), (one) => one * scale),
    };
  });
}

function toMel(hz: number, scale: MelScale['melScale']): number {
  if (scale === 'htk') return 2595 * Math.log10(1 + hz / 700);
  if (hz < SLANEY_BREAK_HZ) return hz / SLANEY_LINEAR_HZ;
  return SLANEY_BREAK_MEL + Math.log(hz / SLANEY_BREAK_HZ) / SLANEY_LOG_STEP;
}

function toHz(mel: number, scale: MelScale['melScale']): number {
  if (scale === 'htk') return 700 * (10 ** (mel / 2595) - 1);
  if (mel < SLANEY_BREAK_MEL) return mel * SLANEY_LINEAR_HZ;
  return SLANEY_BREAK_HZ * Math.exp(SLANEY_LOG_STEP * (mel - SLANEY_BREAK_MEL));
}
