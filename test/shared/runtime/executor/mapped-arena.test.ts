import { closeSync, fstatSync, openSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MappedArena } from '@tidegate/shared/runtime/executor/mapped-arena.js';
import { FrameError } from '@tidegate/shared/runtime/frames.js';
import { SHARED_FROM_BYTES, TensorArena } from '@tidegate/shared/runtime/tensor-arena.js';
import { tensor } from '@tidegate/shared/tensor/tensor.js';

const SIZE = 1 << 20;

describe.runIf(process.platform === 'linux')("the executor's view of the shared memory", () => {
  let arena: TensorArena;
  let mapped: MappedArena;
  beforeEach(() => {
    arena = TensorArena.open(16 * SIZE)!;
    mapped = new MappedArena(arena.fd, arena.sizeBytes);
  });
  afterEach(() => arena.close());

  it('shows a feed where it lies, and says where that is', () => {
    const data = Buffer.from(Array.from({ length: SIZE }, (_, i) => i * 7));
    const [region] = arena.lend([tensor('x', 'UINT8', [SIZE], data)]).feeds;
    const view = mapped.view(region!.at, SIZE);
    expect(Buffer.compare(view, data)).toBe(0);
    expect(mapped.placeOf(view)).toBe(region!.at);
    expect(mapped.placeOf(data)).toBeUndefined();
  });

  it('puts large outputs one after the other, and the others to memory of their own', () => {
    arena.expect([tensor('y', 'UINT8', [2 * SIZE], Buffer.alloc(2 * SIZE))]);
    const loan = arena.lend([]);
    const copy = mapped.copier(loan.answer!);
    const outputs = [SIZE - 1, 8, SIZE, SHARED_FROM_BYTES].map((size, i) => Buffer.alloc(size, i + 1));
    const copies = outputs.map(copy);
    outputs.forEach((output, i) => expect(Buffer.compare(copies[i]!, output)).toBe(0));
    const places = copies.map((output) => mapped.placeOf(output));
    expect(places).toEqual([loan.answer!.at, undefined, loan.answer!.at + SIZE, undefined]); // no room for the last
    expect(Buffer.compare(arena.read(loan, places[2]!, SIZE), outputs[2]!)).toBe(0);
  });

  it('puts outputs into memory of their own where the file takes no more, as on a full volume', () => {
    const fd = openSync(`/proc/self/fd/${arena.fd}`, 'r');
    const readOnly = new MappedArena(fd, arena.sizeBytes);
    const output = Buffer.alloc(SIZE, 3);
    const copy = readOnly.copier({ at: 0, sizeBytes: SIZE })(output);
    closeSync(fd);
    expect(readOnly.placeOf(copy)).toBeUndefined();
    expect(Buffer.compare(copy, output)).toBe(0);
    output.fill(4); // the engine's memory is gone after the call
    expect(copy[0]).toBe(3);
  });

  it('touches no page that nobody has written: a full volume would end the process', () => {
    mapped.copier({ at: 0, sizeBytes: SIZE });
    mapped.view(0, SIZE);
    expect(fstatSync(arena.fd).blocks).toBe(0);
  });

  it('refuses places beyond', () => {
    expect(() => mapped.view(16 * SIZE, 1)).toThrow(FrameError);
    expect(() => mapped.view(-1, 1)).toThrow(FrameError);
    expect(() => mapped.view(0, -1)).toThrow(FrameError);
  });

  it('says so when nothing can be mapped', () => {
    expect(() => new MappedArena(-1, SIZE)).toThrow(/mmap/);
  });
});
