import { fstatSync, readdirSync, readSync, statfsSync, writeSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { FrameError } from '@tidegate/shared/runtime/frames.js';
import { SHARED_FROM_BYTES, TensorArena } from '@tidegate/shared/runtime/tensor-arena.js';
import { tensor, type NamedTensor } from '@tidegate/shared/tensor/tensor.js';

const MIB = 1 << 20;
const feed = (sizeBytes: number, fill = 7): NamedTensor =>
  tensor('x', 'UINT8', [sizeBytes], Buffer.alloc(sizeBytes, fill));

describe.runIf(process.platform === 'linux')('the memory shared with an executor', () => {
  let arena: TensorArena;
  const open = (...options: Parameters<typeof TensorArena.open>): TensorArena =>
    (arena = TensorArena.open(...options)!);
  afterEach(() => arena.close());

  it('has no name once it is open, so that nothing is left by whoever dies', () => {
    const before = readdirSync('/dev/shm').filter((name) => name.startsWith('tidegate-'));
    open();
    expect(readdirSync('/dev/shm').filter((name) => name.startsWith('tidegate-'))).toEqual(before);
    expect(fstatSync(arena.fd).nlink).toBe(0);
  });

  it('takes large feeds and leaves small ones to the pipe', () => {
    open();
    const loan = arena.lend([feed(SHARED_FROM_BYTES, 1), feed(SHARED_FROM_BYTES - 1), feed(3 * MIB, 2)]);
    expect(loan.feeds.map((region) => region !== undefined)).toEqual([true, false, true]);
    const [first, , third] = loan.feeds;
    const found = Buffer.alloc(3 * MIB);
    expect(readSync(arena.fd, found, 0, 3 * MIB, third!.at)).toBe(3 * MIB);
    expect(found.equals(Buffer.alloc(3 * MIB, 2))).toBe(true);
    expect(readSync(arena.fd, found, 0, 1, first!.at + SHARED_FROM_BYTES - 1)).toBe(1);
    expect(found[0]).toBe(1);
  });

  it('leaves feeds to the pipe while its room is taken, and takes them again after', () => {
    open(2 * MIB);
    const full = arena.lend([feed(2 * MIB)]);
    expect(arena.lend([feed(MIB)]).feeds).toEqual([undefined]);
    arena.release(full);
    expect(arena.lend([feed(MIB), feed(2 * MIB)]).feeds).toEqual([{ at: 0, sizeBytes: MIB }, undefined]);
  });

  it('grows no further than to where a quarter of the volume is left to others', () => {
    const volume = statfsSync('/dev/shm');
    const blocks = (64 * MIB) / volume.bsize;
    let bavail = blocks;
    open(undefined, () => Object.assign(Object.create(volume), { type: volume.type, blocks, bavail }));
    const first = arena.lend([feed(4 * MIB)]);
    bavail = blocks / 4;
    expect(arena.lend([feed(4 * MIB)]).feeds).toEqual([undefined]);
    arena.release(first);
    expect(arena.lend([feed(4 * MIB)]).feeds).toEqual([{ at: 0, sizeBytes: 4 * MIB }]); // written before: not growth
  });

  it('leaves feeds to the pipe where the file takes no more', () => {
    open();
    arena.close();
    expect(arena.lend([feed(MIB)]).feeds).toEqual([undefined]);
  });

  it('is not there where the folder is no tmpfs: a disk would be written to', () => {
    open();
    expect(TensorArena.open(undefined, () => statfsSync('/proc'))).toBeUndefined();
    expect(
      TensorArena.open(undefined, () => {
        throw new Error('no such folder');
      }),
    ).toBeUndefined();
  });

  describe('an answer', () => {
    it('has room once one was large, and is read from there', () => {
      open();
      expect(arena.lend([feed(8)]).answer).toBeUndefined();
      arena.expect([feed(100), feed(MIB)]);
      const loan = arena.lend([feed(8)]);
      expect(loan.answer!.sizeBytes).toBeGreaterThanOrEqual(MIB);
      writeSync(arena.fd, Buffer.alloc(MIB, 3), 0, MIB, loan.answer!.at);
      expect(Buffer.compare(arena.read(loan, loan.answer!.at, MIB), Buffer.alloc(MIB, 3))).toBe(0);
    });

    it('is refused from any place but its own', () => {
      open();
      arena.expect([feed(MIB)]);
      const other = arena.lend([feed(MIB)]);
      const loan = arena.lend([feed(MIB)]);
      const { at, sizeBytes } = loan.answer!;
      for (const [from, count] of [
        [other.answer!.at, 8],
        [loan.feeds[0]!.at, 8],
        [at - 1, 8],
        [at, sizeBytes + 1],
        [at + sizeBytes, 1],
        [at, -1],
        [-8, 8],
        [Number.MAX_SAFE_INTEGER, 8],
      ] as const) {
        expect(() => arena.read(loan, from, count)).toThrow(FrameError);
      }
      expect(() => arena.read({ feeds: [], answer: undefined }, 0, 8)).toThrow(FrameError);
    });

    it('is refused where the executor has made the file shorter than it says', () => {
      open();
      arena.expect([feed(MIB)]);
      const loan = arena.lend([]);
      expect(() => arena.read(loan, loan.answer!.at, MIB)).toThrow(/too short/);
    });
  });

  it('gives memory back when idle', () => {
    open();
    arena.release(arena.lend([feed(32 * MIB)]));
    const usedBytes = (): number => fstatSync(arena.fd).blocks * 512;
    expect(usedBytes()).toBe(32 * MIB);
    arena.trim();
    expect(usedBytes()).toBe(8 * MIB);
    arena.trim();
    const { feeds } = arena.lend([feed(32 * MIB, 5)]);
    expect(feeds[0]).toMatchObject({ at: 0 });
    expect(usedBytes()).toBe(32 * MIB);
  });

  it('can be closed twice', () => {
    open();
    arena.close();
    arena.close();
    arena.trim();
  });
});
