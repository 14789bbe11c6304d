// A sample's inputs -> exactly what a graph of the package is fed at the edge. The pipeline is evaluated lazily, as for any request,
// and left at the values that feed the graph: the same steps, the same code, the same bytes, and no executor. A graph that stands
// behind another graph can't be prepared so: what feeds it would have to be inferred first.
import { planDataflow, type PlannedNode } from '../package/dataflow.js';
import type { GraphSignature, ModelPackage } from '../package/model-package.js';
import { PackageError } from '../package/package-error.js';
import { preparePipeline } from '../serving/pipeline.js';
import { inspectGraphFile } from '../serving/served-graph-file.js';
import type { NamedTensor, TensorSpec } from '../tensor/tensor.js';

export interface InputPreparation {
  /** The graph's path in the package. */
  readonly graph: string;
  /** What the graph declares of its inputs, in its order. */
  readonly feeds: readonly TensorSpec[];
  /** The graph's outputs: by its own name, and the pipeline's value that each becomes. */
  readonly outputs: readonly { readonly port: string; readonly value: string; readonly spec: TensorSpec }[];
  /**
   * The graph's feeds, by its inputs' names and in its order. Rejects with ServingError `invalid-argument` that names the input,
   * or with the signal's reason.
   */
  prepare(inputs: readonly NamedTensor[], signal: AbortSignal): Promise<NamedTensor[]>;
}

/**
 * For the graph at `graph` in the package; without it, the only one that the pipeline has. Rejects with PackageError
 * `invalid-model` where there are several, where the graph isn't in the pipeline, stands behind another, or carries state.
 */
export async function openPreparation(pack: ModelPackage, graph?: string): Promise<InputPreparation> {
  const { yaml } = pack;
  const graphs = [...new Set(yaml.pipeline.flatMap((node) => ('graph' in node ? [node.graph] : [])))];
  const signatures = new Map<string, GraphSignature>();
  for (const path of graphs) signatures.set(path, await inspectGraphFile(pack.pathOf(path)));
  const { nodes, makerOf } = planDataflow(yaml, signatures);
  const planned = chosenNode(nodes, graphs, graph);
  const path = 'graph' in planned.node ? planned.node.graph : '';
  checkReachable(planned, makerOf);
  if ('graph' in planned.node && planned.node.state !== undefined) {
    throw invalid(`${path} carries state from one request to the next, and samples are single requests`);
  }
  const pipeline = await preparePipeline(yaml, pack, signatures);
  const signature = signatures.get(path);
  const feeds = (signature?.inputs ?? []).filter(({ name }) => planned.inputs.some(({ port }) => port === name));
  const valueOf = new Map(planned.inputs.map(({ port, value }) => [port, value]));
  const wanted = [...new Set(valueOf.values())];
  return {
    graph: path,
    feeds,
    outputs: planned.outputs.flatMap(({ port, value }) => {
      const spec = signature?.outputs.find(({ name }) => name === port);
      return spec === undefined ? [] : [{ port, value, spec }];
    }),
    prepare: async (inputs, signal) => {
      const { outputs } = await pipeline.run({ inputs, outputs: wanted }, noGraph, signal);
      const byValue = new Map(outputs.map((value) => [value.name, value]));
      return feeds.map(({ name }) => {
        const value = byValue.get(valueOf.get(name) ?? '');
        if (value === undefined) throw new Error(`the pipeline did not make what feeds ${name}`);
        return { ...value, name };
      });
    },
  };
}

/** Never called: checkReachable has seen to it. */
function noGraph(graph: string): Promise<never> {
  return Promise.reject(new Error(`${graph} is not run while inputs are prepared`));
}

function chosenNode(nodes: readonly PlannedNode[], graphs: readonly string[], graph: string | undefined): PlannedNode {
  if (graph === undefined && graphs.length !== 1) {
    throw invalid(`has ${graphs.length} graphs (${graphs.join(', ')}); say which one`);
  }
  const found = nodes.filter(({ node }) => 'graph' in node && node.graph === (graph ?? graphs[0]));
  const [first] = found;
  if (first === undefined) throw invalid(`has no graph ${graph}; it has ${graphs.join(', ')}`);
  if (found.length > 1) throw invalid(`runs ${first.title} ${found.length} times, so its feeds are not one thing`);
  return first;
}

function checkReachable(graph: PlannedNode, makerOf: ReadonlyMap<string, PlannedNode>): void {
  const open = [...graph.inputs];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const maker = makerOf.get(next.value);
    if (maker === undefined) continue;
    if ('graph' in maker.node) {
      throw invalid(`feeds ${graph.title} from ${maker.title}; only a graph behind steps alone can be trained`);
    }
    open.push(...maker.inputs);
  }
}

function invalid(message: string): PackageError {
  return new PackageError('invalid-model', message, { file: 'model.yaml', field: 'pipeline' });
}
