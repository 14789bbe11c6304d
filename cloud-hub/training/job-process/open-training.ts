// Everything that is looked at before the first update: graph, gradients, samples, labels, sides. What can't be trained fails here, with
// its place, and not after an hour.
import { dirname } from 'node:path';
import { decodeModel } from '@tidegate/shared/onnx/model-codec.js';
import type { ModelProto } from '@tidegate/shared/onnx/model-proto.js';
import type { ModelPackage } from '@tidegate/shared/package/model-package.js';
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { Files } from '@tidegate/shared/system/files.js';
import type { Digest } from '@tidegate/shared/wire/digest.js';
import { openDatasetReader, type DatasetReader } from '../../data/dataset-reader.js';
import { withExternalData } from '../../optimizer/inline-external-data.js';
import { buildStepGraph, type StepGraph } from '../step-graph/build-step-graph.js';
import { randomParameters } from '../step-graph/put-back.js';
import { OrderError } from './order-error.js';
import type { JobOrder, JobResult } from './job-order.js';
import { planSteps, type StepPlan } from './plan-steps.js';

/** Prepared rows that are kept in memory, and their share of a memory limit. */
const CACHE_BYTES = 256 * 1024 * 1024;
const CACHE_SHARE = 0.25;

interface OpenTrainingModules {
  readonly pack: ModelPackage;
  readonly content: { path(digest: Digest): string };
  readonly files: Files;
  readonly clock: Clock;
}

type Role = JobResult['sets'][number]['role'];

/** One set that parent and result are measured on: the held-out side of `reader`. */
export interface MeasuredSet {
  readonly dataset: string;
  readonly role: Role;
  readonly reader: DatasetReader;
}

export interface OpenTraining {
  /** Path of the graph in the package. */
  readonly graph: string;
  /** The parent's graph, its external data in it. */
  readonly model: ModelProto;
  /** The output that loss and metric are of. */
  readonly output: string;
  readonly step: StepGraph;
  readonly plan: StepPlan;
  readonly reader: DatasetReader;
  readonly sets: readonly MeasuredSet[];
  close(): Promise<void>;
}

/** Rejects with OrderError, DataError, PackageError, OnnxError, StepGraphError or GradientError. */
export async function openTraining(order: JobOrder, modules: OpenTrainingModules): Promise<OpenTraining> {
  const { pack, files } = modules;
  const { parameters, slices, datasets } = order;
  const { loss, fromScratch, seed } = parameters;
  const cacheBytes = Math.min(CACHE_BYTES, (order.memoryLimitBytes ?? Number.POSITIVE_INFINITY) * CACHE_SHARE);
  const ofGraph = { loss, ...(order.graph === undefined ? {} : { graph: order.graph }) };
  const reader = await openDatasetReader(
    { ...ofGraph, manifests: digestsOf(datasets), holdingOut: digestsOf(slices), cacheBytes },
    modules,
  );
  const sets: MeasuredSet[] = [];
  const close = async (): Promise<void> => {
    for (const each of [reader, ...sets.map((set) => set.reader)]) await each.close();
  };
  try {
    if (reader.counts.train === 0) {
      throw new OrderError('no-samples', 'no sample of the datasets is on their training side', { field: 'datasets' });
    }
    for (const [role, { spec, digest }] of [...roles('held-out', datasets), ...roles('slice', slices)]) {
      const side = await openDatasetReader({ ...ofGraph, manifests: [digest], cacheBytes: 0 }, modules);
      if (side.counts['held-out'] > 0) sets.push({ dataset: spec, role, reader: side });
      else if (role === 'slice') throw emptySlice(spec);
    }
    const path = reader.preparation.graph;
    const file = pack.pathOf(path);
    const model = await withExternalData(decodeModel(await files.read('job.graph', file)), dirname(file));
    const output = reader.classNames.output ?? onlyOutput(model);
    const step = buildStepGraph(fromScratch ? randomParameters(model, seed) : model, {
      ...parameters,
      ...(output === undefined ? {} : { output }),
      batchNormalization: fromScratch ? 'batch' : 'frozen',
    });
    await checkBatches(reader, order);
    const plan = planSteps(parameters, reader.counts.train);
    return { graph: path, model, output: output ?? '', step, plan, reader, sets, close };
  } catch (cause) {
    await close();
    throw cause;
  }
}

type DatasetOrder = JobOrder['datasets'][number];

const digestsOf = (datasets: readonly DatasetOrder[]): Digest[] => datasets.map(({ digest }) => digest);

function roles(role: Role, datasets: readonly DatasetOrder[]): [Role, DatasetOrder][] {
  return datasets.map((dataset) => [role, dataset]);
}

function emptySlice(spec: string): OrderError {
  const message = `the slice ${spec} has no held-out side, so nothing can be measured on it: freeze it with a larger held-out share`;
  return new OrderError('no-held-out', message, { field: 'slices' });
}

function onlyOutput({ graph }: ModelProto): string | undefined {
  return graph?.output.length === 1 ? graph.output[0]?.name : undefined;
}

/** Sizes of batches, and of targets, against what the graph declares. */
async function checkBatches(reader: DatasetReader, { parameters: { batchSize, loss } }: JobOrder): Promise<void> {
  for (const { name, shape } of reader.preparation.feeds) {
    const [rows = -1] = shape;
    if (rows < 0 || (rows === 1 && batchSize === 1)) continue;
    const message = `the graph's input ${name} takes ${rows} rows and no other number: export it with a free first dimension`;
    throw new OrderError('fixed-batch', rows === 1 ? `${message}, or train with batchSize 1` : message, {
      field: 'graph',
    });
  }
  if (loss !== 'mse') return;
  const { labels } = await reader.batch('train', [0], new AbortController().signal);
  const width = labels.shape[1] ?? 1;
  const spec = reader.preparation.outputs.find(({ port }) => port === reader.classNames.output)?.spec;
  const per = spec?.shape.slice(1) ?? [-1];
  const expected = per.reduce((product, size) => product * size, 1);
  if (per.some((size) => size < 0) || expected === width) return;
  const message = `the labels hold ${width} numbers, the graph answers ${expected} for each sample`;
  throw new OrderError('label-width', message, { field: 'datasets' });
}
