import { describe, expect, it } from 'vitest';
import type { ProviderReport } from '@tidegate/shared/runtime/engine.js';
import { providerInUse, ranOn, unmetRequirement } from '@tidegate/shared/serving/provider-in-use.js';

const cpu: ProviderReport = { asked: ['cpu'], tried: [], runs: 'cpu', reason: 'asked for' };
const fell: ProviderReport = {
  asked: ['webgpu'],
  tried: [{ provider: 'webgpu', error: 'no adapter' }],
  runs: 'cpu',
  reason: 'fell back to cpu; webgpu: no adapter',
};
const gpu = (cpuNodes?: number): ProviderReport => ({
  asked: ['webgpu'],
  tried: [],
  runs: 'webgpu',
  reason: 'asked for',
  ...(cpuNodes !== undefined && { cpuNodes }),
});

describe('the provider in use (B18)', () => {
  it('counts the nodes that the CPU was given over all graphs', () => {
    expect(providerInUse([{ provider: cpu, nodes: 40 }])).toMatchObject({ runs: 'cpu', cpuNodesRatio: 1 });
    expect(providerInUse([{ provider: gpu(0), nodes: 40 }])).toMatchObject({ runs: 'webgpu', cpuNodesRatio: 0 });
    const two = [
      { provider: gpu(10), nodes: 60 },
      { provider: gpu(0), nodes: 40 },
    ];
    expect(providerInUse(two)).toMatchObject({ runs: 'webgpu', cpuNodesRatio: 0.1 });
  });

  it('is the CPU, with its reason, as soon as one graph runs there', () => {
    const mixed = [
      { provider: gpu(0), nodes: 75 },
      { provider: fell, nodes: 25 },
    ];
    expect(providerInUse(mixed)).toMatchObject({ runs: 'cpu', reason: fell.reason, cpuNodesRatio: 0.25 });
  });

  it('never exceeds 1, and is unknown where an engine can not tell', () => {
    expect(providerInUse([{ provider: gpu(9), nodes: 8 }]).cpuNodesRatio).toBe(1);
    expect(providerInUse([{ provider: gpu(), nodes: 8 }]).cpuNodesRatio).toBeUndefined();
    expect(providerInUse([])).toMatchObject({ runs: 'cpu', cpuNodesRatio: 1 });
  });

  it('says in an answer no more than is news', () => {
    expect(ranOn(providerInUse([{ provider: cpu, nodes: 4 }]))).toEqual({ provider: 'cpu' });
    expect(ranOn(providerInUse([{ provider: gpu(1), nodes: 4 }]))).toEqual({ provider: 'webgpu', cpuNodesRatio: 0.25 });
    expect(ranOn(providerInUse([{ provider: fell, nodes: 4 }]))).toEqual({
      provider: 'cpu',
      providerReason: fell.reason,
    });
  });
});

describe('require: gpu (B18)', () => {
  const on = (cpuNodes?: number) => providerInUse([{ provider: gpu(cpuNodes), nodes: 10 }]);

  it('is met by nothing that the CPU runs', () => {
    expect(unmetRequirement(undefined, providerInUse([{ provider: fell, nodes: 1 }]))).toBeUndefined();
    expect(unmetRequirement('gpu', providerInUse([{ provider: fell, nodes: 1 }]))).toBe(
      'the package says `require: gpu`, but the CPU runs it: fell back to cpu; webgpu: no adapter',
    );
  });

  it('is not met where the CPU has more of the nodes than the bound, half unless the package says less', () => {
    expect(unmetRequirement('gpu', on(5))).toBeUndefined();
    expect(unmetRequirement('gpu', on(6))).toMatch(/at most 50% of the nodes on the CPU, but webgpu leaves it 60%/);
    expect(unmetRequirement({ gpu: { cpuNodesMax: 0 } }, on(1))).toMatch(/at most 0%.*leaves it 10%/);
    expect(unmetRequirement({ gpu: { cpuNodesMax: 0 } }, on(0))).toBeUndefined();
    expect(unmetRequirement('gpu', on())).toBeUndefined();
  });

  it('may be asked of all models but those that are meant for the CPU (--require-gpu)', () => {
    const onCpu = providerInUse([{ provider: fell, nodes: 1 }]);
    expect(unmetRequirement(undefined, onCpu, true)).toBe(
      '--require-gpu is on, but the CPU runs it: fell back to cpu; webgpu: no adapter; ' +
        'name a provider that works here in --providers (docs/gpu.md), or say `require: cpu` in its model.yaml',
    );
    expect(unmetRequirement(undefined, on(6), true)).toMatch(/--require-gpu is on with at most 50%.*leaves it 60%/);
    expect(unmetRequirement(undefined, on(5), true)).toBeUndefined();
    expect(unmetRequirement('cpu', onCpu, true)).toBeUndefined();
    expect(unmetRequirement({ gpu: { cpuNodesMax: 0 } }, on(1), true)).toMatch(/the package says .* at most 0%/);
  });
});
