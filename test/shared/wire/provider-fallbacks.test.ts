import { describe, expect, it } from 'vitest';
import { classFallbacks, fallbacksOf, fallbackText } from '@tidegate/shared/wire/provider-fallbacks.js';
import { fallenDevice } from '../../support/fallen-device.js';

const REASON = 'fell back to cpu; webgpu: no adapter';

describe('providers that fell back, by class (B18)', () => {
  it('are counted beside all devices of the class that run the model', () => {
    const devices = [
      fallenDevice('a', REASON),
      fallenDevice('b', REASON),
      fallenDevice('c'),
      fallenDevice('d', REASON, 8),
    ];
    const found = classFallbacks(devices);
    expect(found).toMatchObject([
      { deviceClass: 'x64+avx2/webgpu/2c/4g', model: 'ocr', devices: 2, of: 3 },
      { deviceClass: 'x64+avx2/webgpu/8c/4g', model: 'ocr', devices: 1, of: 1 },
    ]);
    expect(fallbackText(found[0]!)).toBe(
      `2 of 3 devices of x64+avx2/webgpu/2c/4g run ocr on cpu instead of webgpu: ${REASON}`,
    );
  });

  it('leave out devices that were shut out, have not reported, or run what was asked for', () => {
    const { deviceClass: _, ...unreported } = fallenDevice('a', REASON);
    const revoked = { ...fallenDevice('b', REASON), revoked: true };
    for (const device of [unreported, revoked, fallenDevice('c')]) expect(fallbacksOf(device)).toEqual([]);
    expect(classFallbacks([unreported, revoked, fallenDevice('c')])).toEqual([]);
  });
});
