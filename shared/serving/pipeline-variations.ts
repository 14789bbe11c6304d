// One request in several variations of a step, for the hub's `heavy`: what doesn't hang on the varied step is made once for all.
import type { PlannedNode } from '../package/dataflow.js';
import type { NamedTensor } from '../tensor/tensor.js';
import { Evaluation, type EvaluationModules, type Running, type Takers, type Values } from './pipeline-evaluate.js';
import type { PreparedDataflow, StepVariations } from './pipeline-prepare.js';
import type { Selection } from './pipeline-selection.js';

/** The values of each variation, in their order. Rejects as Pipeline.run says. */
export async function evaluateVariations(
  dataflow: PreparedDataflow,
  { node, steps }: StepVariations,
  selection: Selection,
  inputs: readonly NamedTensor[],
  modules: EvaluationModules,
  signal: AbortSignal,
): Promise<Values[]> {
  const behind = nodesBehind(node, selection.nodes);
  let shared: Running = new Map();
  const takers: Takers = new Map();
  const evaluations = steps.map((step) => {
    const evaluation = new Evaluation(dataflow, selection, inputs, modules, signal, {
      behind,
      variations: new Map([[node, step]]),
      shared,
      takers,
    });
    shared = new Map([...evaluation.running].filter(([made]) => !behind.has(made)));
    return evaluation;
  });
  return Promise.all(evaluations.map((evaluation) => evaluation.finish()));
}

/** The node and all that takes from it. `nodes` are in running order. */
function nodesBehind(node: PlannedNode, nodes: readonly PlannedNode[]): ReadonlySet<PlannedNode> {
  const behind = new Set([node]);
  const values = new Set(node.outputs.map(({ value }) => value));
  for (const other of nodes) {
    if (!other.inputs.some(({ value }) => values.has(value))) continue;
    behind.add(other);
    for (const { value } of other.outputs) values.add(value);
  }
  return behind;
}
