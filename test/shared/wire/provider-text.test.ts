import { expect, it } from 'vitest';
import { providerText } from '@tidegate/shared/wire/provider-text.js';

it('says the share only where another provider than the CPU runs', () => {
  expect(providerText({ provider: 'cpu', cpuNodesRatio: 1 })).toBe('cpu');
  expect(providerText({ provider: 'webgpu' })).toBe('webgpu');
  expect(providerText({ provider: 'webgpu', cpuNodesRatio: 0.1183 })).toBe('webgpu, 11.8% of the nodes on the CPU');
});

it('says the threads of a run where they were measured', () => {
  expect(providerText({ provider: 'cpu', cpuNodesRatio: 1, threads: 2 })).toBe('cpu, 2 threads a run');
  expect(providerText({ provider: 'cpu', threads: 1 })).toBe('cpu, 1 thread a run');
});
