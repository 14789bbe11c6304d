// Quadrangles made upright, held against OpenCV's warpPerspective (test/fixtures/text-boxes).
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Point } from '@tidegate/shared/steps/minimum-rectangle.js';
import { warpPerspective } from '@tidegate/shared/steps/warp-perspective.js';
import { xorshiftPixels } from '../../support/xorshift-pixels.js';

type Corners = readonly [Point, Point, Point, Point];
interface Case {
  readonly seed: number;
  readonly from: readonly [number, number];
  readonly corners: Corners;
  readonly to: readonly [number, number];
  readonly hex: string;
}

const fixture = new URL('../../fixtures/text-boxes/warped.json', import.meta.url);
const { cases } = JSON.parse(readFileSync(fixture, 'utf8')) as { cases: readonly Case[] };

describe('warpPerspective', () => {
  it.each(cases)("equals OpenCV's INTER_CUBIC: $corners of $from to $to", (one) => {
    const [height, width] = one.from;
    const source = { width, height, channels: 3, data: xorshiftPixels(one.seed, height * width * 3) };
    const warped = warpPerspective(source, one.corners, one.to[1], one.to[0]);
    const expected = Buffer.from(one.hex, 'hex');
    const off = Array.from(warped!.data, (pixel, at) => Math.abs(pixel - expected[at]!));
    expect(off).toHaveLength(expected.byteLength);
    expect(Math.max(...off)).toBeLessThanOrEqual(1);
    expect(off.filter((one) => one > 0).length).toBeLessThan(off.length / 100);
  });

  it('knows when corners make no quadrangle', () => {
    const source = { width: 4, height: 4, channels: 1, data: new Uint8Array(16) };
    const line: Corners = [
      [0, 0],
      [1, 1],
      [2, 2],
      [3, 3],
    ];
    expect(warpPerspective(source, line, 3, 3)).toBeUndefined();
  });
});
