// Encoded sound -> samples. Input BYTES [1], a WAV file; output FP32 [1, n], one channel between -1 and 1 at the rate that is asked for.
// A sound is untrusted: read-wav.ts holds its header against its bytes, and its length is bounded before anything is allocated.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { z } from 'zod';
import { decodeBytes } from '../tensor/bytes.js';
import { bytesOf, type Tensor } from '../tensor/tensor.js';
import { readWav, WavError, type Wav } from './read-wav.js';
import { makeResampler, type Resampler } from './resample.js';
import { StepError, type StepDefinition } from './step.js';
import { expectTensor, expectType, onlyInput } from './step-types.js';

export const LIMIT_SOUND_BYTES = 32 * 1024 * 1024;
/** After so many samples the event loop gets its turn: steps run in the process that answers everybody. */
const SAMPLES_A_TURN = 65_536;
/** Rates that sounds came in and whose filters are kept; callers seldom mix more. */
const LIMIT_RESAMPLERS = 8;

const STEP = 'decode-audio';

const parameters = z.strictObject({
  /** Hz of what comes out; a sound at another rate is resampled. */
  sampleRate: z.int().min(1000).max(192_000).default(16_000),
  /** A longer sound is refused. */
  maxSeconds: z.number().min(0.01).max(600).default(60),
});
type AudioParameters = z.infer<typeof parameters>;

export const decodeAudio: StepDefinition<AudioParameters> = {
  name: STEP,
  parameters,
  takesItems: true,
  prepare: (settings) => {
    const resamplers = new Map<number, Resampler>();
    return Promise.resolve({
      inferTypes: (inputs) => {
        expectType(STEP, 'BYTES', [-1], onlyInput(STEP, inputs));
        return [{ datatype: 'FP32', shape: [1, -1] }];
      },
      run: async (inputs, signal) => {
        const input = onlyInput(STEP, inputs);
        expectTensor(STEP, 'BYTES', [1], input);
        const [encoded] = decodeBytes(input.data) ?? [];
        if (encoded === undefined) throw new StepError(STEP, 'is given no element');
        return [await decode(encoded, settings, resamplers, signal)];
      },
    });
  },
};

async function decode(
  encoded: Uint8Array,
  { sampleRate, maxSeconds }: AudioParameters,
  resamplers: Map<number, Resampler>,
  signal: AbortSignal,
): Promise<Tensor> {
  if (encoded.byteLength > LIMIT_SOUND_BYTES) {
    const text = `the sound has ${encoded.byteLength} bytes; at most ${LIMIT_SOUND_BYTES} are allowed`;
    throw new StepError(STEP, text);
  }
  const wav = readOrThrow(encoded, maxSeconds);
  const same = wav.sampleRate === sampleRate;
  const samples = same
    ? wav.samples
    : await resampled(wav, resamplerOf(wav.sampleRate, sampleRate, resamplers), signal);
  return { datatype: 'FP32', shape: [1, samples.length], data: bytesOf(samples) };
}

async function resampled({ samples }: Wav, resampler: Resampler, signal: AbortSignal): Promise<Float32Array> {
  const out = new Float32Array(resampler.lengthOf(samples.length));
  for (let start = 0; start < out.length; start += SAMPLES_A_TURN) {
    if (start > 0) await nextTurn();
    signal.throwIfAborted();
    resampler.write(samples, out, start, Math.min(start + SAMPLES_A_TURN, out.length));
  }
  return out;
}

function readOrThrow(encoded: Uint8Array, maxSeconds: number): Wav {
  try {
    return readWav(encoded, maxSeconds);
  } catch (cause) {
    if (!(cause instanceof WavError)) throw cause;
    throw new StepError(STEP, `the sound ${cause.message}`, { cause });
  }
}

function resamplerOf(from: number, to: number, known: Map<number, Resampler>): Resampler {
  const resampler = known.get(from) ?? makeResampler(from, to);
  if (resampler === undefined) {
    const text = `the sound has ${from} samples a second, which is in no simple ratio to ${to}: send it at ${to}`;
    throw new StepError(STEP, text);
  }
  if (!known.has(from) && known.size >= LIMIT_RESAMPLERS) known.clear();
  known.set(from, resampler);
  return resampler;
}
