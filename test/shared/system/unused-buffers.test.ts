import { collectUnusedBuffers, WORTH_COLLECTING_BYTES } from '@tidegate/shared/system/unused-buffers.js';
import { describe, expect, it } from 'vitest';

describe('what buffers left', () => {
  it('is collected in this process', () => {
    const made = Array.from({ length: 3 }, () => Buffer.allocUnsafeSlow(WORTH_COLLECTING_BYTES));
    const heldBytes = process.memoryUsage().arrayBuffers;
    made.length = 0;
    expect(collectUnusedBuffers()).toBe(true);
    expect(process.memoryUsage().arrayBuffers).toBeLessThan(heldBytes - WORTH_COLLECTING_BYTES);
  });

  it('is left alone where it is not worth the stop', () => {
    let collections = 0;
    const held = (bytes: number) => ({ heldBytes: () => bytes, collect: () => collections++ });
    expect(collectUnusedBuffers(held(WORTH_COLLECTING_BYTES - 1))).toBe(false);
    expect(collectUnusedBuffers(held(WORTH_COLLECTING_BYTES))).toBe(true);
    expect(collections).toBe(1);
  });
});
