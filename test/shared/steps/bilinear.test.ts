import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { resizeBilinear } from '@tidegate/shared/steps/bilinear.js';
import { xorshiftPixels } from '../../support/xorshift-pixels.js';

interface Case {
  readonly seed: number;
  readonly from: readonly [number, number];
  readonly to: readonly [number, number];
  readonly channels: number;
  readonly sha256: string;
  readonly pixels?: string;
}

const fixture = new URL('../../fixtures/opencv-resize/resized.json', import.meta.url);
const { cases } = JSON.parse(readFileSync(fixture, 'utf8')) as { cases: readonly Case[] };

describe('resizeBilinear', () => {
  it.each(cases)("equals OpenCV's INTER_LINEAR bit for bit: $from to $to, $channels channels", (one) => {
    const [height, width] = one.from;
    const source = {
      width,
      height,
      channels: one.channels,
      data: xorshiftPixels(one.seed, height * width * one.channels),
    };
    const resized = resizeBilinear(source, one.to[1], one.to[0]);
    expect(resized).toMatchObject({ width: one.to[1], height: one.to[0], channels: one.channels });
    if (one.pixels !== undefined) expect(Buffer.from(resized.data).toString('base64')).toBe(one.pixels);
    expect(createHash('sha256').update(resized.data).digest('hex')).toBe(one.sha256);
  });

  it('is held by enough cases', () => {
    expect(cases.length).toBeGreaterThanOrEqual(16);
  });
});
