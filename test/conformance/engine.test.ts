// The contract that both engines keep: exact datatypes, typed errors, limits; concurrency and cancellation where declared.
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Engine, EngineSession } from '@tidegate/shared/runtime/engine.js';
import { createBindingEngine } from '@tidegate/shared/runtime/executor/binding/engine.js';
import { createCapiEngine } from '@tidegate/shared/runtime/executor/capi/engine.js';
import { SequenceStates } from '@tidegate/shared/runtime/executor/sequence-states.js';
import { RuntimeError, type RuntimeErrorCode } from '@tidegate/shared/runtime/runtime-error.js';
import { encodeBytes } from '@tidegate/shared/tensor/bytes.js';
import { DATATYPES, ELEMENT_SIZE_BYTES, type Datatype } from '@tidegate/shared/tensor/datatype.js';
import { bytesOf, float32Of, tensor, type NamedTensor } from '@tidegate/shared/tensor/tensor.js';

const fixture = (name: string): string => fileURLToPath(new URL(`../fixtures/onnx/${name}.onnx`, import.meta.url));
const never = new AbortController().signal;
const floats = (name: string, shape: number[], values: number[]): NamedTensor =>
  tensor(name, 'FP32', shape, bytesOf(Float32Array.from(values)));
const rounds = (count: number): NamedTensor[] => [
  tensor('rounds', 'INT64', [], bytesOf(BigInt64Array.of(BigInt(count)))),
  floats('tag', [1], [count]),
];

/** Elements at the edges of each datatype: least, greatest, zero, NaN with payload, subnormal. */
function edgeValues(datatype: Datatype): Uint8Array {
  switch (datatype) {
    case 'BOOL':
      return Uint8Array.of(0, 1, 1, 0);
    case 'INT64':
      return bytesOf(BigInt64Array.of(-(2n ** 63n), 2n ** 63n - 1n, 0n, 2n ** 53n + 1n));
    case 'UINT64':
      return bytesOf(BigUint64Array.of(0n, 2n ** 64n - 1n, 2n ** 53n + 1n, 1n));
    case 'FP32':
      return bytesOf(Uint32Array.of(0x7fc00001, 0x80000000, 1, 0x7f7fffff));
    case 'FP64':
      return bytesOf(BigUint64Array.of(0x7ff8000000000001n, 0x8000000000000000n, 1n, 0x7fefffffffffffffn));
    case 'FP16':
    case 'BF16':
      return bytesOf(Uint16Array.of(0x7e01, 0x8000, 1, 0x3c00));
    case 'BYTES':
      return encodeBytes(['', 'text', 'grün 潮', 'x'.repeat(70_000)].map((text) => Buffer.from(text)));
    default:
      return Uint8Array.from({ length: 4 * ELEMENT_SIZE_BYTES[datatype] }, (_, i) => (i * 37 + 128) & 0xff);
  }
}

async function codeOf(promise: Promise<unknown>): Promise<{ code: RuntimeErrorCode; message: string }> {
  const error: unknown = await promise.then(
    () => undefined,
    (cause: unknown) => cause,
  );
  expect(error).toBeInstanceOf(RuntimeError);
  const { code, message } = error as RuntimeError;
  return { code, message };
}

describe.each([
  ['capi', createCapiEngine],
  ['binding', createBindingEngine],
])('the engine "%s"', (name, create) => {
  let engine: Engine;
  const load = (file: string, threads = 1): Promise<EngineSession> =>
    engine.load({ path: fixture(file), providers: ['cpu'], intraOpThreads: threads }, never);

  beforeAll(() => {
    engine = create();
  });
  afterAll(() => engine.close());

  it('says what it is', () => {
    expect(engine.name).toBe(`ort-${name}`);
    expect(engine.version).toMatch(/^1\.\d+\.\d+$/);
  });

  describe('datatypes', () => {
    const carried = (datatype: Datatype): boolean => name === 'capi' || datatype !== 'BF16';

    it.each(DATATYPES.filter(carried))('%s passes through with every bit', async (datatype) => {
      const session = await load(`identity-${datatype.toLowerCase()}`);
      expect(session.inputs).toEqual([{ name: 'x', datatype, shape: [-1] }]);
      expect(session.outputs).toEqual([{ name: 'y', datatype, shape: [-1] }]);
      const data = edgeValues(datatype);
      const [y] = await session.run([tensor('x', datatype, [4], data)], [], never);
      expect(y).toMatchObject({ name: 'y', datatype, shape: [4] });
      expect(Buffer.compare(y!.data, data)).toBe(0);
      await session.close();
    });

    it.each(DATATYPES.filter(carried))('%s passes through without elements', async (datatype) => {
      const session = await load(`identity-${datatype.toLowerCase()}`);
      const [y] = await session.run([tensor('x', datatype, [0], new Uint8Array(0))], [], never);
      expect(y).toMatchObject({ name: 'y', datatype, shape: [0] });
      expect(y!.data.byteLength).toBe(0);
      await session.close();
    });

    it('takes data at any offset of its buffer', async () => {
      const session = await load('identity-fp64');
      const data = edgeValues('FP64');
      const shifted = new Uint8Array(data.byteLength + 3);
      shifted.set(data, 3);
      const [y] = await session.run([tensor('x', 'FP64', [4], shifted.subarray(3))], [], never);
      expect(Buffer.compare(y!.data, data)).toBe(0);
      await session.close();
    });

    it('carries BYTES that are no text, or refuses them by name', async () => {
      const session = await load('identity-bytes');
      const data = encodeBytes([Uint8Array.of(0xff, 0xd8, 0, 0xff), Uint8Array.of(0), new Uint8Array(0)]);
      const run = session.run([tensor('x', 'BYTES', [3], data)], [], never);
      if (name === 'capi') {
        const [y] = await run;
        expect(Buffer.compare(y!.data, data)).toBe(0);
      } else {
        expect(await codeOf(run)).toMatchObject({ code: 'invalid-input', message: expect.stringMatching(/"x"/) });
      }
      await session.close();
    });

    it('carries BF16 through operators that have it, or refuses the model by name', async () => {
      if (name === 'binding') {
        expect((await codeOf(load('cast-bf16'))).code).toBe('load-failed');
        return;
      }
      const session = await load('cast-bf16');
      const [y] = await session.run([tensor('x', 'BF16', [2], bytesOf(Uint16Array.of(0x3fc0, 0xc000)))], [], never);
      expect([...float32Of(y!)]).toEqual([1.5, -2]);
      await session.close();
    });
  });

  describe('shapes', () => {
    it('knows scalars', async () => {
      const session = await load('identity-fp32-scalar');
      expect(session.inputs[0]?.shape).toEqual([]);
      const [y] = await session.run([floats('x', [], [3.5])], [], never);
      expect(y).toMatchObject({ shape: [] });
      expect([...float32Of(y!)]).toEqual([3.5]);
      await session.close();
    });

    it('takes another shape each time, also one without elements', async () => {
      const session = await load('identity-fp32-3d');
      for (const shape of [
        [1, 2, 3],
        [2, 0, 4],
        [4, 1, 1],
      ]) {
        const count = shape.reduce((a, b) => a * b, 1);
        const [y] = await session.run(
          [
            floats(
              'x',
              shape,
              Array.from({ length: count }, (_, i) => i),
            ),
          ],
          [],
          never,
        );
        expect(y?.shape).toEqual(shape);
        expect(y?.data.byteLength).toBe(4 * count);
      }
      await session.close();
    });

    it('answers a shape that depends on the values', async () => {
      const session = await load('nonzero');
      const found = async (values: number[]): Promise<bigint[]> => {
        const [y] = await session.run([floats('x', [values.length], values)], [], never);
        return [...new BigInt64Array(y!.data.slice().buffer)];
      };
      expect(await found([0, 5, 0, 7])).toEqual([1n, 3n]);
      expect(await found([0, 0])).toEqual([]);
      await session.close();
    });
  });

  describe('results', () => {
    it('computes batches of any size', async () => {
      const session = await load('matmul');
      expect(session.inputs).toEqual([{ name: 'x', datatype: 'FP32', shape: [-1, 4] }]);
      const [y] = await session.run([floats('x', [2, 4], [1, 0, 0, 0, 1, 1, 1, 1])], [], never);
      expect([...float32Of(y!)]).toEqual([0, 10, 6, 46]);
      await session.close();
    });

    it('answers the wanted outputs in the order asked', async () => {
      const session = await load('add');
      const feeds = [floats('b', [1, 3], [1, 2, 3]), floats('a', [1, 3], [10, 20, 30])];
      expect((await session.run(feeds, [], never)).map((o) => o.name)).toEqual(['sum', 'difference']);
      const [only] = await session.run(feeds, ['difference'], never);
      expect([...float32Of(only!)]).toEqual([9, 18, 27]);
      expect((await session.run(feeds, ['difference', 'sum'], never)).map((o) => o.name)).toEqual([
        'difference',
        'sum',
      ]);
      await session.close();
    });
  });

  describe('bad input', () => {
    const good = [floats('a', [1, 3], [1, 2, 3]), floats('b', [1, 3], [1, 2, 3])] as const;
    it.each<[string, NamedTensor[], RegExp]>([
      ['a missing input', [good[0]], /"b" is missing/],
      ['an unknown input', [...good, floats('c', [1], [1])], /"c" is not an input.*"a", "b"/],
      ['an input twice', [...good, good[0]], /"a" is given twice/],
      ['a wrong datatype', [good[0], { ...good[1], datatype: 'INT32' }], /"b" is INT32, the model takes FP32/],
      ['a wrong dimension', [good[0], floats('b', [3, 1], [1, 2, 3])], /"b" has the shape \[3,1\].*\[-1,3\]/],
      ['a wrong rank', [good[0], floats('b', [3], [1, 2, 3])], /"b" has the shape \[3\]/],
      ['a negative dimension', [good[0], { ...good[1], shape: [-1, 3] }], /"b" has the impossible shape/],
      ['a shape beyond all bounds', [good[0], { ...good[1], shape: [2 ** 52, 3] }], /"b"/],
      ['too few bytes', [good[0], { ...good[1], data: new Uint8Array(8) }], /"b".* 8 bytes instead of 12/],
      ['too many bytes', [good[0], { ...good[1], data: new Uint8Array(16) }], /"b".* 16 bytes instead of 12/],
    ])('refuses %s by name, and goes on', async (_, feeds, message) => {
      const session = await load('add');
      expect(await codeOf(session.run(feeds, [], never))).toMatchObject({
        code: 'invalid-input',
        message: expect.stringMatching(message),
      });
      const [sum] = await session.run(good, ['sum'], never);
      expect([...float32Of(sum!)]).toEqual([2, 4, 6]);
      await session.close();
    });

    it('refuses unknown and doubled outputs', async () => {
      const session = await load('add');
      expect(await codeOf(session.run(good, ['product'], never))).toMatchObject({
        code: 'invalid-input',
        message: expect.stringMatching(/"product"/),
      });
      expect((await codeOf(session.run(good, ['sum', 'sum'], never))).code).toBe('invalid-input');
      await session.close();
    });

    it('refuses BYTES whose elements do not fit the shape', async () => {
      const session = await load('identity-bytes');
      const one = encodeBytes([Buffer.from('one')]);
      const two = await codeOf(session.run([tensor('x', 'BYTES', [2], one)], [], never));
      expect(two).toMatchObject({
        code: 'invalid-input',
        message: expect.stringMatching(/"x".* 1 elements instead of 2/),
      });
      const torn = await codeOf(session.run([tensor('x', 'BYTES', [1], one.subarray(0, 5))], [], never));
      expect(torn).toMatchObject({ code: 'invalid-input', message: expect.stringMatching(/"x".*past its data/) });
      await session.close();
    });

    it("says an operator's own error, and goes on", async () => {
      const session = await load('gather');
      const index = (value: bigint): NamedTensor => tensor('index', 'INT64', [1], bytesOf(BigInt64Array.of(value)));
      expect(await codeOf(session.run([index(9n)], [], never))).toMatchObject({
        code: 'run-failed',
        message: expect.stringMatching(/out of data bounds/),
      });
      const [y] = await session.run([index(3n)], [], never);
      expect([...float32Of(y!)]).toEqual([3]);
      await session.close();
    });
  });

  describe('loading', () => {
    it.each(['broken', 'truncated', 'missing', 'complex'])('refuses %s with the reason', async (file) => {
      const { code, message } = await codeOf(load(file));
      expect(code).toBe('load-failed');
      expect(message.length).toBeGreaterThan(10);
    });

    it('reports a provider that it has not, and runs on the CPU (B18)', async () => {
      const path = fixture('add');
      const session = await engine.load({ path, providers: ['cuda'], intraOpThreads: 1 }, never);
      expect(session.provider).toMatchObject({ asked: ['cuda'], runs: 'cpu', tried: [{ provider: 'cuda' }] });
      expect(session.provider.reason).toMatch(/cuda/);
      await session.close();
    });

    it('refuses runs after closing', async () => {
      const session = await load('matmul');
      await session.close();
      expect((await codeOf(session.run([floats('x', [1, 4], [1, 2, 3, 4])], [], never))).code).toBe('closed');
    });

    it('is not begun when cancelled before', async () => {
      const session = await load('matmul');
      const run = session.run([floats('x', [1, 4], [1, 2, 3, 4])], [], AbortSignal.abort());
      expect((await codeOf(run)).code).toBe('cancelled');
      await session.close();
    });
  });

  it('answers each of many simultaneous runs with its own result', async () => {
    const session = await load('slow');
    const tags = Array.from({ length: 32 }, (_, i) => i + 1);
    const answers = await Promise.all(
      tags.map((tag) => session.run(rounds(tag), ['tag_out'], new AbortController().signal)),
    );
    expect(answers.map(([tag]) => float32Of(tag!)[0])).toEqual(tags);
    await session.close();
  });

  it('keeps the state of each sequence to itself, run after run (B26)', async () => {
    const session = await load('running-sum');
    const states = new SequenceStates(session, {
      initial: [floats('total', [1], [100])],
      carried: new Map([['total_next', 'total']]),
    });
    const add = async (key: number, step: number, ...x: number[]): Promise<number> => {
      const feeds = [floats('x', [x.length], x), tensor('rounds', 'INT64', [], bytesOf(BigInt64Array.of(1n)))];
      const made = await states.run({ key, step }, feeds, ['sum'], never);
      expect(made.map(({ name: output }) => output)).toEqual(['sum']);
      return float32Of(made[0]!)[0]!;
    };
    expect(await add(1, 0, 1, 2)).toBe(103);
    expect(await add(2, 0, 7)).toBe(107);
    expect(await add(1, 1, 4)).toBe(107);
    expect(await add(2, 1, 1)).toBe(108);
    expect(await add(1, 0, 5)).toBe(105); // starts again
    expect((await codeOf(add(1, 2, 1))).code).toBe('state-lost'); // a run that its sender knows nothing of
    expect((await codeOf(add(3, 1, 1))).code).toBe('state-lost');
    states.forget(2);
    expect((await codeOf(add(2, 2, 1))).code).toBe('state-lost');
    expect(await add(1, 1, 1)).toBe(106);
    await session.close();
  });

  it('answers a run of a sequence where it was asked to, and keeps what it carries apart', async () => {
    const session = await load('running-sum');
    const states = new SequenceStates(session, {
      initial: [floats('total', [1], [100])],
      carried: new Map([['total_next', 'total']]),
    });
    const room = new Uint8Array(4);
    let copied = 0;
    const copy = (output: Uint8Array): Uint8Array => {
      copied += 1;
      room.set(output);
      return room;
    };
    const feeds = [floats('x', [1], [1]), tensor('rounds', 'INT64', [], bytesOf(BigInt64Array.of(1n)))];
    for (let step = 0; step < 3; step += 1) {
      const [sum] = await states.run({ key: 1, step }, feeds, ['sum'], never, copy);
      expect(float32Of(sum!)[0]).toBe(101 + step);
      expect(sum!.data === room).toBe(name === 'capi');
      room.fill(0xff); // it is another run's now
    }
    expect(copied).toBe(name === 'capi' ? 3 : 0);
    await session.close();
  });

  it('lets runs in flight end before it closes', async () => {
    const session = await load('slow');
    const run = session.run(rounds(500), ['mean'], never);
    await session.close();
    expect(float32Of((await run)[0]!)[0]).toBeCloseTo(1, 3);
  });

  it('ends a run in mid-flight where it says that it can (B27)', async (context) => {
    context.skip(!engine.capabilities.cancellable, 'not declared');
    const session = await load('slow');
    const controller = new AbortController();
    const run = session.run(rounds(100_000_000), [], controller.signal); // hours
    setTimeout(() => controller.abort(), 50);
    expect((await codeOf(run)).code).toBe('cancelled');
    const [mean] = await session.run(rounds(3), ['mean'], never);
    expect(float32Of(mean!)[0]).toBeCloseTo(1, 3);
    await session.close();
  });

  it('leaves the event loop free where it says that runs are concurrent', async (context) => {
    context.skip(!engine.capabilities.concurrentRuns, 'not declared');
    const session = await load('slow');
    const order: string[] = [];
    const long = session.run(rounds(20_000), ['mean'], never).then(() => order.push('long'));
    const short = session.run(rounds(1), ['mean'], never).then(() => order.push('short'));
    await Promise.all([long, short]);
    expect(order).toEqual(['short', 'long']);
    await session.close();
  });
});
