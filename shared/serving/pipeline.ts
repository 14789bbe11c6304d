// A package's pipeline, from the picture to the answer (design 13): runs the nodes that a request needs, item by item where
// a step takes items, and leaves the graphs to whoever is injected (the scheduler with its batches, or a test). Steps run
// here, before the queue. The hub asks for `runHeavy`, which reads in several ways and keeps the most confident answer.
import { setMaxListeners } from 'node:events';
import type { GraphSignature } from '../package/model-package.js';
import { stepCatalogue, type StepCatalogue } from '../steps/step-catalogue.js';
import type { StepAssets } from '../steps/step.js';
import { float32Of, type NamedTensor, type Tensor, type TensorSpec } from '../tensor/tensor.js';
import type { ModelYaml } from '../wire/model-yaml.js';
import { evaluate, type EvaluationModules, type RunGraph } from './pipeline-evaluate.js';
import { pipelineCuts, type PipelineCut } from './pipeline-cuts.js';
import { joinItems, splitItems } from './pipeline-items.js';
import { prepareDataflow, type PreparedDataflow } from './pipeline-prepare.js';
import { select, type Selection } from './pipeline-selection.js';
import { evaluateVariations } from './pipeline-variations.js';
import { ServingError } from './serving-error.js';

export type { RunGraph } from './pipeline-evaluate.js';

/** Items of one request that are under way at once; the others wait. */
export const ITEMS_AT_ONCE = 8;
/** The outputs of all items together: a thousand pictures may not ask for a thousand bitmaps. */
export const LIMIT_ANSWER_BYTES = 256 * 1024 * 1024;

interface PipelineRequest {
  readonly inputs: readonly NamedTensor[];
  /** Names of wanted values; empty = the model's outputs, or a graph's own where its inputs were given. */
  readonly outputs: readonly string[];
  /** Hears which side each branch takes, once for each item of the request. */
  readonly onChoice?: EvaluationModules['onChoice'];
}

export interface PipelineAnswer {
  /** In the order asked for. */
  readonly outputs: readonly NamedTensor[];
  /** Smallest value of model.yaml's `confidence.output` over all items; undefined where it isn't made. NaN counts as 0. */
  readonly confidence: number | undefined;
  /** Of runHeavy: for each item, which of `heavy.vary.values` was kept. */
  readonly kept?: readonly number[];
}

/**
 * Reads assets, orders the dataflow and checks its types against the graphs' own. `signatures` by the graphs' paths in the
 * package. Rejects with PackageError `invalid-model`, which names the node.
 */
export async function preparePipeline(
  yaml: ModelYaml,
  assets: StepAssets,
  signatures: ReadonlyMap<string, GraphSignature>,
  catalogue: StepCatalogue = stepCatalogue,
): Promise<Pipeline> {
  return new Pipeline(yaml, await prepareDataflow(yaml, assets, signatures, catalogue));
}

export class Pipeline {
  readonly #yaml: ModelYaml;
  readonly #dataflow: PreparedDataflow;
  readonly #sides = new Map<string, { held: number; other: number }>();
  /** Where it can be cut in two. */
  readonly cuts: readonly PipelineCut[];

  /** By preparePipeline. */
  constructor(yaml: ModelYaml, dataflow: PreparedDataflow) {
    this.#yaml = yaml;
    this.#dataflow = dataflow;
    this.cuts = pipelineCuts(yaml, dataflow);
  }

  get inputs(): readonly TensorSpec[] {
    return this.#yaml.inputs;
  }

  get outputs(): readonly TensorSpec[] {
    return this.#yaml.outputs;
  }

  /** Values between the nodes, where a request may enter or leave. */
  get inner(): readonly TensorSpec[] {
    const { types, graphInputs } = this.#dataflow;
    const isPublic = new Set([...this.inputs, ...this.outputs].map(({ name }) => name));
    return [...types]
      .filter(([name]) => !isPublic.has(name))
      .map(([name, type]) => {
        const { datatype, shape } = graphInputs.get(name) ?? type;
        return { name, datatype, shape };
      });
  }

  /** By the branch's name in errors: for how many items its test held, and for how many not, since the pipeline is there. */
  get sides(): ReadonlyMap<string, { readonly held: number; readonly other: number }> {
    return this.#sides;
  }

  /** Does model.yaml say what the hub does more? */
  get hasHeavy(): boolean {
    return this.#dataflow.heavy !== undefined;
  }

  /** Throws ServingError `invalid-argument` for a request that `run` would refuse by its names, types and shapes. */
  check(request: PipelineRequest): void {
    select(this.#yaml, this.#dataflow, request.inputs, request.outputs);
  }

  /**
   * Answers once. Rejects with ServingError `invalid-argument` (field = the input; says which item), `too-large`, with
   * `runGraph`'s own error, or with the signal's reason.
   */
  async run(request: PipelineRequest, runGraph: RunGraph, signal: AbortSignal): Promise<PipelineAnswer> {
    const selection = select(this.#yaml, this.#dataflow, request.inputs, request.outputs);
    const modules = this.#modules(request, runGraph);
    const each = async (item: readonly NamedTensor[], itemSignal: AbortSignal): Promise<ItemAnswer> => ({
      values: await evaluate(this.#dataflow, selection, item, modules, itemSignal),
      kept: 0,
    });
    const items = await this.#overItems(selection, request.inputs, each, signal);
    return join(selection, items);
  }

  /** As run, over each of `heavy.vary.values`, keeping for each item the most confident; without `heavy` the same as run. */
  async runHeavy(request: PipelineRequest, runGraph: RunGraph, signal: AbortSignal): Promise<PipelineAnswer> {
    const { heavy } = this.#dataflow;
    const selection = select(this.#yaml, this.#dataflow, request.inputs, request.outputs);
    if (heavy === undefined || !selection.nodes.includes(heavy.node)) return this.run(request, runGraph, signal);
    const withKeep = { ...request, outputs: [...new Set([...selection.wanted, heavy.keep])] };
    const wider = select(this.#yaml, this.#dataflow, withKeep.inputs, withKeep.outputs);
    const modules = this.#modules(request, runGraph);
    const each = async (item: readonly NamedTensor[], itemSignal: AbortSignal): Promise<ItemAnswer> => {
      const answers = await evaluateVariations(this.#dataflow, heavy, wider, item, modules, itemSignal);
      const confidences = answers.map((values) => smallest(values.get(heavy.keep)) ?? 0);
      const kept = confidences.indexOf(Math.max(...confidences));
      return { values: answers[kept] ?? new Map(), kept };
    };
    const items = await this.#overItems(wider, request.inputs, each, signal);
    return { ...join({ ...wider, wanted: selection.wanted }, items), kept: items.map(({ kept }) => kept) };
  }

  #modules({ onChoice }: PipelineRequest, runGraph: RunGraph): EvaluationModules {
    if (!this.#dataflow.branches) return { runGraph };
    return {
      runGraph,
      onChoice: (choice) => {
        const { step, held, of } = choice;
        const before = this.#sides.get(step);
        this.#sides.set(step, { held: (before?.held ?? 0) + held, other: (before?.other ?? 0) + of - held });
        onChoice?.(choice);
      },
    };
  }

  async #overItems(
    selection: Selection,
    inputs: readonly NamedTensor[],
    each: (item: readonly NamedTensor[], signal: AbortSignal) => Promise<ItemAnswer>,
    signal: AbortSignal,
  ): Promise<ItemAnswer[]> {
    if (!selection.itemWise) return [await each(inputs, signal)];
    const items = splitItems(inputs);
    if (items.length !== 1 && selection.nodes.some(({ node }) => 'graph' in node && node.state !== undefined)) {
      const text = `input '${inputs[0]?.name}' has ${items.length} items; a model with state takes 1 a request`;
      throw new ServingError('invalid-argument', text, { field: inputs[0]?.name ?? 'inputs' });
    }
    const failed = new AbortController();
    const itemSignal = AbortSignal.any([signal, failed.signal]);
    setMaxListeners(0, itemSignal); // every graph of every item listens: no leak, as Node would warn
    const answers: ItemAnswer[] = [];
    let [next, answerBytes] = [0, 0];
    const worker = async (): Promise<void> => {
      for (let at = next++; at < items.length; at = next++) {
        itemSignal.throwIfAborted();
        const answer = await each(items[at] ?? [], itemSignal).catch((cause: unknown) => {
          throw items.length > 1 ? namingItem(cause, at) : cause;
        });
        answers[at] = answer;
        for (const { data } of answer.values.values()) answerBytes += data.byteLength;
        if (answerBytes > LIMIT_ANSWER_BYTES) throw tooLarge(selection.wanted);
      }
    };
    try {
      await Promise.all(Array.from({ length: Math.min(ITEMS_AT_ONCE, items.length) }, worker));
    } catch (cause) {
      failed.abort(cause); // one bad item: the others' work is not wanted any more
      throw cause;
    }
    return answers;
  }
}

interface ItemAnswer {
  readonly values: ReadonlyMap<string, Tensor>;
  readonly kept: number;
}

function join({ wanted, confidence }: Selection, items: readonly ItemAnswer[]): PipelineAnswer {
  const outputs = wanted.map((name) =>
    joinItems(
      name,
      items.map(({ values }) => valueOf(values, name)),
    ),
  );
  if (confidence === undefined) return { outputs, confidence: undefined };
  const all = items.map(({ values }) => smallest(valueOf(values, confidence))).filter((one) => one !== undefined);
  return { outputs, confidence: all.length === 0 ? undefined : Math.min(...all) };
}

function valueOf(values: ReadonlyMap<string, Tensor>, name: string): Tensor {
  const value = values.get(name);
  if (value === undefined) throw new Error(`the pipeline did not make ${name}`);
  return value;
}

/** Smallest element of an FP32 value; a NaN is no confidence at all. */
function smallest(value: Tensor | undefined): number | undefined {
  if (value?.datatype !== 'FP32' || value.data.byteLength === 0) return undefined;
  return float32Of(value).reduce((least, one) => Math.min(least, Number.isNaN(one) ? 0 : one), Infinity);
}

function tooLarge(wanted: readonly string[]): ServingError {
  const message = `the answer's outputs (${wanted.join(', ')}) pass ${LIMIT_ANSWER_BYTES} bytes; ask for fewer items at a time`;
  return new ServingError('too-large', message, { field: wanted[0] ?? 'outputs' });
}

function namingItem(cause: unknown, at: number): unknown {
  if (!(cause instanceof ServingError)) return cause;
  const { code, field } = cause;
  return new ServingError(code, `item ${at}: ${cause.message}`, { cause, ...(field === undefined ? {} : { field }) });
}
