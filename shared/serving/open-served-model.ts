// Loading a package so that it answers: one executor and one scheduler per graph, what its sequences carry, its pipeline with all
// types checked. Nothing stays loaded where any of it fails.
import { posix } from 'node:path';
import { paddingRule } from '../package/graph-padding.js';
import { carriedState, hasState } from '../package/graph-state.js';
import type { ModelPackage } from '../package/model-package.js';
import { openPackage } from '../package/open-package.js';
import { UnchangedFiles } from '../package/unchanged-files.js';
import { CrashRecord } from '../runtime/crash-record.js';
import type { ProviderReport } from '../runtime/engine.js';
import type { LoadPhase } from '../runtime/graph-runner.js';
import { canBatch } from '../scheduling/rows.js';
import { Scheduler } from '../scheduling/scheduler.js';
import type { ModelYaml } from '../wire/model-yaml.js';
import { classLabels } from './class-labels.js';
import { EndedSequences } from './ended-sequences.js';
import type { GraphSlot } from './evaluate-request.js';
import { stageIdentity } from './kept-stages.js';
import { preparePipeline } from './pipeline.js';
import { providerInUse, unmetRequirement, type GraphInUse } from './provider-in-use.js';
import { Sequences } from './sequences.js';
import { ServingError } from './serving-error.js';
import { graphTraits } from './served-graph-file.js';
import {
  ServedModel,
  type LoadObserver,
  type ServedModelIdentity,
  type ServedModelModules,
  type ServedModelOptions,
} from './served-model.js';

/**
 * Opens the package at `path` and loads its graphs. Rejects with PackageError, RuntimeError `load-failed`, or
 * ServingError `not-ready` where what it requires isn't met; nothing stays loaded then.
 */
export async function openServedModel(
  path: string,
  identity: ServedModelIdentity,
  options: ServedModelOptions,
  modules: ServedModelModules,
  signal: AbortSignal,
): Promise<ServedModel> {
  const pack = await openPackage(path, modules, { name: identity.name, signal });
  return serveModel(pack, identity, options, modules, signal);
}

/** As openServedModel, of a package that is open already. */
export async function serveModel(
  pack: ModelPackage,
  identity: ServedModelIdentity,
  options: ServedModelOptions,
  modules: ServedModelModules,
  signal: AbortSignal,
): Promise<ServedModel> {
  const { runtime, inspect, clock, onRun, onLoading } = modules;
  let model: ServedModel | undefined;
  const ran = (rows: number, computeUs: number): void => {
    if (model?.testing !== true) onRun?.(identity.name, identity.version, rows, computeUs);
  };
  const graphs = [...new Set(pack.yaml.pipeline.flatMap((node) => ('graph' in node ? [node.graph] : [])))];
  const crashes = new CrashRecord(clock, options.restartLimits);
  const slots: GraphSlot[] = [];
  let deterministic = true;
  try {
    for (const graph of graphs) {
      const label = `${identity.name}@${identity.variantDigest.slice(0, 'sha256:'.length + 8)}`;
      const { providers, intraOpThreads, queueDepthMax } = options;
      const path = pack.pathOf(graph);
      const state = hasState(pack.yaml) ? carriedState(pack.yaml, graph, await inspect(path)) : undefined;
      const carrying = {
        ...(state === undefined ? {} : { state }),
        ...(options.keepCompiled === true ? { content: `${identity.variantDigest} ${graph}` } : {}),
      };
      const traits = await graphTraits(path);
      const { timeVaries } = traits;
      const read = [graph, ...traits.externalData.map((data) => posix.join(posix.dirname(graph), data))];
      const sizeBytes = pack.files.reduce((sum, file) => sum + (read.includes(file.path) ? file.sizeBytes : 0), 0);
      const unchanged = new UnchangedFiles(pack, read);
      const verify = (): Promise<void> => unchanged.check();
      const onPhase = onLoading && phasesOf(graph, slots.length, graphs.length, onLoading);
      const concurrencyMax = pack.yaml.limits.concurrency;
      const run = { providers, intraOpThreads, concurrencyMax };
      const accept = (provider: ProviderReport): void => {
        const inUse = slots.map((slot) => (slot.graph === graph ? { provider, nodes: slot.nodes } : graphInUse(slot)));
        requireProvider(pack.yaml, inUse, options);
      };
      const loading = { label, path, timeVaries, ...run, crashes, verify, accept, sizeBytes, onPhase, ...carrying };
      await verify(); // the package may have been opened a while ago
      const runner = await runtime.load(loading, signal);
      deterministic &&= traits.deterministic && state === undefined;
      const maxRows = traits.rowsMayBatch && state === undefined ? pack.yaml.batching.maxRows : 1;
      const cores = runner.provider.runs === 'cpu' ? modules.cores : modules.cores?.apart(runner.concurrency);
      const onPaddingOff = (reason: string): void =>
        modules.log?.warn(
          { model: identity.name, graph, reason },
          'padding is off: requests of different lengths run apart',
        );
      const observed = { clock, cores, onPaddingOff, ...(slots.length === 0 ? { onRun: ran } : {}) };
      const ragged = paddingRule(pack.yaml, graph, runner);
      const batchRowsMax = canBatch(runner.inputs, runner.outputs) ? maxRows : 1;
      const scheduler = new Scheduler(runner, { maxRows, queueDepthMax, ragged }, observed);
      const kept = traits.deterministic && state === undefined && pack.yaml.cache.stages.includes(graph);
      const runs = [runner.engine.name, runner.engine.version, runner.provider.runs];
      const { externalData } = traits;
      const stage = kept ? stageIdentity(graph, { files: pack.files, externalData }, runs) : undefined;
      slots.push({ graph, runner, scheduler, batchRowsMax, stage, nodes: traits.nodes, state, ragged });
      await verify(); // what the engine has read is what the digest names
    }
    requireProvider(pack.yaml, slots.map(graphInUse), options);
    const signatures = new Map(slots.map(({ graph, runner }) => [graph, runner]));
    const pipeline = await preparePipeline(pack.yaml, pack, signatures);
    const labels = await classLabels(pack.yaml, pack);
    const sequences = hasState(pack.yaml) ? openSequences(identity.name, pack.yaml, slots, modules) : undefined;
    const parts = { pack, slots, crashes, pipeline, deterministic, labels, sequences };
    model = new ServedModel(identity, options, parts, clock);
    return model;
  } catch (error) {
    await Promise.all(slots.map(({ runner }) => runner.close()));
    throw error;
  }
}

/** One that compiles is half done by then, as it is loaded once more. */
function phasesOf(graph: string, done: number, count: number, onLoading: LoadObserver): (phase: LoadPhase) => void {
  const name = posix.basename(graph);
  let compiled = false;
  return (phase) => {
    const share = (done + (compiled && phase === 'loading' ? 0.5 : 0)) / count;
    compiled ||= phase === 'compiling';
    onLoading(share, count === 1 ? `${phase} ${name}` : `${phase} ${name}, ${done + 1} of ${count} graphs`);
  };
}

function graphInUse({ runner, nodes }: GraphSlot): GraphInUse {
  return { provider: runner.provider, nodes };
}

/** Throws ServingError `not-ready` where another provider is required than what runs. */
function requireProvider(
  { require }: ModelYaml,
  graphs: readonly GraphInUse[],
  { required = false, requireGpu = false }: ServedModelOptions,
): void {
  if (!required || graphs.length === 0) return;
  const unmet = unmetRequirement(require, providerInUse(graphs), requireGpu);
  if (unmet !== undefined) throw new ServingError('not-ready', unmet);
}

function openSequences(
  model: string,
  { sequences }: ModelYaml,
  slots: readonly GraphSlot[],
  { clock, log, endedSequences: ended = new EndedSequences() }: ServedModelModules,
): Sequences {
  const forget = (key: number): void => {
    for (const { runner, state } of slots) if (state !== undefined) runner.forget?.(key);
  };
  return new Sequences(sequences, { model, clock, log, ended, forget });
}
