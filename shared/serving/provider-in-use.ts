// Which provider really runs a model, how much of it the CPU was given all the same, and whether that is what its package
// requires (field lesson B18): a GPU that silently became the CPU is named in answers, metrics and reports, or refused.
import type { Provider, ProviderReport } from '../runtime/engine.js';
import type { ModelYaml } from '../wire/model-yaml.js';
import { percent } from '../wire/provider-text.js';

/** Where `require: gpu` names no bound: when the CPU has most of the graph, it is no GPU that runs it. */
const CPU_NODES_MAX = 0.5;

/** A graph as it is loaded, and its number of nodes in the file, constants not counted. */
export interface GraphInUse {
  readonly provider: ProviderReport;
  readonly nodes: number;
}

export interface ProviderInUse extends ProviderReport {
  /** 0..1: nodes on the CPU by nodes of the package's graphs. Undefined where the engine can't tell. */
  readonly cpuNodesRatio: number | undefined;
}

/** What an answer says of it. The share only where not all is on the CPU, the reason only where something asked for failed. */
export interface RanOn {
  readonly provider: Provider;
  readonly providerReason?: string;
  readonly cpuNodesRatio?: number;
}

/** Of a model with several graphs: the least of their providers, which is the CPU if any graph runs there, with its account. */
export function providerInUse(graphs: readonly GraphInUse[]): ProviderInUse {
  const [first] = graphs;
  if (first === undefined) {
    return { asked: [], tried: [], runs: 'cpu', reason: 'the package has no graph', cpuNodesRatio: 1 };
  }
  const least = graphs.find(({ provider }) => provider.runs === 'cpu') ?? first;
  const nodes = graphs.reduce((sum, graph) => sum + graph.nodes, 0);
  const onCpu = graphs.map(onCpuOf);
  if (onCpu.includes(undefined)) return { ...least.provider, cpuNodesRatio: undefined };
  const cpuNodes = onCpu.reduce<number>((sum, count) => sum + (count ?? 0), 0);
  // A graph that the runtime split up may have more nodes than the file.
  return { ...least.provider, cpuNodesRatio: nodes === 0 ? 1 : Math.min(1, cpuNodes / nodes) };
}

export function ranOn({ runs, tried, reason, cpuNodesRatio }: ProviderInUse): RanOn {
  return {
    provider: runs,
    ...(tried.length > 0 && { providerReason: reason }),
    ...(runs !== 'cpu' && cpuNodesRatio !== undefined && { cpuNodesRatio }),
  };
}

/**
 * Why what the package says under `require`, or else `--require-gpu` (`gpuForAll`), is not met; undefined where it is. A share that
 * the engine can't tell is let pass.
 */
export function unmetRequirement(
  require: ModelYaml['require'],
  { runs, reason, cpuNodesRatio }: ProviderInUse,
  gpuForAll = false,
): string | undefined {
  if (require === 'cpu' || (require === undefined && !gpuForAll)) return undefined;
  const who = require === undefined ? '--require-gpu is on' : 'the package says `require: gpu`';
  if (runs === 'cpu') {
    const mend =
      'name a provider that works here in --providers (docs/gpu.md), or say `require: cpu` in its model.yaml';
    return `${who}, but the CPU runs it: ${reason}${require === undefined ? `; ${mend}` : ''}`;
  }
  const most = typeof require === 'object' ? require.gpu.cpuNodesMax : CPU_NODES_MAX;
  if (cpuNodesRatio === undefined || cpuNodesRatio <= most) return undefined;
  return `${who} with at most ${percent(most)} of the nodes on the CPU, but ${runs} leaves it ${percent(cpuNodesRatio)}`;
}

function onCpuOf({ provider, nodes }: GraphInUse): number | undefined {
  return provider.runs === 'cpu' ? nodes : provider.cpuNodes;
}
