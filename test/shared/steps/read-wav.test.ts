import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readWav, WavError } from '@tidegate/shared/steps/read-wav.js';
import { chunk, wavOf } from '../../support/wav-of.js';

const little = (write: (view: DataView) => void, bytes: number): Uint8Array => {
  const view = new DataView(new ArrayBuffer(bytes));
  write(view);
  return new Uint8Array(view.buffer);
};
const pcm16 = (...values: number[]): Uint8Array => new Uint8Array(Int16Array.from(values).buffer);

describe('readWav', () => {
  it.each([
    ['8 bits, unsigned', { bits: 8 }, Uint8Array.of(0, 128, 255), [-1, 0, 127 / 128]],
    ['16 bits', { bits: 16 }, pcm16(-32768, 0, 16384), [-1, 0, 0.5]],
    ['24 bits', { bits: 24 }, Uint8Array.of(0, 0, 0x80, 0, 0, 0x40, 0xff, 0xff, 0xff), [-1, 0.5, -1 / 8388608]],
    ['32 bits', { bits: 32 }, new Uint8Array(Int32Array.of(-(2 ** 31), 2 ** 30).buffer), [-1, 0.5]],
    ['float', { bits: 32, code: 3 }, new Uint8Array(Float32Array.of(-1, 0.25).buffer), [-1, 0.25]],
    ['two channels, averaged', { channels: 2 }, pcm16(16384, 0, -16384, 16384), [0.25, 0]],
    ['no sample', {}, pcm16(), []],
  ])('reads %s', (_, parts, data, expected) => {
    const { sampleRate, samples } = readWav(wavOf(data, { ...parts, sampleRate: 8000 }), 1);
    expect(sampleRate).toBe(8000);
    expect([...samples]).toEqual(expected);
  });

  it('reads the extensible form, passes over chunks that it does not know, and takes an open end', () => {
    const fmt = little((view) => {
      for (const [at, value] of [0xfffe, 1, 16_000, 0, 32_000, 0, 2, 16, 22, 16, 4, 0, 1].entries())
        view.setUint16(at * 2, value, true);
    }, 40);
    const file = (data: Buffer): Buffer =>
      chunk('RIFF', Buffer.concat([Buffer.from('WAVE'), chunk('fmt ', fmt), data]));
    expect([...readWav(file(chunk('data', pcm16(16384))), 1).samples]).toEqual([0.5]);
    const extra = [chunk('LIST', Buffer.from('odd')), chunk('bext', Buffer.alloc(0))];
    expect([...readWav(wavOf(pcm16(8192), { extra }), 1).samples]).toEqual([0.25]);
    expect([...readWav(wavOf(pcm16(1, 2), { saidBytes: 0xffff_ffff }), 1).samples]).toHaveLength(2);
  });

  it.each([
    ['nothing', new Uint8Array(), /no WAV/],
    ['a picture', Buffer.from('RIFF....WEBPVP8 ........'), /no WAV/],
    [
      'a data chunk that says more than is there',
      wavOf(pcm16(1), { saidBytes: 4_000_000_000 }),
      /'data' has 4000000000 bytes, and 2 are/,
    ],
    [
      'an unknown chunk that says more than is there',
      wavOf(pcm16(1), { extra: [chunk('LIST', pcm16(), 1e9)] }),
      /'LIST' has 1000000000 bytes/,
    ],
    ['half a sample', wavOf(Uint8Array.of(1, 2, 3)), /3 bytes are no whole number of samples/],
    ['mu-law', wavOf(pcm16(1), { code: 7, bits: 8 }), /mu-law of 8 bits/],
    ['12 bits', wavOf(pcm16(1), { bits: 12 }), /PCM of 12 bits/],
    ['no channel', wavOf(pcm16(1), { channels: 0 }), /0 channels/],
    ['a thousand channels', wavOf(pcm16(1), { channels: 1000 }), /1000 channels/],
    ['a rate of 0', wavOf(pcm16(1), { sampleRate: 0 }), /0 samples a second/],
    ['too long a sound', wavOf(new Uint8Array(2 * 16_001)), /lasts 1\.0 s; at most 1 s/],
    [
      'a sample that is no number',
      wavOf(new Uint8Array(Float32Array.of(0, NaN).buffer), { code: 3, bits: 32 }),
      /no number, the 1th/,
    ],
    [
      'samples before their format',
      chunk('RIFF', Buffer.concat([Buffer.from('WAVE'), chunk('data', pcm16(1))])),
      /before 'fmt'/,
    ],
    [
      'a short format',
      chunk('RIFF', Buffer.concat([Buffer.from('WAVE'), chunk('fmt ', Buffer.alloc(8))])),
      /'fmt' of 8 bytes/,
    ],
    ['no samples at all', chunk('RIFF', Buffer.from('WAVE')), /no chunk 'fmt'/],
    [
      'ten thousand chunks',
      chunk('RIFF', Buffer.concat([Buffer.from('WAVE'), Buffer.alloc(80_000)])),
      /more than 1024 chunks/,
    ],
  ])('refuses %s', (_, bytes, message) => {
    expect(() => readWav(bytes, 1)).toThrow(message);
    expect(() => readWav(bytes, 1)).toThrow(WavError);
  });

  it('reads or refuses whatever it is given, and never makes more samples than there are bytes', () => {
    const whole = wavOf(new Uint8Array(400), { extra: [chunk('LIST', Buffer.from('abc'))] });
    const mutated = fc.array(fc.tuple(fc.nat(whole.byteLength - 1), fc.nat(255)), { maxLength: 12 }).chain((changes) =>
      fc.nat(whole.byteLength).map((end) => {
        const bytes = Buffer.from(whole);
        for (const [at, value] of changes) bytes[at] = value;
        return bytes.subarray(0, end);
      }),
    );
    fc.assert(
      fc.property(mutated, (bytes) => {
        try {
          expect(readWav(bytes, 1).samples.length).toBeLessThanOrEqual(bytes.byteLength);
        } catch (cause) {
          expect(cause).toBeInstanceOf(WavError);
        }
      }),
      { numRuns: 2000 },
    );
  });
});
