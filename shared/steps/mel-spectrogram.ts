// Samples -> the mel spectrogram that models of sound and speech take. Input FP32 [N, n], N sounds of one length; output FP32
// [N, nMels, T]. The definitions are librosa's (feature.melspectrogram, power_to_db) and torchaudio's (MelSpectrogram,
// AmplitudeToDB), and of `log: whisper` OpenAI's (whisper/audio.py); test/interop holds the step against librosa. After some frames the
// event loop gets its turn: steps run in the process that answers everybody.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { z } from 'zod';
import { bytesOf, float32Of, type Tensor } from '../tensor/tensor.js';
import { hasFourier } from './fourier.js';
import { MelFrames } from './mel-frames.js';
import { StepError, type StepDefinition } from './step.js';
import { expectTensor, expectType, onlyInput } from './step-types.js';

const STEP = 'mel-spectrogram';
/** 256 MiB of FP32. */
const LIMIT_VALUES = 64 * 1024 * 1024;
const FRAMES_A_TURN = 256;
/** Whisper keeps so many powers of ten below the loudest, and maps what is left to about -1 to 1. */
const WHISPER_RANGE = 8;

const parameters = z
  .strictObject({
    /** Hz; of the samples that come in. */
    sampleRate: z.int().min(1000).max(192_000).default(16_000),
    /** Samples of one transform: an even product of 2, 3, 5 and 7. */
    nFft: z.int().min(16).max(16_384).refine(hasFourier, 'must be an even product of 2, 3, 5 and 7').default(400),
    /** Samples of the window, which stands in the middle of the transform; default nFft. */
    winLength: z.int().min(1).max(16_384).optional(),
    /** Samples from one frame to the next. */
    hopLength: z.int().min(1).max(16_384).default(160),
    /** Periodic, as for spectra. */
    window: z.enum(['hann', 'hamming', 'rectangular']).default('hann'),
    /** Frames stand around their sample, and the ends are padded; without it the first begins with the first sample. */
    center: z.boolean().default(true),
    padMode: z.enum(['reflect', 'zeros']).default('reflect'),
    nMels: z.int().min(1).max(512).default(80),
    /** Hz. */
    fMin: z.number().min(0).default(0),
    /** Hz; default half of sampleRate. */
    fMax: z.number().positive().optional(),
    melScale: z.enum(['slaney', 'htk']).default('slaney'),
    norm: z.enum(['slaney', 'none']).default('slaney'),
    /** Of the magnitudes: 1, or 2 for the power. */
    power: z.union([z.literal(1), z.literal(2)]).default(2),
    /** `db`: 10 log10 of the power. */
    log: z.enum(['none', 'natural', 'log10', 'db', 'whisper']).default('none'),
    /** Smaller values are this one before the logarithm. */
    floor: z.number().min(0).default(1e-10),
    /** Is added before the logarithm. */
    offset: z.number().min(0).default(0),
    /** Of `db`: what is farther below a sound's loudest value is raised to there. */
    topDb: z.number().positive().optional(),
    /** The sound is cut to so many samples, or filled up with silence. */
    samples: z.int().min(1).max(16_777_216).optional(),
    /** The spectrogram is cut to so many frames, or filled up with silent ones. */
    frames: z.int().min(1).max(1_000_000).optional(),
    /** Order of the dimensions: N sounds, M bands, T frames, C one channel. */
    layout: z.enum(['NMT', 'NTM', 'NCMT', 'NCTM']).default('NMT'),
  })
  .superRefine((given, context) => {
    const refuse = (name: string, message: string): void => context.addIssue({ code: 'custom', path: [name], message });
    const { nFft, winLength, sampleRate, fMin, fMax = sampleRate / 2, log, floor, offset, topDb } = given;
    if ((winLength ?? nFft) > nFft) refuse('winLength', `must be at most nFft, ${nFft}`);
    if (fMax > sampleRate / 2) refuse('fMax', `must be at most half of sampleRate, ${sampleRate / 2}`);
    if (fMin >= fMax) refuse('fMin', `must be under fMax, ${fMax}`);
    if (log !== 'none' && floor + offset === 0) refuse('floor', 'must be over 0, or offset: silence has no logarithm');
    if (topDb !== undefined && log !== 'db') refuse('topDb', 'goes with log: db');
  });
type MelParameters = z.infer<typeof parameters>;

export const melSpectrogram: StepDefinition<MelParameters> = {
  name: STEP,
  parameters,
  prepare: async (settings) => {
    const { sampleRate, nFft, winLength = nFft, fMax = sampleRate / 2 } = settings;
    const mel = new MelFrames({ ...settings, winLength, fMax });
    return {
      inferTypes: (inputs) => {
        const input = onlyInput(STEP, inputs);
        expectType(STEP, 'FP32', [-1, -1], input);
        const [rows = -1, given = -1] = input.shape;
        const samples = settings.samples ?? given;
        const frames = samples < 0 ? undefined : countOf(mel, samples);
        return [{ datatype: 'FP32', shape: shapeOf(settings, rows, settings.frames ?? frames ?? -1) }];
      },
      run: (inputs, signal) => {
        const input = onlyInput(STEP, inputs);
        expectTensor(STEP, 'FP32', [-1, -1], input);
        return spectrogram(input, settings, mel, signal);
      },
    };
  },
};

async function spectrogram(
  input: Tensor,
  settings: MelParameters,
  mel: MelFrames,
  signal: AbortSignal,
): Promise<Tensor[]> {
  const [rows = 0, given = 0] = input.shape;
  const { nMels, layout, samples: length = given } = settings;
  const count = countOf(mel, length);
  const frames = settings.frames ?? count;
  const size = frames * nMels;
  if (rows * size > LIMIT_VALUES) {
    throw new StepError(STEP, `would make ${rows} x ${nMels} x ${frames} values; at most ${LIMIT_VALUES} are allowed`);
  }
  const samples = float32Of(input);
  const out = new Float32Array(rows * size);
  for (let row = 0; row < rows; row += 1) {
    const sound = samples.subarray(row * given, (row + 1) * given);
    const values = out.subarray(row * size, (row + 1) * size);
    const target = { values, frames, bandsFirst: layout.endsWith('MT') };
    for (let at = 0; at < frames; at += 1) {
      if (at % FRAMES_A_TURN === FRAMES_A_TURN - 1) await nextTurn();
      signal.throwIfAborted();
      mel.write(sound, length, at, target);
    }
    raise(values, settings);
  }
  return [{ datatype: 'FP32', shape: shapeOf(settings, rows, frames), data: bytesOf(out) }];
}

/** Throws StepError for a sound too short for one frame. */
function countOf(mel: MelFrames, samples: number): number {
  if (samples >= mel.least) return mel.countOf(samples);
  throw new StepError(STEP, `is given ${samples} samples; it takes at least ${mel.least} (or with.samples)`);
}

/** What stands too far below the loudest value of a sound, in place. */
function raise(values: Float32Array, { log, topDb }: MelParameters): void {
  if (log !== 'whisper' && topDb === undefined) return;
  let loudest = -Infinity;
  for (let i = 0; i < values.length; i += 1) loudest = Math.max(loudest, values[i]!);
  const least = loudest - (topDb ?? WHISPER_RANGE);
  for (let i = 0; i < values.length; i += 1) {
    const raised = Math.max(values[i]!, least);
    values[i] = log === 'whisper' ? (raised + 4) / 4 : raised;
  }
}

function shapeOf({ layout, nMels }: MelParameters, rows: number, frames: number): number[] {
  const sizes = { N: rows, M: nMels, T: frames, C: 1 };
  return [...layout].map((axis) => sizes[axis as keyof typeof sizes]);
}
