// Runs the selected nodes for one item, each as soon as its inputs are there. Values are promises, so branches run side by
// side and a value that two nodes take is made once. A value is let go when its last taker has run: decoded pictures must
// not lie in memory while their requests wait for a graph. A node that is fed a list runs for each of its items; a graph takes
// several of them at once where its package says how. What a graph makes of a list goes straight into the step that alone takes
// it, run by run: a reader's probabilities of all lines of a page would be hundreds of megabytes, its texts are nothing. What
// only a branch's other side would take isn't run, for a list item by item.
import type { PlannedNode } from '../package/dataflow.js';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { StepError, type Choosing, type PreparedStep } from '../steps/step.js';
import type { NamedTensor, Tensor } from '../tensor/tensor.js';
import type { ChoiceFacts } from './choice-facts.js';
import { planBatches, splitBatch } from './pipeline-batches.js';
import { faultAt } from './pipeline-faults.js';
import { guardsOf } from './pipeline-guards.js';
import { needsItem, PipelineNeeds, type Decision, type Need } from './pipeline-needs.js';
import type { PreparedDataflow } from './pipeline-prepare.js';
import { chosenRows, decidedRows, gatherRows, scatterRows } from './pipeline-rows.js';
import { soleTakers, type Selection } from './pipeline-selection.js';
import { isList, itemCount, itemOf, named, tensorsOf, type Made, type Value } from './pipeline-values.js';
import { ServingError } from './serving-error.js';

/** Runs a graph of the package once: feeds by the graph's input names, wanted outputs by its output names. */
export type RunGraph = (
  graph: string,
  feeds: readonly NamedTensor[],
  outputs: readonly string[],
  signal: AbortSignal,
) => Promise<readonly NamedTensor[]>;

/** What evaluating a request needs beside its values. */
export interface EvaluationModules {
  readonly runGraph: RunGraph;
  readonly onChoice?: ((choice: ChoiceFacts) => void) | undefined;
}

export type Values = ReadonlyMap<string, Tensor>;
/** By node: what it makes, by value name; values that nobody takes any more are taken out. */
export type Running = Map<PlannedNode, Promise<Made>>;

/** What the items of one list may take: boxes of a picture may overlap, and each be enlarged. */
const LIMIT_LIST_BYTES = 256 * 1024 * 1024;
/** Runs of one list's items that wait for the same graph: the next is there when one ends, and the queue is left to others. */
const BATCHES_AT_ONCE = 2;
/** After so many items the event loop gets its turn: steps run in the process that answers everybody. */
const ITEMS_A_TURN = 8;
/** How many takers of a value have yet to run. */
export type Takers = Map<string, number>;

/** The wanted values and the confidence. Rejects as Pipeline.run says. */
export function evaluate(
  dataflow: PreparedDataflow,
  selection: Selection,
  inputs: readonly NamedTensor[],
  modules: EvaluationModules,
  signal: AbortSignal,
): Promise<Values> {
  return new Evaluation(dataflow, selection, inputs, modules, signal).finish();
}

/** Of an evaluation that differs from others of the same request in one step. */
interface Sharing {
  /** The varied node and what takes from it: the others are run once for all. */
  readonly behind: ReadonlySet<PlannedNode>;
  readonly variations: ReadonlyMap<PlannedNode, PreparedStep>;
  /** Nodes that another evaluation runs already. */
  readonly shared: Running;
  /** Of all evaluations that share. They are made before any node has run, so no count falls to 0 too early. */
  readonly takers: Takers;
}

export class Evaluation {
  readonly running: Running;
  readonly #dataflow: PreparedDataflow;
  readonly #selection: Selection;
  readonly #given: Values;
  readonly #modules: EvaluationModules;
  readonly #signal: AbortSignal;
  readonly #sharing: Sharing;
  /** Undefined where no branch leaves anything out. */
  readonly #needs: PipelineNeeds | undefined;
  /** By graph: the step that is run with it when it is fed a list. */
  readonly #soleTakers: ReadonlyMap<PlannedNode, PlannedNode>;

  constructor(
    dataflow: PreparedDataflow,
    selection: Selection,
    inputs: readonly NamedTensor[],
    modules: EvaluationModules,
    signal: AbortSignal,
    sharing: Sharing = { behind: new Set(), variations: new Map(), shared: new Map(), takers: new Map() },
  ) {
    this.#dataflow = dataflow;
    this.#selection = selection;
    this.#given = new Map(inputs.map((input) => [input.name, input]));
    this.#modules = modules;
    this.#signal = signal;
    this.#sharing = sharing;
    // Evaluations that share a graph's values may each take them in another way.
    this.#soleTakers = sharing.variations.size > 0 ? new Map() : soleTakers(dataflow, selection);
    const conditions = { given: new Set(this.#given.keys()), kept: this.#kept(), varied: sharing.behind };
    const guards = dataflow.branches ? guardsOf(dataflow, selection, conditions) : undefined;
    this.#needs = guards && new PipelineNeeds(guards, (branch) => this.#decide(branch));
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
    const value = await this.#valueIfMade(name);
    if (value === undefined) throw new ServingError('failed', `the pipeline did not make '${name}'`);
    return value;
  }

  async #valueIfMade(name: string): Promise<Value | undefined> {
    const given = this.#given.get(name);
    if (given !== undefined) return given;
    const maker = this.#dataflow.plan.makerOf.get(name);
    return maker === undefined ? undefined : (await this.running.get(maker))?.get(name);
  }

  async #run(node: PlannedNode): Promise<Made> {
    const need = this.#needs === undefined ? true : await this.#needs.of(node);
    const made: Made =
      need === false ? new Map() : ((await this.#madeWithGraph(node)) ?? (await this.#runNode(node, need)));
    for (const { value } of node.inputs) await this.#release(value);
    return made;
  }

  async #runNode(node: PlannedNode, need: Need): Promise<Made> {
    const step = this.#stepOf(node);
    if (step?.chooses !== undefined) return this.#runBranch(node, step, step.chooses, need);
    const inputs = await Promise.all(node.inputs.map(({ value }) => this.#value(value)));
    this.#signal.throwIfAborted();
    const run = (fed: readonly Value[], of: Need): Promise<Made> =>
      step === undefined ? this.#runGraphNode(node, fed, of) : this.#runStepNode(node, step, fed, of);
    if (typeof need === 'boolean' || itemCount(inputs) !== undefined) return run(inputs, need);
    const places = need.flatMap((needed, at) => (needed ? [at] : []));
    const rows = tensorsOf(node, inputs).map((value) => gatherRows(node.title, value, places, need.length));
    const made = [...(await run(rows, true))];
    return new Map(made.map(([name, value]) => [name, scatterRows(node.title, itemOf(value, 0), places, need.length)]));
  }

  /** Undefined where the value that decides was left out itself. */
  async #decide(branch: PlannedNode): Promise<Decision> {
    await Promise.resolve(); // when the first node asks, the last one isn't in `running` yet
    const chooses = this.#stepOf(branch)?.chooses;
    const name = branch.inputs[0]?.value ?? '';
    const first = await this.#valueIfMade(name);
    if (first === undefined || chooses === undefined) return undefined;
    const maker = this.#given.has(name) ? undefined : this.#dataflow.plan.makerOf.get(name);
    const need = maker === undefined || this.#needs === undefined ? true : await this.#needs.of(maker);
    return this.#inStep(branch, async () => {
      if (isList(first)) return first.map((item) => item && chooses.holds(item));
      if (first.shape[0] === 1 || !this.#dataflow.rowBranches.has(branch)) return chooses.holds(first);
      return decidedRows(first, need, chooses, [...this.#given.keys()][0]);
    });
  }

  /** Only the sides that are taken are there. */
  async #runBranch(node: PlannedNode, step: PreparedStep, choosing: Choosing, need: Need): Promise<Made> {
    const { side, constants } = choosing;
    const decision = await this.#needs?.decision(node);
    const sides = typeof decision === 'object' ? decision.filter((_, at) => needsItem(need, at)) : [decision];
    const [count, held] = [node.inputs.length, sides.filter((one) => one === true).length];
    this.#modules.onChoice?.({ step: node.title, held, of: sides.length });
    const taken = new Set([0, ...[true, false].flatMap((one) => (sides.includes(one) ? side(one, count) : []))]);
    const inputs = await Promise.all(node.inputs.map(({ value }, at) => (taken.has(at) ? this.#value(value) : [])));
    this.#signal.throwIfAborted();
    const ofSide = (one: boolean | undefined): Value[] =>
      [0, ...side(one === true, count)].map((at) => inputs[at] ?? []);
    if (typeof decision !== 'object') return this.#runStepNode(node, step, ofSide(decision), need);
    if (itemCount(inputs.slice(0, 1)) === undefined) {
      const values = (one: boolean): readonly Tensor[] => {
        if (!sides.includes(one)) return [];
        return !one && constants !== undefined ? constants : tensorsOf(node, ofSide(one).slice(1));
      };
      const chosen = decision.map((one, at) => (needsItem(need, at) ? one : undefined));
      return named(node, chosenRows(node, chosen, values(true), values(false)));
    }
    return this.#runForEach(node, decision.length, need, (at) =>
      step.run(
        ofSide(decision[at]).map((value) => itemOf(value, at)),
        this.#signal,
      ),
    );
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

  #runStepNode(node: PlannedNode, step: PreparedStep, inputs: readonly Value[], need: Need): Promise<Made> {
    return this.#inStep(node, async () => {
      const lists = this.#dataflow.listNodes.get(node);
      const name = node.outputs[0]?.value ?? '';
      if (lists === 'makes') return new Map([[name, await step.run(tensorsOf(node, inputs), this.#signal)]]);
      if (lists === 'joins') return new Map([[name, await this.#join(name, step, inputs[0] ?? [])]]);
      const count = itemCount(inputs);
      if (count === undefined) return named(node, await step.run(tensorsOf(node, inputs), this.#signal));
      return this.#runForEach(node, count, need, (at) =>
        step.run(
          inputs.map((value) => itemOf(value, at)),
          this.#signal,
        ),
      );
    });
  }

  async #inStep<T>(node: PlannedNode, act: () => Promise<T>): Promise<T> {
    try {
      return await act();
    } catch (cause) {
      if (cause instanceof StepError) throw faultAt(this.#dataflow.plan, this.#given, node, cause);
      throw cause;
    }
  }

  async #runForEach(
    node: PlannedNode,
    count: number,
    need: Need,
    run: (at: number) => Promise<Tensor[]>,
  ): Promise<Made> {
    const lists = node.outputs.map(() => Array.from({ length: count }, (): Tensor | undefined => undefined));
    let bytes = 0;
    for (let at = 0; at < count; at += 1) {
      if (!needsItem(need, at)) continue;
      if (at % ITEMS_A_TURN === ITEMS_A_TURN - 1) await nextTurn();
      this.#signal.throwIfAborted();
      const made = await run(at);
      for (const [output, list] of lists.entries()) {
        const item = made[output];
        if (item === undefined) throw new Error(`${node.title} made no output ${output}`);
        list[at] = item;
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
    const [joined] = await step.run(
      items.map((_, at) => itemOf(items, at)),
      this.#signal,
    );
    if (joined === undefined) throw new Error(`nothing was joined to ${name}`);
    return joined;
  }

  async #runGraphNode(planned: PlannedNode, inputs: readonly Value[], need: Need): Promise<Made> {
    const count = itemCount(inputs);
    if (count === undefined) {
      const made = await this.#runOnce(planned, tensorsOf(planned, inputs));
      return new Map(made);
    }
    const places = Array.from({ length: count }, (_, at) => at).filter((at) => needsItem(need, at));
    const items = places.map((at) => inputs.map((value) => itemOf(value, at)));
    return this.#runBatches(planned, items, places, count);
  }

  /** `places`: where in a list of `count` each of the items stands. */
  async #runBatches(
    planned: PlannedNode,
    items: readonly (readonly Tensor[])[],
    places: readonly number[],
    count: number,
  ): Promise<Made> {
    const batches = planBatches(items, 'graph' in planned.node ? planned.node.batch : undefined);
    const made = (this.#soleTakers.get(planned)?.outputs ?? this.#wantedOf(planned)).map(({ value }) => value);
    const lists = new Map(
      made.map((value) => [value, Array.from({ length: count }, (): Tensor | undefined => undefined)]),
    );
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
            const one = itemOf(item.get(value) ?? [], 0);
            list[places[at]!] = one;
            bytes += one.data.byteLength;
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
      true,
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
    const made = await this.#modules.runGraph(
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
}

function tooLarge({ title }: PlannedNode): ServingError {
  return new ServingError('too-large', `the items of ${title} pass ${LIMIT_LIST_BYTES} bytes`);
}
