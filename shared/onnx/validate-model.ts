// The structure check of an untrusted model, before any engine sees it (issue: publish validates the graph's structure).
// What holds afterwards:
//   1. there is a graph, and the domain of every node is imported;
//   2. every value has a name and one maker, and every node reads only what an earlier node, an input, an initializer or, in
//      an inner graph, a graph around it makes;
//   3. the data of every tensor fit its shape and type exactly;
//   4. external data stay inside the package folder;
//   5. the stated limits hold.
// What operators mean, and whether attributes fit them, is for the engine to judge when it loads the model in an executor.
import { externalDataOf, isExternal, type ExternalData } from './external-data.js';
import { domainName } from './inspect-model.js';
import type { FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetId } from './model-proto.js';
import { OnnxError } from './onnx-error.js';
import { checkTensorData, tensorSizeBytes } from './tensor-data.js';
import { allTensors, subgraphsOf, tensorsOfNodes } from './walk-graph.js';

const LIMIT_NODES = 500_000;
const LIMIT_TENSORS = 500_000;

interface ValidatedModel {
  readonly graph: GraphProto;
  /** Each external file once: its bytes must reach at least to `endBytes`. */
  readonly externalFiles: readonly { readonly path: string; readonly endBytes: number }[];
}

/** Throws OnnxError naming the place. */
export function validateModel(model: ModelProto): ValidatedModel {
  const { graph } = model;
  if (graph === undefined) throw new OnnxError('no-graph', 'the file holds no graph');
  const budget = { nodes: LIMIT_NODES };
  for (const [i, f] of model.functions.entries()) checkFunction(f, `function[${i}] ${f.name ?? ''}`, model, budget);
  const domains = importedDomains(model.opsetImport);
  checkGraph(graph, 'graph', undefined, domains, budget);
  return { graph, externalFiles: checkTensors(model, graph) };
}

interface Budget {
  nodes: number;
}

/** Values that nodes of one graph may read, and the graph around it. A chain, not copies: an inner graph costs its own size. */
interface Scope {
  readonly defined: Set<string>;
  readonly around: Scope | undefined;
}

function canRead(scope: Scope | undefined, name: string): boolean {
  for (let at = scope; at !== undefined; at = at.around) if (at.defined.has(name)) return true;
  return false;
}

function importedDomains(imports: readonly OperatorSetId[]): Set<string> {
  return new Set(imports.map(({ domain }) => domainName(domain)));
}

function checkFunction(f: FunctionProto, where: string, model: ModelProto, budget: Budget): void {
  if (!f.name) throw new OnnxError('empty-name', 'has no name', where);
  const domains = importedDomains(f.opsetImport.length > 0 ? f.opsetImport : model.opsetImport);
  const defined = new Set<string>();
  for (const name of f.input) define(name, defined, `${where}, input`);
  checkNodes(f.node, where, { defined, around: undefined }, domains, budget);
  for (const name of f.output) {
    if (!defined.has(name)) throw new OnnxError('undefined-value', `nothing makes the output ${name}`, where);
  }
}

function checkGraph(
  graph: GraphProto,
  where: string,
  around: Scope | undefined,
  domains: ReadonlySet<string>,
  budget: Budget,
): void {
  const defined = new Set<string>();
  for (const { name } of graph.input) define(name, defined, `${where}.input`);
  const initialized = new Set<string>();
  for (const tensor of [...graph.initializer, ...graph.sparseInitializer.map(({ values }) => values)]) {
    define(tensor?.name, initialized, `${where}.initializer`); // may give an input its default
  }
  for (const name of initialized) defined.add(name);
  const scope: Scope = { defined, around };
  checkNodes(graph.node, where, scope, domains, budget);
  const outputs = new Set<string>();
  for (const { name } of graph.output) {
    define(name, outputs, `${where}.output`);
    if (!canRead(scope, name ?? '')) {
      throw new OnnxError('undefined-value', `nothing makes the output ${name}`, where);
    }
  }
}

function define(name: string | undefined, defined: Set<string>, where: string): void {
  if (!name) throw new OnnxError('empty-name', 'a value without a name', where);
  if (defined.has(name)) throw new OnnxError('duplicate-name', `two values are named ${name}`, where);
  defined.add(name);
}

function checkNodes(
  nodes: readonly NodeProto[],
  where: string,
  scope: Scope,
  domains: ReadonlySet<string>,
  budget: Budget,
): void {
  budget.nodes -= nodes.length;
  if (budget.nodes < 0) throw new OnnxError('too-large', `more than ${LIMIT_NODES} nodes`);
  for (const [i, node] of nodes.entries()) {
    const place = `${where}.node[${i}] (${node.name || node.opType || '?'})`;
    if (!node.opType) throw new OnnxError('empty-name', 'has no operator', place);
    if (!domains.has(domainName(node.domain))) {
      throw new OnnxError('no-opset', `no opset is imported for the domain ${domainName(node.domain)}`, place);
    }
    for (const name of node.input) {
      if (name !== '' && !canRead(scope, name)) throw unreadable(name, nodes, i, place);
    }
    for (const [g, graph] of subgraphsOf(node).entries())
      checkGraph(graph, `${place}.graph[${g}]`, scope, domains, budget);
    for (const name of node.output) if (name !== '') define(name, scope.defined, place);
  }
}

function unreadable(name: string, nodes: readonly NodeProto[], at: number, where: string): OnnxError {
  const later = nodes.findIndex((node, i) => i >= at && node.output.includes(name));
  if (later < 0) return new OnnxError('undefined-value', `reads ${name}, which nothing makes`, where);
  return new OnnxError('not-topological', `reads ${name}, which only node[${later}] makes`, where);
}

function checkTensors(model: ModelProto, graph: GraphProto): { path: string; endBytes: number }[] {
  const ends = new Map<string, number>();
  let count = 0;
  const check = ({ tensor, where }: { tensor: GraphProto['initializer'][number]; where: string }): void => {
    count += 1;
    if (count > LIMIT_TENSORS) throw new OnnxError('too-large', `more than ${LIMIT_TENSORS} tensors`);
    checkTensorData(tensor, where);
    if (!isExternal(tensor)) return;
    const external = externalDataOf(tensor, where);
    ends.set(
      external.path,
      Math.max(ends.get(external.path) ?? 0, externalEnd(external, tensorSizeBytes(tensor, where) ?? 0, where)),
    );
  };
  for (const entry of allTensors(graph)) check(entry);
  for (const f of model.functions) for (const entry of tensorsOfNodes(f.node)) check(entry);
  return [...ends].map(([path, endBytes]) => ({ path, endBytes }));
}

function externalEnd(external: ExternalData, neededBytes: number, where: string): number {
  if (external.sizeBytes !== undefined && external.sizeBytes !== neededBytes) {
    throw new OnnxError('bad-external-data', `length ${external.sizeBytes}, its shape needs ${neededBytes}`, where);
  }
  const end = external.offset + neededBytes;
  if (!Number.isSafeInteger(end)) throw new OnnxError('bad-external-data', 'it ends beyond 2^53 bytes', where);
  return end;
}
