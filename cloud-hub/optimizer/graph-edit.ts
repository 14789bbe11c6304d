// Edits a copy of a model's outer graph: looks constants up, replaces nodes, adds tensors under fresh names, and at the end drops
// what nothing reads any more. The model given stays as it is; tensors are shared, never copied.
import { domainName } from '@tidegate/shared/onnx/inspect-model.js';
import type { GraphProto, ModelProto, NodeProto, TensorProto } from '@tidegate/shared/onnx/model-proto.js';
import { OnnxError } from '@tidegate/shared/onnx/onnx-error.js';
import { allGraphs, readCounts } from '@tidegate/shared/onnx/walk-graph.js';

/** From here on an initializer need not be an input too, and one that is an input may be overridden by a caller. */
const IR_OVERRIDABLE_INPUTS = 4;

export class GraphEdit {
  readonly #model: ModelProto;
  readonly graph: GraphProto;
  readonly #constants = new Map<string, TensorProto>();
  readonly #names = new Set<string>();
  readonly #replacements = new Map<NodeProto, readonly NodeProto[]>();
  readonly #prepended: NodeProto[] = [];
  readonly #added: TensorProto[] = [];
  readonly #released = new Set<string>();

  /** Throws OnnxError `no-graph`. */
  constructor(model: ModelProto) {
    if (model.graph === undefined) throw new OnnxError('no-graph', 'the file holds no graph');
    this.#model = model;
    this.graph = model.graph;
    this.#collectConstants();
    for (const graph of allGraphs(this.graph)) {
      for (const { name } of [...graph.input, ...graph.initializer]) this.#names.add(name ?? '');
      for (const node of graph.node) node.output.forEach((name) => this.#names.add(name));
      for (const node of graph.node) node.input.forEach((name) => this.#names.add(name));
    }
  }

  #collectConstants(): void {
    const overridable = (this.#model.irVersion ?? 0) >= IR_OVERRIDABLE_INPUTS;
    const inputs = new Set(overridable ? this.graph.input.map(({ name }) => name) : []);
    for (const tensor of this.graph.initializer) {
      if (tensor.name && !inputs.has(tensor.name)) this.#constants.set(tensor.name, tensor);
    }
    for (const node of this.graph.node) {
      const value = isConstant(node) ? node.attribute.find(({ name }) => name === 'value')?.t : undefined;
      const name = node.output[0];
      if (value !== undefined && name) this.#constants.set(name, value);
    }
  }

  /** The tensor of an initializer that no caller can override, or of a Constant node. */
  constant(name: string | undefined): TensorProto | undefined {
    return name === undefined ? undefined : this.#constants.get(name);
  }

  /** Constants by name. */
  get constants(): ReadonlyMap<string, TensorProto> {
    return this.#constants;
  }

  /** Version of the ONNX operators that the model imports. */
  get opset(): number {
    return this.#model.opsetImport.find(({ domain }) => domainName(domain) === 'ai.onnx')?.version ?? 1;
  }

  freshName(base: string): string {
    let name = base;
    for (let i = 1; this.#names.has(name); i += 1) name = `${base}_${i}`;
    this.#names.add(name);
    return name;
  }

  /** Puts `nodes` where `node` stood. `constants`: values that it read, dropped at the end where nothing else reads them. */
  replace(node: NodeProto, nodes: readonly NodeProto[], constants: readonly string[] = []): void {
    this.#replacements.set(node, nodes);
    for (const name of constants) this.#released.add(name);
  }

  /** Adds a tensor; its name must be fresh. */
  addInitializer(tensor: TensorProto): void {
    this.#added.push(tensor);
  }

  /** The value `name` is made by `node` from now on, at the graph's beginning, instead of being a constant. */
  replaceConstant(name: string, node: NodeProto): void {
    this.#prepended.push(node);
    this.#constants.delete(name);
    this.#released.add(name);
  }

  /** The edited model; `domains`: further operator sets that the new nodes need, by domain. */
  finish(domains: Readonly<Record<string, number>> = {}): ModelProto {
    const replacedConstants = new Set(this.#prepended.flatMap(({ output }) => output));
    const nodes = [
      ...this.#prepended,
      ...this.graph.node
        .filter((node) => !(isConstant(node) && replacedConstants.has(node.output[0] ?? '')))
        .flatMap((node) => this.#replacements.get(node) ?? [node]),
    ];
    const reads = readCounts({ ...this.graph, node: nodes });
    const isDropped = (name: string): boolean =>
      replacedConstants.has(name) || (this.#released.has(name) && (reads.get(name) ?? 0) === 0);
    const graph: GraphProto = {
      ...this.graph,
      node: nodes.filter((node) => !(isConstant(node) && isDropped(node.output[0] ?? ''))),
      initializer: [...this.graph.initializer.filter(({ name }) => !isDropped(name ?? '')), ...this.#added],
      // Before IR version 4 every initializer was listed as an input too.
      input: this.graph.input.filter(({ name }) => !this.#constants.has(name ?? '') && !isDropped(name ?? '')),
    };
    return this.#withImports(graph, domains);
  }

  #withImports(graph: GraphProto, domains: Readonly<Record<string, number>>): ModelProto {
    const imported = new Set(this.#model.opsetImport.map(({ domain }) => domainName(domain)));
    const missing = Object.entries(domains).filter(([domain]) => !imported.has(domain));
    return {
      ...this.#model,
      irVersion: Math.max(this.#model.irVersion ?? 0, IR_OVERRIDABLE_INPUTS),
      graph,
      opsetImport: [...this.#model.opsetImport, ...missing.map(([domain, version]) => ({ domain, version }))],
    };
  }
}

function isConstant(node: NodeProto): boolean {
  return node.opType === 'Constant' && domainName(node.domain) === 'ai.onnx';
}
