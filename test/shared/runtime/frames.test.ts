import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  blobsOf,
  encodeFrame,
  FrameError,
  FrameReader,
  MAX_FRAME_BYTES,
  MAX_HEADER_BYTES,
  type Frame,
} from '@tidegate/shared/runtime/frames.js';

const joined = (chunks: readonly Uint8Array[]): Buffer => Buffer.concat(chunks);
const prefix = (bodyBytes: number, headerBytes: number): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32LE(bodyBytes, 0);
  bytes.writeUInt32LE(headerBytes, 4);
  return bytes;
};

describe('frames', () => {
  it('survive any cut of the stream, several at a time, with every blob where it was', () => {
    const message = fc.record({
      header: fc.dictionary(fc.string(), fc.jsonValue()),
      blobs: fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 4 }),
    });
    fc.assert(
      fc.property(
        fc.array(message, { minLength: 1, maxLength: 5 }),
        fc.array(fc.nat({ max: 400 })),
        (messages, cuts) => {
          const stream = joined(messages.flatMap(({ header, blobs }) => encodeFrame(header, blobs)));
          const reader = new FrameReader();
          const frames: Frame[] = [];
          let at = 0;
          for (const cut of cuts) {
            frames.push(...reader.push(stream.subarray(at, at + cut)));
            at = Math.min(at + cut, stream.byteLength);
          }
          frames.push(...reader.push(stream.subarray(at)));
          expect(reader.idle).toBe(true);
          expect(frames.map((frame) => frame.header)).toEqual(
            messages.map(({ header }) => JSON.parse(JSON.stringify(header))),
          );
          frames.forEach((frame, i) => {
            const { blobs } = messages[i]!;
            expect(
              blobsOf(
                frame,
                blobs.map((blob) => blob.byteLength),
              ).map((blob) => Buffer.from(blob)),
            ).toEqual(blobs.map((blob) => Buffer.from(blob)));
          });
        },
      ),
    );
  });

  it('keep frames apart from the memory that they were read into', () => {
    const reader = new FrameReader();
    const [first] = reader.push(joined(encodeFrame({ n: 1 }, [Uint8Array.of(1, 2, 3)])));
    reader.push(joined(encodeFrame({ n: 2 }, [Uint8Array.of(9, 9, 9)])));
    expect(blobsOf(first!, [3])).toEqual([Buffer.of(1, 2, 3)]);
  });

  it('align every blob to 64 bytes, so that kernels can read it in place', () => {
    const [frame] = new FrameReader().push(
      joined(encodeFrame({ a: 'x' }, [new Uint8Array(3), new Uint8Array(70), new Uint8Array(1)])),
    );
    const offsets = blobsOf(frame!, [3, 70, 1]).map((blob) => blob.byteOffset - frame!.body.byteOffset);
    expect(offsets.map((offset) => offset % 64)).toEqual([0, 0, 0]);
  });

  it('let a large frame be read straight into its own memory', () => {
    const blob = new Uint8Array(200_000).fill(7);
    const stream = joined(encodeFrame({}, [blob]));
    const reader = new FrameReader();
    const frames: Frame[] = [];
    let at = 0;
    let reads = 0;
    while (at < stream.byteLength) {
      const space = reader.space();
      const count = stream.copy(space, 0, at, at + space.byteLength);
      frames.push(...reader.filled(count));
      at += count;
      reads += 1;
    }
    expect(reads).toBe(2); // the inbox once, then the rest at one go
    expect(Buffer.compare(blobsOf(frames[0]!, [blob.byteLength])[0]!, blob)).toBe(0);
  });

  it.each<[string, Uint8Array, RegExp]>([
    ['a frame beyond the limit', prefix(MAX_FRAME_BYTES + 1, 2), /frame of \d+ bytes, limit/],
    ['a header beyond the frame', prefix(10, 11), /header of 11 bytes in a frame of 10/],
    ['a header beyond the limit', prefix(MAX_HEADER_BYTES * 2, MAX_HEADER_BYTES + 1), /header of/],
    ['a header that is no JSON', Buffer.concat([prefix(3, 3), Buffer.from('{x}')]), /not JSON/],
  ])('are refused: %s', (_, bytes, message) => {
    expect(() => new FrameReader().push(bytes)).toThrow(message);
  });

  it('never take memory before the length is checked, and throw nothing but FrameError on noise', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (noise) => {
        noise.fill(0xff, 3, 4); // a length beyond the limit
        if (noise.byteLength >= 8) expect(() => new FrameReader().push(noise)).toThrow(FrameError);
      }),
    );
  });

  it.each([
    ['past the end', [4]],
    ['short of the end', [2]],
    ['negative', [-1]],
    ['fractional', [1.5]],
  ])('refuse blob sizes that are %s', (_, sizes) => {
    const [frame] = new FrameReader().push(joined(encodeFrame({}, [Uint8Array.of(1, 2, 3)])));
    expect(() => blobsOf(frame!, sizes)).toThrow(FrameError);
  });
});
