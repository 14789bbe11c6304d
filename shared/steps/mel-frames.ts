// The frames of a mel spectrogram, one after another: window, transform, bands, logarithm. Work space is made once, so that a frame
// allocates nothing.
import { RealFourier } from './fourier.js';
import { melFilters, type MelFilter, type MelScale } from './mel-filters.js';

interface FrameSettings extends MelScale {
  readonly winLength: number;
  readonly hopLength: number;
  readonly window: 'hann' | 'hamming' | 'rectangular';
  readonly center: boolean;
  readonly padMode: 'reflect' | 'zeros';
  readonly power: 1 | 2;
  readonly log: 'none' | 'natural' | 'log10' | 'db' | 'whisper';
  readonly floor: number;
  readonly offset: number;
}

/** The spectrogram's values of one sound, by frame and band. */
interface FrameTarget {
  readonly values: Float32Array;
  readonly frames: number;
  /** Frames stand beside each other in a band, or bands in a frame. */
  readonly bandsFirst: boolean;
}

export class MelFrames {
  readonly #settings: FrameSettings;
  readonly #fourier: RealFourier;
  readonly #filters: readonly MelFilter[];
  readonly #window: Float64Array;
  readonly #frame: Float64Array;
  readonly #spectrum: Float64Array;

  constructor(settings: FrameSettings) {
    const { nFft } = settings;
    this.#settings = settings;
    this.#fourier = new RealFourier(nFft);
    this.#filters = melFilters(settings);
    this.#window = windowOf(settings);
    this.#frame = new Float64Array(nFft);
    this.#spectrum = new Float64Array(nFft / 2 + 1);
  }

  /** Samples that a sound must have for one frame. */
  get least(): number {
    const { center, padMode, nFft } = this.#settings;
    if (!center) return nFft;
    return padMode === 'reflect' ? nFft / 2 + 1 : 1;
  }

  /** Frames of a sound of so many samples, which are at least `least`. */
  countOf(length: number): number {
    const { center, nFft, hopLength } = this.#settings;
    return 1 + Math.floor((center ? length : length - nFft) / hopLength);
  }

  /**
   * Writes frame `at` of a sound that lasts `length` samples: those that are there, then silence. Frames from countOf(length) on are silent.
   */
  write(sound: Float32Array, length: number, at: number, target: FrameTarget): void {
    const { center, nFft, hopLength, power } = this.#settings;
    const silent = at >= this.countOf(length);
    if (!silent) {
      this.#take(sound, length, at * hopLength - (center ? nFft / 2 : 0));
      this.#fourier.power(this.#frame, this.#spectrum);
      if (power === 1)
        for (let k = 0; k < this.#spectrum.length; k += 1) this.#spectrum[k] = Math.sqrt(this.#spectrum[k]!);
    }
    const bands = this.#filters.length;
    for (let band = 0; band < bands; band += 1) {
      const { first, weights } = this.#filters[band]!;
      let sum = 0;
      if (!silent) for (let k = 0; k < weights.length; k += 1) sum += weights[k]! * this.#spectrum[first + k]!;
      target.values[target.bandsFirst ? band * target.frames + at : at * bands + band] = this.#scaled(sum);
    }
  }

  #take(sound: Float32Array, length: number, start: number): void {
    const [frame, window] = [this.#frame, this.#window];
    const there = Math.min(sound.length, length);
    if (start >= 0 && start + frame.length <= there) {
      for (let i = 0; i < frame.length; i += 1) frame[i] = sound[start + i]! * window[i]!;
      return;
    }
    const reflect = this.#settings.padMode === 'reflect';
    for (let i = 0; i < frame.length; i += 1) {
      let at = start + i;
      if (reflect) at = at < 0 ? -at : at >= length ? 2 * (length - 1) - at : at;
      frame[i] = at >= 0 && at < there ? sound[at]! * window[i]! : 0;
    }
  }

  #scaled(value: number): number {
    const { log, floor, offset, power } = this.#settings;
    if (log === 'none') return value;
    const raised = Math.max(value, floor) + offset;
    if (log === 'natural') return Math.log(raised);
    return log === 'db' ? (20 / power) * Math.log10(raised) : Math.log10(raised);
  }
}

/** Periodic, and in the middle of nFft samples. */
function windowOf({ window, winLength, nFft }: FrameSettings): Float64Array {
  const out = new Float64Array(nFft);
  const start = Math.floor((nFft - winLength) / 2);
  const [mean, swing] = { hann: [0.5, 0.5], hamming: [0.54, 0.46], rectangular: [1, 0] }[window] as [number, number];
  for (let i = 0; i < winLength; i += 1) out[start + i] = mean - swing * Math.cos((2 * Math.PI * i) / winLength);
  return out;
}
