// Runs the selected nodes for one item, each as soon as its inputs are there. Values are promises, so branches run side by
// side and a value that two nodes take is made once. A value is let go when its last taker has run: decoded pictures must
// not lie in memory while their requests wait for a graph. A node that is fed a list runs for each of its items; a graph takes
// several of them at once where its package says how. What a graph makes of a list goes straight into the step that alone takes
// it, run by run: a reader's probabilities of all lines of a page would be hundreds of megabytes, its texts are nothing.
import type { PlannedNode } from '../package/dataflow.js';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { StepError, type PreparedStep } from '../steps/step.js';
import type { NamedTensor, Tensor } from '../tensor/tensor.js';
import { planBatches, splitBatch } from './pipeline-batches.js';
import type { PreparedDataflow, StepVariations } from './pipeline-prepare.js';
import type { Selection } from './pipeline-selection.js';
import { ServingError } from './serving-error.js';

/** Runs a graph of the package once: feeds by the graph's input names, wanted outputs by its output names. */
export type RunGraph = (
  graph: string,
  feeds: readonly NamedTensor[],
  outputs: readonly string[],
  signal: AbortSignal,
) => Promise<readonly NamedTensor[]>;

type Values = ReadonlyMap<string, Tensor>;
/** Inside the pipeline a value may be a list. Its items are made one after another, and differ in shape. */
type Value = Tensor | readonly Tensor[];
type Made = Map<string, Value>;
/** By node: what it makes, by value name; values that nobody takes any more are taken out. */
type Running = Map<PlannedNode, Promise<Made>>;

/** What the items of one list may take: boxes of a picture may overlap, and each be enlarged. */
const LIMIT_LIST_BYTES = 256 * 1024 * 1024;
/** Runs of one list's items that wait for the same graph: the next is there when one ends, and the queue is left to others. */
const BATCHES_AT_ONCE = 2;
/** After so many items the event loop gets its turn: steps run in the process that answers everybody. */
const ITEMS_A_TURN = 8;
/** How many takers of a value have yet to run. */
type Takers = Map<string, number>;

/** The wanted values and the confidence. Rejects as Pipeline.run says. */
export function evaluate(
  dataflow: PreparedDataflow,
  selection: Selection,
  inputs: readonly NamedTensor[],
  runGraph: RunGraph,
  signal: AbortSignal,
): Promise<Values> {
  return new Evaluation(dataflow, selection, inputs, runGraph, signal).finish();
}

/** The same once for each variation of a step; what doesn't hang on the varied step is made once for all. */
export async function evaluateVariations(
  dataflow: PreparedDataflow,
  { node, steps }: StepVariations,
  selection: Selection,
  inputs: readonly NamedTensor[],
  runGraph: RunGraph,
  signal: AbortSignal,
): Promise<Values[]> {
  const behind = nodesBehind(node, selection.nodes);
  let shared: Running = new Map();
  const takers: Takers = new Map();
  const evaluations = steps.map((step) => {
    const evaluation = new Evaluation(dataflow, selection, inputs, runGraph, signal, {
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

interface Sharing {
  readonly variations: ReadonlyMap<PlannedNode, PreparedStep>;
  /** Nodes that another evaluation runs already. */
  readonly shared: Running;
  /** Of all evaluations that share. They are made before any node has run, so no count falls to 0 too early. */
  readonly takers: Takers;
}

class Evaluation {
  readonly running: Running;
  readonly #dataflow: PreparedDataflow;
  readonly #selection: Selection;
  readonly #given: Values;
  readonly #runGraph: RunGraph;
  readonly #signal: AbortSignal;
  readonly #sharing: Sharing;
  /** By graph: the step that is run with it when it is fed a list. */
  readonly #soleTakers: ReadonlyMap<PlannedNode, PlannedNode>;

  constructor(
    dataflow: PreparedDataflow,
    selection: Selection,
    inputs: readonly NamedTensor[],
    runGraph: RunGraph,
    signal: AbortSignal,
    sharing: Sharing = { variations: new Map(), shared: new Map(), takers: new Map() },
  ) {
    this.#dataflow = dataflow;
    this.#selection = selection;
    this.#given = new Map(inputs.map((input) => [input.name, input]));
    this.#runGraph = runGraph;
    this.#signal = signal;
    this.#sharing = sharing;
    // Evaluations that share a graph's values may each take them in another way.
    this.#soleTakers = sharing.variations.size > 0 ? new Map() : soleTakers(dataflow, selection);
    this.running = new Map(sharing.shared);
    for (const name of this.#kept()) this.#retain(name);
    for (const node of selection.nodes) {
      if (this.running.has(node)) continue;
      for (const { value } of node.inputs) this.#retain(value);
      this.running.set(node, this.#run(node));
    }
  }

  /** Waits for every node, so that no failure goes unheard, and hands out what is wanted. */
  async finish(): Promise<Values> {
    await Promise.all(this.running.values());
    const values = new Map<string, Tensor>();
    for (const name of this.#kept()) {
      const value = await this.#value(name);
      if (isList(value)) throw new Error(`the list ${name} leaves the pipeline`);
      values.set(name, value);
      await this.#release(name);
    }
    return values;
  }

  #kept(): ReadonlySet<string> {
    const { wanted, confidence } = this.#selection;
    return new Set(confidence === undefined ? wanted : [...wanted, confidence]);
  }

  #retain(name: string): void {
    const { takers } = this.#sharing;
    takers.set(name, (takers.get(name) ?? 0) + 1);
  }

  async #release(name: string): Promise<void> {
    const { takers } = this.#sharing;
    const left = (takers.get(name) ?? 0) - 1;
    takers.set(name, left);
    const maker = this.#dataflow.plan.makerOf.get(name);
    if (left > 0 || maker === undefined) return;
    (await this.running.get(maker))?.delete(name);
  }

  async #value(name: string): Promise<Value> {
    const given = this.#given.get(name);
    if (given !== undefined) return given;
    const maker = this.#dataflow.plan.makerOf.get(name);
    const made = maker === undefined ? undefined : (await this.running.get(maker))?.get(name);
    if (made === undefined) throw new ServingError('failed', `the pipeline did not make '${name}'`);
    return made;
  }

  async #run(node: PlannedNode): Promise<Made> {
    const made = (await this.#madeWithGraph(node)) ?? (await this.#runNode(node));
    for (const { value } of node.inputs) await this.#release(value);
    return made;
  }

  async #runNode(node: PlannedNode): Promise<Made> {
    const inputs = await Promise.all(node.inputs.map(({ value }) => this.#value(value)));
    this.#signal.throwIfAborted();
    const step = this.#stepOf(node);
    return step === undefined ? this.#runGraphNode(node, inputs) : this.#runStepNode(node, step, inputs);
  }

  #stepOf(node: PlannedNode): PreparedStep | undefined {
    return this.#sharing.variations.get(node) ?? this.#dataflow.steps.get(node);
  }

  /** What a graph's run over a list has made already for its only taker. */
  async #madeWithGraph(node: PlannedNode): Promise<Made | undefined> {
    const graph = this.#dataflow.plan.makerOf.get(node.inputs[0]?.value ?? '');
    if (graph === undefined || this.#soleTakers.get(graph) !== node) return undefined;
    const made = await this.running.get(graph);
    const own = node.outputs.flatMap(({ value }) => {
      const list = made?.get(value);
      made?.delete(value);
      return list === undefined ? [] : [[value, list] as const];
    });
    return own.length === 0 ? undefined : new Map(own);
  }

  async #runStepNode(node: PlannedNode, step: PreparedStep, inputs: readonly Value[]): Promise<Made> {
    try {
      const lists = this.#dataflow.listNodes.get(node);
      const name = node.outputs[0]?.value ?? '';
      if (lists === 'makes') return new Map([[name, await step.run(tensorsOf(node, inputs), this.#signal)]]);
      if (lists === 'joins') return new Map([[name, await this.#join(name, step, inputs[0] ?? [])]]);
      const count = itemCount(inputs);
      if (count === undefined) return named(node, await step.run(tensorsOf(node, inputs), this.#signal));
      return await this.#runForEach(node, count, (at) =>
        step.run(
          inputs.map((value) => itemOf(value, at)),
          this.#signal,
        ),
      );
    } catch (cause) {
      if (cause instanceof StepError) throw this.#stepFault(node, cause);
      throw cause;
    }
  }

  async #runForEach(node: PlannedNode, count: number, run: (at: number) => Promise<Tensor[]>): Promise<Made> {
    const lists = node.outputs.map((): Tensor[] => []);
    let bytes = 0;
    for (let at = 0; at < count; at += 1) {
      if (at % ITEMS_A_TURN === ITEMS_A_TURN - 1) await nextTurn();
      this.#signal.throwIfAborted();
      const made = await run(at);
      for (const [output, list] of lists.entries()) {
        const item = made[output];
        if (item === undefined) throw new Error(`${node.title} made no output ${output}`);
        list.push(item);
        bytes += item.data.byteLength;
      }
      if (bytes > LIMIT_LIST_BYTES) throw tooLarge(node);
    }
    return new Map(node.outputs.map(({ value }, output) => [value, lists[output] ?? []]));
  }

  async #join(name: string, step: PreparedStep, list: Value): Promise<Tensor> {
    const items = isList(list) ? list : [list];
    const type = this.#dataflow.types.get(name);
    if (items.length === 0 && type !== undefined) {
      const shape = [0, ...type.shape.slice(1).map((size) => Math.max(size, 0))];
      return { datatype: type.datatype, shape, data: new Uint8Array() };
    }
    const [joined] = await step.run(items, this.#signal);
    if (joined === undefined) throw new Error(`nothing was joined to ${name}`);
    return joined;
  }

  async #runGraphNode(planned: PlannedNode, inputs: readonly Value[]): Promise<Made> {
    const count = itemCount(inputs);
    if (count === undefined) {
      const made = await this.#runOnce(planned, tensorsOf(planned, inputs));
      return new Map(made);
    }
    const items = Array.from({ length: count }, (_, at) => inputs.map((value) => itemOf(value, at)));
    return this.#runBatches(planned, items);
  }

  async #runBatches(planned: PlannedNode, items: readonly (readonly Tensor[])[]): Promise<Made> {
    const batches = planBatches(items, 'graph' in planned.node ? planned.node.batch : undefined);
    const made = (this.#soleTakers.get(planned)?.outputs ?? this.#wantedOf(planned)).map(({ value }) => value);
    const lists = new Map<string, Tensor[]>(made.map((value) => [value, []]));
    let [next, bytes] = [0, 0];
    const worker = async (): Promise<void> => {
      for (let batch = batches[next++]; batch !== undefined; batch = batches[next++]) {
        this.#signal.throwIfAborted();
        const rows = batch.items.map((at) => items[at]?.[0]?.shape[0] ?? 1);
        const outputs = [...(await this.#runOnce(planned, batch.feeds))].map(
          ([value, all]) => [value, rows.length === 1 ? [all] : splitBatch(planned.title, all, rows)] as const,
        );
        for (const [row, at] of batch.items.entries()) {
          const item = await this.#taken(planned, new Map(outputs.map(([value, parts]) => [value, parts[row]!])));
          for (const [value, list] of lists) {
            list[at] = itemOf(item.get(value) ?? [], 0);
            bytes += list[at].data.byteLength;
          }
        }
        if (bytes > LIMIT_LIST_BYTES) throw tooLarge(planned);
      }
    };
    await Promise.all(Array.from({ length: Math.min(BATCHES_AT_ONCE, batches.length) }, worker));
    return lists;
  }

  /** One item of a graph, or what its only taker makes of it. */
  async #taken(graph: PlannedNode, item: Values): Promise<Made> {
    const taker = this.#soleTakers.get(graph);
    const step = taker === undefined ? undefined : this.#stepOf(taker);
    if (taker === undefined || step === undefined) return new Map(item);
    return this.#runStepNode(
      taker,
      step,
      taker.inputs.map(({ value }) => itemOf(item.get(value) ?? [], 0)),
    );
  }

  #wantedOf(planned: PlannedNode): PlannedNode['outputs'] {
    return planned.outputs.filter(({ value }) => this.#selection.values.has(value));
  }

  async #runOnce(planned: PlannedNode, inputs: readonly Tensor[]): Promise<Map<string, Tensor>> {
    const { node } = planned;
    if (!('graph' in node)) throw new Error(`${planned.title} was not prepared`);
    const feeds = planned.inputs.flatMap(({ port }, at) =>
      inputs[at] === undefined ? [] : [{ ...inputs[at], name: port }],
    );
    const wanted = this.#wantedOf(planned);
    const made = await this.#runGraph(
      node.graph,
      feeds,
      wanted.map(({ port }) => port),
      this.#signal,
    );
    const byPort = new Map(made.map((tensor) => [tensor.name, tensor]));
    return new Map(
      wanted.map(({ port, value }) => {
        const tensor = byPort.get(port);
        if (tensor === undefined) throw new ServingError('failed', `${planned.title} did not make '${port}'`);
        return [value, tensor];
      }),
    );
  }

  /** Before any graph the caller's input is at fault, behind one the model is. */
  #stepFault(node: PlannedNode, cause: StepError): ServingError {
    const fed = this.#feeding(node);
    if (fed === undefined) return new ServingError('failed', cause.message, { cause });
    const field = fed[0] ?? 'inputs';
    return new ServingError('invalid-argument', `input '${field}': ${cause.message}`, { cause, field });
  }

  /** The given inputs that reach a node through steps alone; undefined where a graph lies between. */
  #feeding(node: PlannedNode): string[] | undefined {
    const found: string[] = [];
    const open = [node];
    for (let next = open.pop(); next !== undefined; next = open.pop()) {
      if ('graph' in next.node) return undefined;
      for (const { value } of next.inputs) {
        const maker = this.#dataflow.plan.makerOf.get(value);
        if (this.#given.has(value) || maker === undefined) found.push(value);
        else open.push(maker);
      }
    }
    return found;
  }
}

/** Graphs whose values one step takes, which takes nothing else, and the step. */
function soleTakers({ listNodes }: PreparedDataflow, { nodes }: Selection): Map<PlannedNode, PlannedNode> {
  const found = new Map<PlannedNode, PlannedNode>();
  for (const graph of nodes) {
    if (!('graph' in graph.node)) continue;
    const values = new Set(graph.outputs.map(({ value }) => value));
    const takers = nodes.filter(({ inputs }) => inputs.some(({ value }) => values.has(value)));
    const [taker] = takers;
    if (taker === undefined || takers.length > 1 || !('step' in taker.node) || listNodes.has(taker)) continue;
    if (taker.inputs.every(({ value }) => values.has(value))) found.set(graph, taker);
  }
  return found;
}

function isList(value: Value): value is readonly Tensor[] {
  return Array.isArray(value);
}

/** Items of the lists among the values; undefined where there is none. They are equally many: their origin is one. */
function itemCount(values: readonly Value[]): number | undefined {
  return values.find(isList)?.length;
}

/** What stands for item `at`: of a list its item, of any other value the value. */
function itemOf(value: Value, at: number): Tensor {
  const item = isList(value) ? value[at] : value;
  if (item === undefined) throw new Error(`a list has no item ${at}`);
  return item;
}

function tensorsOf(node: PlannedNode, values: readonly Value[]): Tensor[] {
  return values.map((value) => {
    if (isList(value)) throw new Error(`${node.title} was fed a list`);
    return value;
  });
}

function named(node: PlannedNode, made: readonly Tensor[]): Made {
  return new Map(node.outputs.flatMap(({ value }, at) => (made[at] === undefined ? [] : [[value, made[at]] as const])));
}

function tooLarge({ title }: PlannedNode): ServingError {
  return new ServingError('too-large', `the items of ${title} pass ${LIMIT_LIST_BYTES} bytes`);
}
