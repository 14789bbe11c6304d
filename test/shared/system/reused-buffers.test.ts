import { describe, expect, it } from 'vitest';
import { ReusedBuffers } from '../../../shared/system/reused-buffers.js';

const KB = 1024;

describe('memory that is used again', () => {
  it('gives the same pages to the next taker of such a size', () => {
    const buffers = new ReusedBuffers();
    const first = buffers.take(100 * KB);
    first.fill(7);
    buffers.giveBack(first);
    expect(buffers.heldBytes).toBe(112 * KB); // a quarter of 64 KB is the step
    const second = buffers.take(101 * KB);
    expect(second.byteLength).toBe(101 * KB);
    expect([second[0], second[100 * KB - 1]]).toEqual([7, 7]);
    expect(buffers.heldBytes).toBe(0);
  });

  it('empties every view of what was given back: nobody reads what the next taker writes', () => {
    const buffers = new ReusedBuffers();
    const first = buffers.take(64 * KB);
    const part = first.subarray(1000, 2000);
    const other = new Float32Array(first.buffer, 0, 16);
    buffers.giveBack(part); // a part gives back the whole
    const second = buffers.take(64 * KB).fill(9);
    expect([first.byteLength, part.byteLength, other.length]).toEqual([0, 0, 0]);
    expect(() => new Uint8Array(first.buffer, 0, 16)).toThrow(TypeError);
    expect(second.byteLength).toBe(64 * KB);
  });

  it('takes back nothing twice, and nothing that it has not given', () => {
    const buffers = new ReusedBuffers();
    const taken = buffers.take(64 * KB);
    const view = taken.subarray(10);
    buffers.giveBack(taken);
    buffers.giveBack(taken);
    buffers.giveBack(view);
    const foreign = Buffer.alloc(64 * KB, 1);
    buffers.giveBack(foreign);
    expect(foreign[0]).toBe(1);
    expect(buffers.heldBytes).toBe(64 * KB);
  });

  it('two takers never share memory', () => {
    const buffers = new ReusedBuffers();
    const [a, b] = [buffers.take(64 * KB).fill(1), buffers.take(64 * KB).fill(2)];
    buffers.giveBack(a);
    const c = buffers.take(64 * KB).fill(3);
    expect([b[0], b.at(-1), c[0]]).toEqual([2, 2, 3]);
    expect(c.buffer).not.toBe(b.buffer);
  });

  it('holds no more than its limit, and lets sizes go that nobody asks for any more', () => {
    const buffers = new ReusedBuffers(256 * KB);
    const old = Array.from({ length: 4 }, () => buffers.take(64 * KB));
    for (const one of old) buffers.giveBack(one);
    expect(buffers.heldBytes).toBe(256 * KB);
    buffers.giveBack(buffers.take(128 * KB));
    expect(buffers.heldBytes).toBe(128 * KB);
    buffers.giveBack(buffers.take(300 * KB)); // larger than all that may wait
    expect(buffers.heldBytes).toBe(128 * KB);
    buffers.trim();
    expect(buffers.heldBytes).toBe(0);
  });

  it('leaves small memory to the allocator', () => {
    const buffers = new ReusedBuffers();
    const small = buffers.take(1000);
    buffers.giveBack(small);
    expect(small.byteLength).toBe(1000);
    expect(buffers.heldBytes).toBe(0);
  });
});
