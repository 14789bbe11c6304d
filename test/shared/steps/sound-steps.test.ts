// From a sound to what a model hears: decode-audio and mel-spectrogram, equal to librosa, torchaudio and Whisper.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { LIMIT_SOUND_BYTES } from '@tidegate/shared/steps/decode-audio.js';
import { findStep } from '@tidegate/shared/steps/step-catalogue.js';
import type { PreparedStep, ValueType } from '@tidegate/shared/steps/step.js';
import { encodeBytes } from '@tidegate/shared/tensor/bytes.js';
import { bytesOf, float32Of, type Tensor } from '@tidegate/shared/tensor/tensor.js';
import { wavOf, wavOfSamples } from '../../support/wav-of.js';
import { xorshiftPixels } from '../../support/xorshift-pixels.js';

interface Expected {
  readonly spectrograms: readonly {
    readonly name: string;
    readonly seed: number;
    readonly samples: number;
    readonly parameters: object;
    readonly shape: readonly number[];
    readonly values: string;
  }[];
  readonly resampled: readonly {
    readonly seed: number;
    readonly samples: number;
    readonly from: number;
    readonly to: number;
    readonly values: string;
  }[];
}
const fixture = new URL('../../fixtures/mel-spectrogram/expected.json', import.meta.url);
const expected = JSON.parse(readFileSync(fixture, 'utf8')) as Expected;

const signal = new AbortController().signal;
const noAssets = { read: () => Promise.reject(new Error('no assets')) };
const prepare = (name: string, parameters: object = {}): Promise<PreparedStep> =>
  findStep(name).prepare(parameters, noAssets);
const run = async (name: string, parameters: object, input: Tensor): Promise<Tensor> => {
  const [out] = await (await prepare(name, parameters)).run([input], signal);
  if (out === undefined) throw new Error('no output');
  return out;
};
const soundOf = (seed: number, count: number): Float32Array =>
  Float32Array.from(xorshiftPixels(seed, count), (value) => (value - 128) / 128);
const samplesOf = (values: Float32Array, rows = 1): Tensor => ({
  datatype: 'FP32',
  shape: [rows, values.length / rows],
  data: bytesOf(values),
});
const fileOf = (file: Uint8Array): Tensor => ({ datatype: 'BYTES', shape: [1], data: encodeBytes([file]) });
const numbersOf = (base64: string): Float32Array =>
  new Float32Array(new Uint8Array(Buffer.from(base64, 'base64')).buffer);
const largestError = (actual: Float32Array, wanted: Float32Array): number => {
  expect(actual.length).toBe(wanted.length);
  return actual.reduce(
    (most, value, at) => Math.max(most, Math.abs(value - wanted[at]!) / Math.max(1, Math.abs(wanted[at]!))),
    0,
  );
};

describe('mel-spectrogram', () => {
  it.each(expected.spectrograms)(
    'is equal to the reference: $name',
    async ({ seed, samples, parameters, shape, values }) => {
      const out = await run('mel-spectrogram', parameters, samplesOf(soundOf(seed, samples)));
      expect(out.shape).toEqual([1, ...shape]);
      expect(largestError(float32Of(out), numbersOf(values))).toBeLessThan(1e-4);
    },
  );

  it('takes several sounds of one length, each by itself', async () => {
    const [one, two] = [soundOf(1, 2000), soundOf(2, 2000).map((value) => value / 100)];
    const parameters = { nMels: 8, log: 'whisper', layout: 'NCTM' };
    const both = await run('mel-spectrogram', parameters, samplesOf(Float32Array.from([...one, ...two]), 2));
    const alone = await Promise.all([one, two].map((sound) => run('mel-spectrogram', parameters, samplesOf(sound))));
    expect(both.shape).toEqual([2, 1, 13, 8]);
    expect(Buffer.from(both.data)).toEqual(Buffer.concat(alone.map(({ data }) => data)));
  });

  it('keeps sounds apart that are made at one time', async () => {
    const step = await prepare('mel-spectrogram', { nMels: 8, log: 'natural' });
    const inputs = [1, 2].map((seed) => samplesOf(soundOf(seed, 80_000))); // 500 frames: the event loop has turns between
    const together = await Promise.all(inputs.map((input) => step.run([input], signal)));
    for (const [at, input] of inputs.entries()) expect(await step.run([input], signal)).toEqual(together[at]);
  });

  it('fills up with silence, and cuts', async () => {
    const parameters = { nMels: 4, nFft: 64, hopLength: 32, log: 'log10', floor: 1e-5 };
    const sound = soundOf(3, 320);
    const whole = await run('mel-spectrogram', { ...parameters, layout: 'NTM' }, samplesOf(sound));
    expect(whole.shape).toEqual([1, 11, 4]);
    const longer = await run('mel-spectrogram', { ...parameters, layout: 'NTM', frames: 12 }, samplesOf(sound));
    expect([...float32Of(longer)]).toEqual([...float32Of(whole), -5, -5, -5, -5]);
    const cut = await run('mel-spectrogram', { ...parameters, frames: 2, samples: 64 }, samplesOf(sound));
    const first = await run('mel-spectrogram', parameters, samplesOf(sound.slice(0, 64)));
    expect(first.shape).toEqual([1, 4, 3]);
    expect(float32Of(cut)[0]).toBe(float32Of(first)[0]);
    const silence = await run('mel-spectrogram', { ...parameters, samples: 640 }, samplesOf(new Float32Array()));
    expect(float32Of(silence).every((value) => value === -5)).toBe(true);
  });

  it('knows its frames where the samples are known', async () => {
    const typeOf = async (parameters: object, shape: number[]): Promise<ValueType | undefined> =>
      (await prepare('mel-spectrogram', parameters)).inferTypes([{ datatype: 'FP32', shape }])[0];
    expect(await typeOf({}, [1, -1])).toEqual({ datatype: 'FP32', shape: [1, 80, -1] });
    expect(await typeOf({}, [-1, 16_000])).toEqual({ datatype: 'FP32', shape: [-1, 80, 101] });
    expect(await typeOf({ samples: 480_000, frames: 3000, layout: 'NCMT' }, [1, -1])).toMatchObject({
      shape: [1, 1, 80, 3000],
    });
    await expect(typeOf({}, [1, 100])).rejects.toThrow(
      'step mel-spectrogram: is given 100 samples; it takes at least 201',
    );
    await expect(typeOf({}, [16_000])).rejects.toThrow(/takes FP32 \[-1, -1\], but is given FP32 \[16000\]/);
  });

  it.each([
    [{ nFft: 402 }, /with\.nFft: must be an even product of 2, 3, 5 and 7/],
    [{ nFft: 1_000_000 }, /with\.nFft: /],
    [{ winLength: 512 }, /with\.winLength: must be at most nFft, 400/],
    [{ fMax: 8001 }, /with\.fMax: must be at most half of sampleRate, 8000/],
    [{ fMin: 300, fMax: 200 }, /with\.fMin: must be under fMax, 200/],
    [{ log: 'natural', floor: 0 }, /with\.floor: must be over 0/],
    [{ topDb: 80 }, /with\.topDb: goes with log: db/],
    [{ n_mels: 80 }, /with\.n_mels: is not a parameter/],
  ])('refuses %o', async (parameters, message) => {
    await expect(prepare('mel-spectrogram', parameters)).rejects.toThrow(message);
  });

  it('refuses what is too short or would be too much, and stops when nobody waits', async () => {
    await expect(run('mel-spectrogram', {}, samplesOf(soundOf(1, 200)))).rejects.toThrow(
      /200 samples; it takes at least 201/,
    );
    const dense = { hopLength: 1, nMels: 512 };
    await expect(run('mel-spectrogram', dense, samplesOf(new Float32Array(200_000)))).rejects.toThrow(
      /at most 67108864/,
    );
    const step = await prepare('mel-spectrogram', {});
    await expect(step.run([samplesOf(soundOf(1, 9000))], AbortSignal.abort(new Error('gone')))).rejects.toThrow('gone');
  });
});

describe('decode-audio', () => {
  it.each(expected.resampled)(
    'resamples from $from to $to Hz as torchaudio does',
    async ({ seed, samples, from, to, values }) => {
      const float = wavOf(bytesOf(soundOf(seed, samples)), { code: 3, bits: 32, sampleRate: from });
      const out = await run('decode-audio', { sampleRate: to }, fileOf(float));
      expect(out).toMatchObject({ datatype: 'FP32', shape: [1, Math.ceil((samples * to) / from)] });
      expect(largestError(float32Of(out), numbersOf(values))).toBeLessThan(1e-5);
    },
  );

  it('leaves a sound as it is at its own rate, however long', async () => {
    const sound = Float32Array.from({ length: 100_000 }, (_, at) => Math.round(Math.sin(at / 9) * 1000) / 32_767);
    const out = await run('decode-audio', {}, fileOf(wavOfSamples(sound)));
    expect(
      largestError(
        float32Of(out),
        sound.map((value) => (value * 32_767) / 32_768),
      ),
    ).toBeLessThan(1e-7);
    const doubled = await run('decode-audio', { sampleRate: 32_000 }, fileOf(wavOfSamples(sound)));
    expect(doubled.shape).toEqual([1, 200_000]);
    expect(float32Of(doubled)[100_000]).toBeCloseTo(float32Of(out)[50_000]!, 4);
  });

  it('says its type: one sound, however long', async () => {
    const step = await prepare('decode-audio');
    expect(step.inferTypes([{ datatype: 'BYTES', shape: [-1] }])).toEqual([{ datatype: 'FP32', shape: [1, -1] }]);
    expect(() => step.inferTypes([{ datatype: 'FP32', shape: [-1] }])).toThrow(/takes BYTES \[-1\]/);
  });

  it.each([
    ['no WAV', Buffer.from('ID3 music'), /step decode-audio: the sound is no WAV file/],
    ['too long a sound', wavOf(new Uint8Array(32_000 * 2)), /lasts 2\.0 s; at most 1 s/],
    ['too many bytes', new Uint8Array(LIMIT_SOUND_BYTES + 1), /at most 33554432/],
    [
      'a rate that fits no filter',
      wavOf(new Uint8Array(8), { sampleRate: 44_101 }),
      /44101 samples a second, which is in no simple ratio to 16000/,
    ],
  ])('refuses %s', async (_, file, message) => {
    await expect(run('decode-audio', { maxSeconds: 1 }, fileOf(file))).rejects.toThrow(message);
  });
});
