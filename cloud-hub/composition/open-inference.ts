// Inference on the hub: the catalogue of ready versions, the models that are loaded, and the protocol's front over them.
import { AnswerCache } from '@tidegate/shared/cache/answer-cache.js';
import { MemoryLayer } from '@tidegate/shared/cache/memory-layer.js';
import { BodyBudget } from '@tidegate/shared/serving/http/body-budget.js';
import { createOipHandler, type OipHandler } from '@tidegate/shared/serving/http/oip-handler.js';
import { DEFAULT_OIP_LIMITS } from '@tidegate/shared/serving/http/oip-limits.js';
import { openPackage } from '@tidegate/shared/package/open-package.js';
import { openResidency } from '@tidegate/shared/residency/open-residency.js';
import { RESTART_LIMITS } from '@tidegate/shared/runtime/restart-policy.js';
import { Cores } from '@tidegate/shared/scheduling/cores.js';
import { CountedService } from '@tidegate/shared/serving/counted-service.js';
import { InferenceStatistics } from '@tidegate/shared/serving/inference-statistics.js';
import { inspectGraphFile } from '@tidegate/shared/serving/served-graph-file.js';
import { EndedSequences } from '@tidegate/shared/serving/ended-sequences.js';
import { BestThreads } from '@tidegate/shared/serving/measured-threads.js';
import { openServedModel, serveModel } from '@tidegate/shared/serving/open-served-model.js';
import type { ServedModel, ServedModelModules, ServedModelOptions } from '@tidegate/shared/serving/served-model.js';
import { ThreadsFile } from '@tidegate/shared/serving/threads-file.js';
import { observeBusyShare } from '@tidegate/shared/system/busy-share.js';
import { usableCores } from '@tidegate/shared/system/cgroup-limits.js';
import { collectUnusedBuffers } from '@tidegate/shared/system/unused-buffers.js';
import type { openHubGrpc } from '../api/hub-grpc.js';
import { HUB_VERSION } from '../hub-version.js';
import { Catalogue } from '../inference/catalogue.js';
import { HubInference } from '../inference/hub-inference.js';
import { KeptAnswers } from '../inference/kept-answers.js';
import { KnownModels } from '../inference/known-models.js';
import type { RegistryService } from '../registry/registry-service.js';
import { findOrigin } from '../training/lineage/lineage-rows.js';
import type { Closing } from './closing.js';
import { QUEUE_DEPTH, type Parts } from './parts.js';

export interface InferenceParts {
  readonly catalogue: Catalogue;
  readonly inference: HubInference;
  /** Versions that the hub was asked for, in memory or on demand. */
  readonly models: KnownModels;
  /** The hub's own answers. */
  readonly answers: AnswerCache;
  /** What they compute on. */
  readonly cores: Cores;
  readonly oip: OipHandler;
  /** What every protocol's front is made of. */
  readonly protocols: Omit<Parameters<typeof openHubGrpc>[1], 'tokens'>;
}

export async function openInference(
  parts: Parts,
  registry: RegistryService,
  trainingPids: () => readonly number[],
  closing: Closing,
): Promise<InferenceParts> {
  const { clock, log, files, settings, limits, db, runtime, content, events } = parts;
  const evaluationOf = async (model: string, version: number) => (await findOrigin(db, model, version))?.evaluation;
  const catalogue = new Catalogue({ db, registry, content, evaluationOf, log });
  await catalogue.refresh();
  const stopListening = events.on((event) => {
    if (event.kind !== 'version' || event.version.state !== 'ready') return;
    catalogue.refresh().catch((cause: unknown) => log.error({ err: cause }, 'the catalogue could not be read'));
  });
  const statistics = new InferenceStatistics();
  const residency = openResidency(
    { budgetBytes: settings.memoryBudget, modelsMax: settings.loadedModels },
    { limits, clock, log, files, otherPids: trainingPids, collect: collectUnusedBuffers },
  );
  const cores = new Cores({ count: usableCores(limits), callerWeights: settings.callerWeights }, { clock });
  const models = new KnownModels(
    { keepAliveMs: settings.keepAlive },
    {
      residency,
      load: loadVersions(parts, registry, {
        runtime,
        cores,
        inspect: inspectGraphFile,
        clock,
        endedSequences: new EndedSequences(),
        onRun: (...run) => statistics.ran(...run),
      }),
    },
  );
  const { cacheSize } = settings;
  const answers = new AnswerCache({
    layers: cacheSize === 0 ? [] : [new MemoryLayer({ limitBytes: cacheSize }, { clock })],
    clock,
  });
  const inference = new HubInference({ catalogue, models, kept: new KeptAnswers({ cache: answers, models }) });
  closing.add('inference', async () => {
    stopListening();
    await inference.close();
  });
  const bodiesBytesMax = Math.max(DEFAULT_OIP_LIMITS.bodiesBytesMax, 2 * settings.maxBodySize);
  const protocols = {
    service: new CountedService(inference, { statistics, own: 'hub', clock }),
    limits: { ...DEFAULT_OIP_LIMITS, bodyBytesMax: settings.maxBodySize, bodiesBytesMax },
    budget: new BodyBudget(bodiesBytesMax),
    defaultTimeoutMs: settings.defaultTimeout,
    clock,
    log,
    tracer: parts.tracing?.tracer,
    serverName: 'tidegate-hub',
    serverVersion: HUB_VERSION,
  };
  return { catalogue, inference, models, cores, answers, protocols, oip: createOipHandler(protocols) };
}

/** How a version comes into memory: with the threads that the settings say, or that suit it. */
function loadVersions(
  { settings, limits, paths, clock, files, log }: Parts,
  registry: RegistryService,
  modules: ServedModelModules,
): ConstructorParameters<typeof KnownModels>[1]['load'] {
  const { threads, defaultTimeout: defaultDeadlineMs } = settings;
  const options: Omit<ServedModelOptions, 'intraOpThreads'> = {
    providers: ['cpu'],
    queueDepthMax: QUEUE_DEPTH,
    heavy: true,
    keepCompiled: true,
    restartLimits: { ...RESTART_LIMITS, heldMs: RESTART_LIMITS.windowMs }, // nobody stands by a hub to end a quarantine
    limited: true,
  };
  const measuring = { cores: usableCores(limits), defaultDeadlineMs };
  const kept = new ThreadsFile({ path: paths.threads, release: HUB_VERSION }, { files, log });
  const busyShare = (signal: AbortSignal): Promise<number> => observeBusyShare(clock, signal);
  const best = new BestThreads(measuring, { clock, log, kept, busyShare });
  return async ({ variant }, signal) => {
    const identity = {
      name: variant.model,
      version: String(variant.version),
      versionDigest: variant.versionDigest,
      variant: variant.variant,
      variantDigest: variant.variantDigest,
    };
    const path = await registry.materialise(variant);
    if (threads !== 'auto') {
      return openServedModel(path, identity, { ...options, intraOpThreads: threads }, modules, signal);
    }
    const pack = await openPackage(path, modules, { name: variant.model, signal });
    const serve = (intraOpThreads: number): Promise<ServedModel> =>
      serveModel(pack, identity, { ...options, intraOpThreads }, modules, signal);
    return (await best.serve(pack, identity, serve, signal)).served;
  };
}
