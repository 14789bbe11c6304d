import { describe, expect, it } from 'vitest';
import {
  decodeFromExecutor,
  decodeToExecutor,
  encodeMessage,
  type FromExecutor,
  type ToExecutor,
} from '@tidegate/shared/runtime/executor-protocol.js';
import { encodeFrame, FrameError, FrameReader, type Frame } from '@tidegate/shared/runtime/frames.js';
import { tensor } from '@tidegate/shared/tensor/tensor.js';

const frameOf = (chunks: readonly Uint8Array[]): Frame => new FrameReader().push(Buffer.concat(chunks))[0]!;
const tensors = [tensor('a', 'FP32', [1, 2], Buffer.alloc(8, 1)), tensor('b', 'BYTES', [0], Buffer.alloc(0))];

const load = {
  type: 'load',
  graph: 2,
  path: 'm',
  providers: [],
  intraOpThreads: 1,
  slots: 1,
  tensors: [],
  carried: [],
} as const satisfies ToExecutor;

describe('the executor protocol', () => {
  it.each<ToExecutor>([
    { ...load, path: 'model.onnx', providers: ['webgpu'], intraOpThreads: 2, slots: 3 },
    { ...load, providers: ['cpu'], tensors, carried: [['c', 'a']] },
    { ...load, sharedBytes: 4096 },
    { type: 'run', id: 7, graph: 2, tensors, outputs: ['y'] },
    { type: 'run', id: 7, graph: 2, tensors, outputs: ['y'], sequence: { key: 3, step: 12 } },
    { type: 'run', id: 7, graph: 2, tensors, outputs: [], answer: { at: 4096, sizeBytes: 8192 } },
    { type: 'forget', graph: 2, key: 3 },
    { type: 'unload', graph: 2 },
    { type: 'cancel', id: 7 },
    { type: 'ping', id: 0 },
    { type: 'close' },
  ])('brings $type to the executor', (message) => {
    expect(decodeToExecutor(frameOf(encodeMessage(message)))).toMatchObject(message);
  });

  it.each<FromExecutor>([
    { type: 'result', id: 7, computeUs: 12, tensors },
    { type: 'failed', id: 7, code: 'run-failed', message: 'why' },
    { type: 'load-failed', graph: 2, code: 'load-failed', message: 'why' },
    { type: 'pong', id: 0 },
    { type: 'compiling', graph: 2 },
  ])('brings $type from the executor', (message) => {
    expect(decodeFromExecutor(frameOf(encodeMessage(message)))).toMatchObject(message);
  });

  it('says of a tensor in shared memory where it lies, and sends the others', () => {
    const asked: unknown[] = [];
    const shared = (id: number, at: number, sizeBytes: number): Uint8Array => {
      asked.push([id, at, sizeBytes]);
      return Buffer.alloc(sizeBytes, 1);
    };
    const message = { type: 'result', id: 7, computeUs: 12, tensors: [...tensors, tensors[0]!] } as const;
    const frame = frameOf(encodeMessage(message, [4096]));
    expect(frame.body.byteLength - frame.blobsAt).toBe(64 - (frame.blobsAt % 64 || 64) + 8);
    expect(decodeFromExecutor(frame, shared)).toMatchObject(message);
    expect(asked).toEqual([[7, 4096, 8]]);
    expect(() => decodeFromExecutor(frame)).toThrow(FrameError);
  });

  it.each<[string, object, Uint8Array[]]>([
    ['an unknown type', { type: 'hello' }, []],
    ['a type of the other direction', { type: 'close' }, []],
    ['an id that is no number', { type: 'pong', id: 'x' }, []],
    ['a failure without an id', { type: 'failed', code: 'run-failed', message: 'why' }, []],
    ['a loaded graph without its number', { type: 'loaded', sessionMs: 1 }, []],
    ['a result without tensors', { type: 'result', id: 1, computeUs: 1 }, []],
    [
      'an unknown datatype',
      { type: 'result', id: 1, tensors: [{ name: 'a', datatype: 'FP8', shape: [], sizeBytes: 0 }] },
      [],
    ],
    [
      'a size beyond the frame',
      { type: 'result', id: 1, tensors: [{ name: 'a', datatype: 'INT8', shape: [9], sizeBytes: 9 }] },
      [],
    ],
    [
      'a place that is no number',
      { type: 'result', id: 1, tensors: [{ name: 'a', datatype: 'INT8', shape: [9], sizeBytes: 9, at: '0' }] },
      [],
    ],
    ['surplus bytes', { type: 'pong', id: 1 }, [Buffer.alloc(5)]],
  ])('refuses %s from a damaged executor', (_, header, blobs) => {
    expect(() => decodeFromExecutor(frameOf(encodeFrame(header, blobs)))).toThrow(FrameError);
  });
});
