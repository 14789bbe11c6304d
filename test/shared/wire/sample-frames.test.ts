import {
  decodeFrames,
  encodeFrames,
  frameBytes,
  LIMIT_FRAMES,
  type SampleFrame,
} from '@tidegate/shared/wire/sample-frames.js';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

const frames: fc.Arbitrary<SampleFrame[]> = fc.array(
  fc.record({ label: fc.string({ unit: 'grapheme', maxLength: 40 }), body: fc.uint8Array({ maxLength: 60 }) }),
  { minLength: 1, maxLength: 8 },
);

describe('frames', () => {
  test('come back as they were sent, and have the size that was counted', () => {
    fc.assert(
      fc.property(frames, (sent) => {
        const bytes = encodeFrames(sent);
        expect(bytes.byteLength).toBe(sent.reduce((sum, frame) => sum + frameBytes(frame), 0));
        const came = decodeFrames(bytes);
        expect(came.map(({ label, body }) => [label, [...body]])).toEqual(
          sent.map(({ label, body }) => [label, [...body]]),
        );
      }),
    );
  });

  test('that are cut off at any place are refused, unless just there a frame ends', () => {
    fc.assert(
      fc.property(frames, fc.nat(), (sent, at) => {
        const bytes = encodeFrames(sent);
        const cut = bytes.subarray(0, at % bytes.byteLength);
        const ends = sent.map((_, i) => encodeFrames(sent.slice(0, i + 1)).byteLength);
        if (ends.includes(cut.byteLength)) expect(decodeFrames(cut).length).toBe(ends.indexOf(cut.byteLength) + 1);
        else expect(() => decodeFrames(cut)).toThrow('body: ');
      }),
    );
  });

  test('that are too many, too large or no text are refused', () => {
    const frame = { label: 'x', body: new Uint8Array(1) };
    expect(decodeFrames(encodeFrames(Array.from({ length: LIMIT_FRAMES }, () => frame))).length).toBe(LIMIT_FRAMES);
    expect(() => decodeFrames(encodeFrames(Array.from({ length: LIMIT_FRAMES + 1 }, () => frame)))).toThrow(
      'more than 256',
    );
    expect(() => decodeFrames(encodeFrames([{ label: 'x'.repeat(4001), body: frame.body }]))).toThrow(
      'its label has 4001 bytes',
    );
    const noText = Buffer.from(encodeFrames([frame])).fill(0xff, 4, 5);
    expect(() => decodeFrames(noText)).toThrow('label: of frame 0 is not UTF-8');
  });
});
