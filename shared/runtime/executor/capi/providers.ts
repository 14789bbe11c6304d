// Execution providers through the C API: which ones the build has, how each is asked for, and what the CPU was given all the same.
import { pointersAt, textAt, textsAt, type Ort, type Pointer } from './table.js';
import type { Provider } from '../../engine.js';

/** ONNX Runtime's names by ours. */
const LISTED: Readonly<Record<Provider, string>> = {
  cpu: 'CPUExecutionProvider',
  webgpu: 'WebGpuExecutionProvider',
  cuda: 'CUDAExecutionProvider',
};

/** The providers that the library was built with; a provider's own library may still be missing. */
export function builtProviders(ort: Ort): Set<Provider> {
  const names: [Pointer] = [null];
  const count: [number] = [0];
  ort.call('GetAvailableProviders', names, count);
  const listed = textsAt(names[0], count[0]);
  ort.call('ReleaseAvailableProviders', names[0], count[0]);
  return new Set((Object.keys(LISTED) as Provider[]).filter((provider) => listed.includes(LISTED[provider])));
}

/** Puts the provider before the CPU, which is always there. Throws where it can't be had. */
export function appendProvider(ort: Ort, options: bigint, provider: Provider): void {
  if (provider === 'cpu') return;
  ort.call('AddSessionConfigEntry', options, 'session.record_ep_graph_assignment_info', '1');
  if (provider === 'webgpu') {
    ort.call('SessionOptionsAppendExecutionProvider', options, 'WebGPU', null, null, 0);
    return;
  }
  const cuda = ort.make('CreateCUDAProviderOptions');
  try {
    ort.call('SessionOptionsAppendExecutionProvider_CUDA_V2', options, cuda);
  } finally {
    ort.release('ReleaseCUDAProviderOptions', cuda);
  }
}

/**
 * Nodes that the CPU was given in a session that `appendProvider` prepared. Only the CPU's are counted: of a provider that changes
 * the layout of tensors (WebGPU), ONNX Runtime 1.30 records no node that it took before the change.
 */
export function cpuNodesOf(ort: Ort, session: bigint): number {
  const subgraphs: [Pointer] = [null];
  const count: [number | bigint] = [0];
  ort.call('Session_GetEpGraphAssignmentInfo', session, subgraphs, count);
  const onCpu = pointersAt(subgraphs[0], Number(count[0])).filter((subgraph) => {
    const name: [Pointer] = [null];
    ort.call('EpAssignedSubgraph_GetEpName', subgraph, name);
    return textAt(name[0]) === LISTED.cpu;
  });
  return onCpu.reduce((sum, subgraph) => {
    const nodes: [Pointer] = [null];
    const inIt: [number | bigint] = [0];
    ort.call('EpAssignedSubgraph_GetNodes', subgraph, nodes, inIt);
    return sum + Number(inIt[0]);
  }, 0);
}
