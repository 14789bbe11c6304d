// Boxes out of a detector's probability map, held against RapidOCR's own post-processing (test/fixtures/text-boxes).
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { findStep } from '@tidegate/shared/steps/step-catalogue.js';
import { bytesOf, float32Of, type Tensor } from '@tidegate/shared/tensor/tensor.js';

type Bar = readonly [x: number, y: number, wide: number, high: number, degrees: number, top: number];
interface Case {
  readonly map: readonly [number, number];
  readonly picture: readonly [number, number];
  readonly bars: readonly Bar[];
  readonly boxes: readonly (readonly [readonly (readonly [number, number])[], number])[];
}

const fixture = new URL('../../fixtures/text-boxes/boxes.json', import.meta.url);
const { cases } = JSON.parse(readFileSync(fixture, 'utf8')) as { cases: readonly Case[] };
const signal = new AbortController().signal;
const noAssets = { read: () => Promise.reject(new Error('no assets')) };

/** As make.py beside the fixture. */
function paint([height, width]: Case['map'], bars: readonly Bar[]): Tensor {
  const values = new Float32Array(height * width);
  for (const [cx, cy, wide, high, degrees, top] of bars) {
    const [cos, sin] = [Math.cos((degrees * Math.PI) / 180), Math.sin((degrees * Math.PI) / 180)];
    for (let y = 0; y < height; y += 1) {
      for (let x = 0; x < width; x += 1) {
        const along = (x - cx) * cos + (y - cy) * sin;
        const across = (y - cy) * cos - (x - cx) * sin;
        if (Math.abs(along) > wide / 2 || Math.abs(across) > high / 2) continue;
        const at = y * width + x;
        values[at] = Math.max(values[at]!, top * (1 - (0.2 * Math.abs(across)) / (high / 2)));
      }
    }
  }
  return { datatype: 'FP32', shape: [1, 1, height, width], data: bytesOf(values) };
}

const picture = (height: number, width: number): Tensor => ({
  datatype: 'UINT8',
  shape: [1, height, width, 1],
  data: new Uint8Array(height * width),
});

interface Boxes {
  readonly corners: number[];
  readonly scores: number[];
  readonly shape: readonly number[];
}

async function boxesOf(map: Tensor, pixels: Tensor, parameters: object = {}): Promise<Boxes> {
  const step = await findStep('threshold-to-boxes').prepare(parameters, noAssets);
  const [boxes, scores] = await step.run([map, pixels], signal);
  return { corners: [...float32Of(boxes!)], scores: [...float32Of(scores!)], shape: boxes!.shape };
}

describe('threshold-to-boxes', () => {
  it.each(cases.map((one, at) => [at, one] as const))("makes RapidOCR's boxes of map %i", async (_, one) => {
    const { corners, scores, shape } = await boxesOf(paint(one.map, one.bars), picture(...one.picture));
    expect(shape).toEqual([one.boxes.length, 4, 2]);
    const expected = one.boxes.flatMap(([box]) => box.flat());
    const off = corners.map((value, at) => Math.abs(value - (expected[at] ?? NaN)));
    expect(Math.max(0, ...off)).toBeLessThanOrEqual(3); // of rectangles with equal area, either may be taken
    expect(off.reduce((sum, one) => sum + one, 0)).toBeLessThanOrEqual(off.length / 2);
    for (const [at, [, score]] of one.boxes.entries()) expect(Math.abs(scores[at]! - score)).toBeLessThan(0.06);
  });

  it('is held by enough boxes', () => {
    expect(cases.flatMap(({ boxes }) => boxes).length).toBeGreaterThanOrEqual(40);
    expect(cases.some(({ boxes }) => boxes.length === 0)).toBe(true);
  });

  it('makes no box of an empty map, and drops what is small or faint', async () => {
    const none = await boxesOf(paint([64, 64], []), picture(64, 64));
    expect(none).toEqual({ corners: [], scores: [], shape: [0, 4, 2] });
    const speck = await boxesOf(paint([64, 64], [[20, 20, 1, 1, 0, 1]]), picture(64, 64));
    expect(speck.shape).toEqual([0, 4, 2]);
    const bar: Bar = [32, 32, 40, 10, 0, 0.8];
    expect((await boxesOf(paint([64, 64], [bar]), picture(64, 64))).shape).toEqual([1, 4, 2]);
    expect((await boxesOf(paint([64, 64], [bar]), picture(64, 64), { leastScore: 0.9 })).shape).toEqual([0, 4, 2]);
    const nothing = { datatype: 'FP32' as const, shape: [1, 1, 0, 0], data: new Uint8Array() };
    expect((await boxesOf(nothing, picture(64, 64))).shape).toEqual([0, 4, 2]);
  });

  it('reads a row from left to right although it slopes, then the next row', async () => {
    const row = (x: number, y: number): Bar => [x, y, 40, 8, 0, 1];
    const { corners } = await boxesOf(paint([100, 160], [row(120, 20), row(40, 24), row(40, 70)]), picture(100, 160));
    expect([corners[0], corners[8], corners[16]].map((x) => (x ?? 0) < 80)).toEqual([true, false, true]);
    expect(corners[17]).toBeGreaterThan(40);
  });

  it('takes no endless number of boxes', async () => {
    const bars = Array.from({ length: 12 }, (_, at): Bar => [50, 8 + at * 16, 60, 6, 0, 1]);
    const { shape } = await boxesOf(paint([200, 100], bars), picture(200, 100), { maxBoxes: 5 });
    expect(shape).toEqual([5, 4, 2]);
  });

  it('holds its inputs against what it takes', async () => {
    const step = await findStep('threshold-to-boxes').prepare({}, noAssets);
    const map = { datatype: 'FP32' as const, shape: [-1, 1, -1, -1] };
    const pixels = { datatype: 'UINT8' as const, shape: [1, -1, -1, 3] };
    expect(step.inferTypes([map, pixels]).map(({ shape }) => shape)).toEqual([[-1, 4, 2], [-1]]);
    expect(() => step.inferTypes([pixels, map])).toThrow('takes FP32 [1, 1, -1, -1], but is given UINT8');
    expect(() => step.inferTypes([map])).toThrow('takes 2 inputs (probabilities, pixels), but 1 are given');
  });
});
