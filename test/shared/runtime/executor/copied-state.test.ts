import { describe, expect, it } from 'vitest';
import { CopiedState } from '@tidegate/shared/runtime/executor/copied-state.js';
import { bytesOf, float32Of, tensor, type NamedTensor } from '@tidegate/shared/tensor/tensor.js';

const number = (name: string, value: number): NamedTensor => tensor(name, 'FP32', [1], bytesOf(Float32Array.of(value)));
const valueOf = (tensors: readonly NamedTensor[], name: string): number =>
  float32Of(tensors.find((one) => one.name === name)!)[0]!;
const never = new AbortController().signal;

describe('a copied state', () => {
  const session = {
    outputs: ['seen', 'next', 'twice'].map((name) => ({ name, datatype: 'FP32', shape: [1] }) as const),
    /** next = state + x; fails for a negative x. */
    run: (feeds: readonly NamedTensor[], outputs: readonly string[]): Promise<NamedTensor[]> => {
      const [state, x] = [valueOf(feeds, 'state'), valueOf(feeds, 'x')];
      if (x < 0) return Promise.reject(new Error('no'));
      const made: Record<string, number> = { seen: state, next: state + x, twice: 2 * x };
      return Promise.resolve(outputs.map((name) => number(name, made[name] ?? NaN)));
    },
  };

  it('feeds what the run before made, and answers only what is not carried', async () => {
    const state = new CopiedState(session, [number('state', 1)], new Map([['next', 'state']]));
    await state.run([number('x', 2)], ['seen'], never);
    const made = await state.run([number('x', 0)], [], never);
    expect(made.map(({ name }) => name)).toEqual(['seen', 'twice']);
    expect(valueOf(made, 'seen')).toBe(3);
    await expect(state.run([number('x', 0)], ['next'], never)).rejects.toThrow('"next" is not an output');
  });

  it('stays as it was when a run fails', async () => {
    const state = new CopiedState(session, [number('state', 1)], new Map([['next', 'state']]));
    await expect(state.run([number('x', -1)], [], never)).rejects.toThrow('no');
    expect(valueOf(await state.run([number('x', 0)], ['seen'], never), 'seen')).toBe(1);
  });
});
