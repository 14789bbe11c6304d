// Pictures of inputs, read back by the real decoder.
import { samplePicture } from '@tidegate/cloud-hub/data/sample-picture.js';
import { decodeImage } from '@tidegate/shared/steps/decode-image.js';
import { encodeBytes } from '@tidegate/shared/tensor/bytes.js';
import type { Datatype } from '@tidegate/shared/tensor/datatype.js';
import { bytesOf, tensor, type NamedTensor } from '@tidegate/shared/tensor/tensor.js';
import { describe, expect, test } from 'vitest';
import { pngOf } from '../../support/png-bomb.js';

const never = new AbortController().signal;
const floats = (shape: number[], of: (at: number) => number): NamedTensor => {
  const count = shape.reduce((a, b) => a * b, 1);
  return tensor('x', 'FP32', shape, bytesOf(Float32Array.from({ length: count }, (_, i) => of(i))));
};
const levels = (shape: number[], of: (at: number) => number): NamedTensor => {
  const count = shape.reduce((a, b) => a * b, 1);
  return tensor(
    'x',
    'UINT8',
    shape,
    Uint8Array.from({ length: count }, (_, i) => of(i)),
  );
};

/** [height, width] and the RGB levels. */
async function decoded(inputs: readonly NamedTensor[]): Promise<{ size: number[]; rgb: Uint8Array }> {
  const picture = await samplePicture(inputs);
  expect(picture?.type).toBe('image/png');
  const step = await decodeImage.prepare(decodeImage.parameters.parse({ channels: 'rgb' }), {} as never);
  const encoded = { datatype: 'BYTES', shape: [1], data: encodeBytes([picture?.bytes ?? new Uint8Array()]) } as const;
  const [pixels] = await step.run([encoded], never);
  return { size: pixels?.shape.slice(1, 3) as number[], rgb: pixels?.data ?? new Uint8Array() };
}
const reds = ({ rgb }: { rgb: Uint8Array }): number[] => [...rgb].filter((_, i) => i % 3 === 0);

describe('pixels', () => {
  test.each([
    ['[H, W]', [4, 5]],
    ['[1, H, W]', [1, 4, 5]],
    ['[1, 1, H, W]', [1, 1, 4, 5]],
    ['[1, H, W, 1]', [1, 4, 5, 1]],
    ['[1, 1, 1, H, W]', [1, 1, 1, 4, 5]],
  ])('%s are a grey picture', async (_what, shape) => {
    const picture = await decoded([levels(shape, (at) => at * 10)]);
    expect(picture.size).toEqual([4, 5]);
    expect(reds(picture)).toEqual(Array.from({ length: 20 }, (_, i) => i * 10));
  });

  test('[3, H, W] and [H, W, 3] are the same coloured picture, and a fourth channel is opacity', async () => {
    const value = (c: number, at: number) => c * 80 + at;
    const planar = await decoded([levels([1, 3, 4, 6], (i) => value(Math.floor(i / 24), i % 24))]);
    const interleaved = await decoded([levels([4, 6, 3], (i) => value(i % 3, Math.floor(i / 3)))]);
    expect(planar.size).toEqual([4, 6]);
    expect([...planar.rgb]).toEqual([...interleaved.rgb]);
    expect([...planar.rgb.slice(0, 6)]).toEqual([0, 80, 160, 1, 81, 161]);
    const clear = await decoded([levels([4, 6, 4], (i) => (i % 4 === 3 ? 0 : 7))]);
    expect([...clear.rgb.slice(0, 3)]).toEqual([255, 255, 255]); // laid on white
  });

  test('within 0..1 are scaled, within 0..255 taken, others stretched; what is no number is black', async () => {
    expect(reds(await decoded([floats([4, 4], (i) => i / 15)])).at(-1)).toBe(255);
    expect(reds(await decoded([floats([4, 4], (i) => (i === 0 ? 0.5 : 0))]))[0]).toBe(128);
    expect(reds(await decoded([floats([4, 4], (i) => i * 2)]))).toEqual(Array.from({ length: 16 }, (_, i) => i * 2));
    const stretched = reds(
      await decoded([floats([4, 4], (i) => [-2, 2, Number.NaN, Number.POSITIVE_INFINITY][i] ?? 0)]),
    );
    expect(stretched.slice(0, 5)).toEqual([0, 255, 0, 0, 128]);
    expect(reds(await decoded([floats([4, 4], () => -3)]))).toEqual(Array.from({ length: 16 }, () => 0));
    expect(reds(await decoded([floats([4, 4], () => Number.NaN)]))).toEqual(Array.from({ length: 16 }, () => 0));
  });

  test('that begin at an odd byte are read right', async () => {
    const aligned = floats([4, 4], (i) => i / 15);
    const shifted = new Uint8Array(aligned.data.byteLength + 1);
    shifted.set(aligned.data, 1);
    const odd = { ...aligned, data: shifted.subarray(1) };
    expect(reds(await decoded([odd]))).toEqual(reds(await decoded([aligned])));
  });

  test.each<[string, Datatype, number[]]>([
    ['a row of features', 'FP32', [1, 784]],
    ['a vector', 'FP32', [784]],
    ['a scalar', 'FP32', []],
    ['several rows', 'FP32', [2, 1, 8, 8]],
    ['two channels', 'FP32', [2, 8, 8]],
    ['a flat strip', 'FP32', [3, 3, 100]],
    ['nothing', 'FP32', [0, 8]],
    ['integers', 'INT64', [8, 8]],
    ['a side too long', 'UINT8', [4, 4097]],
  ])('%s is no picture', async (_what, datatype, shape) => {
    const count = shape.reduce((a, b) => a * b, 1);
    const data = new Uint8Array(count * (datatype === 'UINT8' ? 1 : datatype === 'INT64' ? 8 : 4));
    expect(await samplePicture([tensor('x', datatype, shape, data)])).toBeUndefined();
  });
});

describe('an encoded picture', () => {
  const encoded = (...elements: Uint8Array[]): NamedTensor =>
    tensor('picture', 'BYTES', [elements.length], encodeBytes(elements));

  test('is shown as it is, with its type by its first bytes', async () => {
    const png = new Uint8Array(pngOf(4, 4));
    expect(await samplePicture([encoded(png)])).toEqual({ type: 'image/png', bytes: png });
    expect((await samplePicture([encoded(Uint8Array.of(0xff, 0xd8, 0xff, 0xe0))]))?.type).toBe('image/jpeg');
    expect((await samplePicture([encoded(Buffer.from('RIFF....WEBPVP8 '))]))?.type).toBe('image/webp');
  });

  test('of another kind, or among several texts, is none; the next input is looked at', async () => {
    for (const other of ['<svg onload=alert(1)>', 'GIF89a', '', 'RIFF....WAVE']) {
      expect(await samplePicture([encoded(Buffer.from(other))])).toBeUndefined();
    }
    expect(await samplePicture([encoded(pngOf(4, 4), pngOf(4, 4))])).toBeUndefined();
    expect(await samplePicture([encoded()])).toBeUndefined();
    expect(await samplePicture([tensor('cut', 'BYTES', [1], Uint8Array.of(9, 0, 0, 0))])).toBeUndefined();
    expect((await samplePicture([encoded(Buffer.from('text')), levels([8, 8], () => 1)]))?.type).toBe('image/png');
    expect(await samplePicture([])).toBeUndefined();
  });
});
