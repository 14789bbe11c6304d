// The agent's composition root: runtime, models, cache, router and the HTTP server, wired once. `serve` puts local files into
// the slots; `run` gives the slots to synchronisation and a hub connection of its own. Nothing here decides anything.
import { join } from 'node:path';
import { ExecutorRuntime } from '@tidegate/shared/runtime/executor-runtime.js';
import { TrustLedger } from '@tidegate/shared/runtime/trust-ledger.js';
import { Cores } from '@tidegate/shared/scheduling/cores.js';
import { CountedService } from '@tidegate/shared/serving/counted-service.js';
import { InferenceStatistics } from '@tidegate/shared/serving/inference-statistics.js';
import { BestThreads } from '@tidegate/shared/serving/measured-threads.js';
import { ThreadsFile } from '@tidegate/shared/serving/threads-file.js';
import { inspectGraphFile } from '@tidegate/shared/serving/served-graph-file.js';
import { SharedMemoryRegions } from '@tidegate/shared/serving/shared-memory.js';
import { BodyBudget } from '@tidegate/shared/serving/http/body-budget.js';
import { IDLE_GRACE_MS, startHttpServer, type HttpServer } from '@tidegate/shared/serving/http/http-server.js';
import { DEFAULT_OIP_LIMITS } from '@tidegate/shared/serving/http/oip-limits.js';
import { createOipHandler } from '@tidegate/shared/serving/http/oip-handler.js';
import type { LogControl } from '@tidegate/shared/serving/log-settings.js';
import { observeBusyShare } from '@tidegate/shared/system/busy-share.js';
import { usableCores, type CgroupLimits } from '@tidegate/shared/system/cgroup-limits.js';
import type { Clock } from '@tidegate/shared/system/clock.js';
import { heldBytes } from '@tidegate/shared/system/collect-garbage.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import type { Log } from '@tidegate/shared/system/log.js';
import { startQuietMemory } from '@tidegate/shared/system/quiet-memory.js';
import { collectUnusedBuffers } from '@tidegate/shared/system/unused-buffers.js';
import type { Tracing } from '@tidegate/shared/tracing/open-tracing.js';
import type { Privacy } from '@tidegate/shared/wire/privacy.js';
import { AgentFront } from './api/agent-front.js';
import { openAgentGrpc } from './api/agent-grpc.js';
import { InferStreams } from './api/infer-streams.js';
import { listenOnUnixSocket } from './api/unix-socket.js';
import { Metrics } from './api/metrics.js';
import { DeviceCache } from './cache/device-cache.js';
import { DiskLayer } from './cache/disk-layer.js';
import { InputDigests } from '@tidegate/shared/cache/input-digests.js';
import { MemoryLayer } from '@tidegate/shared/cache/memory-layer.js';
import { SemanticLayer } from './cache/semantic-layer.js';
import { SharedLayer, type SharedAnswersLink } from './cache/shared-layer.js';
import { StageCache } from './cache/stage-cache.js';
import type { CaptureStatus } from './capture/captures.js';
import type { Settings } from './config/settings-table.js';
import { EngineSlots } from './engine/engine-slots.js';
import { startPrewarm } from './engine/prewarm.js';
import { openResidency } from '@tidegate/shared/residency/open-residency.js';
import { compiledFolder } from './model-store/compiled-graphs.js';
import { PrivacyDecisions } from './privacy/privacy-decisions.js';
import type { BreakerOptions } from './router/breaker.js';
import { Explanations } from './router/explanations.js';
import { HubClient, type HubLink } from './router/hub-client.js';
import { HUB_DECIDES, type ModelControl } from './router/model-control.js';
import { Router } from './router/router.js';
import { openAnswerStore } from './state/answer-store.js';
import { TrustFile } from './state/trust-file.js';
import type { AnswerObserver } from './telemetry/answer-observer.js';

/** Weighted failures in a row (a timeout counts double) that open the hub's breaker. */
const HUB_FAILURES_MAX = 3;
/** Of --cache-size, on top of it: what answers to similar inputs may take, where a model has them. */
const SEMANTIC_SHARE = 1 / 8;
/** Of the cache's memory, what inputs that are asked again may take. */
const INPUTS_SHARE = 1 / 16;
const ENGINE_CACHE_BYTES = 2 * 2 ** 30;

type CompiledCacheFolder = { readonly folder: string; readonly limitBytes: number } | undefined;

interface AgentModules {
  readonly clock: Clock;
  readonly log: Log;
  /** Changes the log's level on request; absent = nobody may. */
  readonly logControl?: LogControl;
  /** Undefined = requests are not traced. Ended with the agent. */
  readonly tracing?: Tracing | undefined;
  readonly version: string;
  readonly mode: 'serve' | 'run';
  /** What the cgroup allows; absent = no limits. */
  readonly limits?: CgroupLimits;
  /** How the hub is reached; undefined = no hub. */
  readonly hub: HubLink | undefined;
  /** How answers are shared with other devices, and what kind of machine this is to that end; absent = they are not. */
  readonly shared?: { readonly link: SharedAnswersLink; readonly machine: string };
  /** The privacy policy of the version that should be on the device, installed or not; absent where no hub desires any. */
  readonly desiredPrivacy?: (model: string) => Privacy | undefined;
  /** Who hears of each finished request whose model is on the device: telemetry, capture. */
  readonly observers: readonly AnswerObserver[];
  /** What capturing has done; absent where nothing is ever captured. */
  readonly captures?: () => CaptureStatus | undefined;
  /** Who loads and unloads models on request; absent where a hub decides. */
  readonly control?: (slots: EngineSlots) => ModelControl;
  /** Gives memory of this process back (quiet-memory.ts); absent where the process is not the agent's alone. */
  readonly collectGarbage?: () => Promise<boolean>;
  /** Fields that `/agent/v1/status` shows too. */
  readonly moreStatus?: () => object;
}

interface AgentAddresses {
  readonly http: string;
  /** Undefined where the port is off. */
  readonly grpc: string | undefined;
  readonly unixSocket: string | undefined;
}

export interface Agent {
  readonly slots: EngineSlots;
  readonly cache: DeviceCache;
  readonly hub: HubClient | undefined;
  /** What may leave the device. */
  readonly privacy: PrivacyDecisions;
  /** Starts to listen. Until `open` it is not ready: models that are loaded already answer, others are refused with `not-ready`. Resolves with the addresses. */
  listen(): Promise<AgentAddresses>;
  /** From now on it is ready: models that should be there at the start are. */
  open(): void;
  /** Stops accepting, finishes what was accepted within `timeoutMs`, and ends executors and servers. */
  close(timeoutMs: number): Promise<void>;
}

export function createAgent(settings: Settings, modules: AgentModules): Agent {
  const { clock, log, version, mode } = modules;
  let state: 'starting' | 'serving' | 'draining' = 'starting';
  const {
    providers,
    threads,
    queueDepth: queueDepthMax,
    concurrency,
    engine,
    callerWeights,
    keepAlive: keepAliveMs,
  } = settings;
  const { limits = {} } = modules;
  const usable = usableCores(limits);
  const intraOpThreads = threads === 'auto' ? 1 : threads;
  const count = Math.max(usable, Math.min(intraOpThreads, usable) * (concurrency ?? 1)); // who asks for more runs gets them
  const cores = new Cores({ count, callerWeights }, { clock });
  const compiledCache = engineCache(settings, mode);
  const trust = trustLedger(settings, modules);
  const runtime = new ExecutorRuntime({ clock, log, concurrency, engine, cores: usable, compiledCache, trust });
  const statistics = new InferenceStatistics();
  const slots = new EngineSlots(
    {
      providers,
      intraOpThreads,
      queueDepthMax,
      heavy: false,
      limited: true,
      keepCompiled: true,
      requireGpu: settings.requireGpu === 'on',
      keepAliveMs,
      pinned: new Set(settings.pin),
    },
    {
      runtime,
      residency: openResidency(
        { budgetBytes: settings.memoryBudget },
        { limits, clock, log, files: systemFiles, collect: collectUnusedBuffers },
      ),
      inspect: inspectGraphFile,
      cores,
      bestThreads: threads === 'auto' ? bestThreads(settings, usable, compiledCache !== undefined, modules) : undefined,
      onRemoved: (model) => cache.drop({ model }),
      clock,
      log,
      onRun: (...run) => statistics.ran(...run),
    },
  );
  const inputsBytes = Math.floor(settings.cacheSize * INPUTS_SHARE);
  const answersBytes = settings.cacheSize - inputsBytes;
  const memory = answersBytes === 0 ? undefined : new MemoryLayer({ limitBytes: answersBytes }, { clock });
  const disk = settings.diskCache === 0 ? undefined : diskLayer(settings, modules);
  const layers = [memory, disk].filter((layer) => layer !== undefined);
  const stages = memory === undefined ? undefined : new StageCache({ memory, clock });
  const breaker = { failuresMax: HUB_FAILURES_MAX, probeIntervalMs: settings.hubProbeInterval };
  const shared = modules.shared && sharedLayer(modules.shared, breaker, modules, () => hub?.state === 'reachable');
  const semanticBytes = Math.floor(settings.cacheSize * SEMANTIC_SHARE);
  const semantic = memory && new SemanticLayer({ limitBytes: semanticBytes }, { clock, log });
  const inputs = new InputDigests({ limitBytes: inputsBytes });
  const cache = new DeviceCache({ layers, shared, semantic, stages, inputs, clock });
  const hub: HubClient | undefined =
    modules.hub === undefined ? undefined : new HubClient(modules.hub, breaker, { clock, log });
  const privacy = new PrivacyDecisions({
    served: (model) => slots.serving(model)?.yaml.privacy,
    desired: modules.desiredPrivacy ?? ((model) => control.privacyOf(model)),
    log,
  });
  const explanations = new Explanations();
  const control = modules.control?.(slots) ?? HUB_DECIDES;
  const metrics = new Metrics({ slots, cache, hub, captures: modules.captures, tracing: modules.tracing, version });
  const router = new Router({
    models: slots,
    control,
    cache,
    shared,
    hub,
    hubVersions: modules.mode === 'run',
    observers: modules.observers,
    onEnd: (end) => metrics.ended(end),
    explanations,
    privacy,
    clock,
    accepting: () => state === 'serving',
  });
  const service = new CountedService(router, { statistics, own: 'edge', clock });
  const regions = new SharedMemoryRegions();
  const sharedMemory = process.platform === 'linux' ? regions : undefined;
  const bodiesBytesMax = Math.max(settings.maxBodySize, DEFAULT_OIP_LIMITS.bodiesBytesMax);
  const protocols = {
    service,
    limits: { ...DEFAULT_OIP_LIMITS, bodyBytesMax: settings.maxBodySize, bodiesBytesMax },
    budget: new BodyBudget(bodiesBytesMax),
    defaultTimeoutMs: settings.defaultTimeout,
    clock,
    log,
    tracer: modules.tracing?.tracer,
    serverName: 'tidegate-agent',
    serverVersion: version,
  };
  const oip = createOipHandler({
    ...protocols,
    logControl: modules.logControl,
    sharedMemory,
    onRefused: (...refused) => metrics.refused(...refused),
  });
  const streams = new InferStreams({ ...protocols, sharedMemory, apiToken: settings.apiToken });
  const startedMonotonicMs = clock.monotonicMs();
  const status = {
    slots,
    control,
    cache,
    hub,
    explanations,
    version,
    mode,
    state: () => state,
    clock,
    startedMonotonicMs,
  };
  const front = new AgentFront({
    oip,
    metrics,
    log,
    apiToken: settings.apiToken,
    status: { ...status, moreStatus: modules.moreStatus },
  });
  const whileOpen: (() => void)[] = [];
  const servers: Pick<HttpServer, 'close'>[] = [];
  return {
    slots,
    cache,
    hub,
    privacy,
    listen: async () => {
      await disk?.open();
      const { host, httpPort: port, unixSocket: path, unixSocketAccess: access } = settings;
      const http = await startHttpServer({
        handler: front.overTcp,
        listen: { host, port },
        flag: '--http-port',
        limits: { idleGraceMs: IDLE_GRACE_MS },
      });
      servers.push(http);
      streams.attach(http.server, false);
      const grpc = await openAgentGrpc(settings, { ...protocols, logControl: modules.logControl, sharedMemory });
      if (grpc !== undefined) servers.push(grpc);
      const addresses = { http: http.address, grpc: grpc?.address };
      if (path === undefined) return { ...addresses, unixSocket: undefined };
      const socket = await listenOnUnixSocket({ path, access, handler: front.overUnixSocket });
      servers.push(socket);
      streams.attach(socket.server, true);
      return { ...addresses, unixSocket: socket.address };
    },
    open: () => {
      cache.keepOnly(slots.names());
      whileOpen.push(startPrewarm(slots, clock));
      const { collectGarbage: collect } = modules;
      if (collect !== undefined) {
        whileOpen.push(startQuietMemory({ clock, log, requests: () => statistics.requestCount, heldBytes, collect }));
      }
      state = 'serving';
    },
    close: async (timeoutMs) => {
      state = 'draining';
      for (const stop of whileOpen) stop();
      oip.drain();
      await Promise.all([streams, ...servers].map((part) => part.close(timeoutMs)));
      await regions.unregister();
      await shared?.close();
      await disk?.close();
      await slots.closeAll();
      await runtime.close();
      await modules.tracing?.close();
    },
  };
}

/** A folder that only `run` writes to unasked. */
function engineCache({ dataDir, engineCache: asked }: Settings, mode: AgentModules['mode']): CompiledCacheFolder {
  const limitBytes = asked ?? (mode === 'run' ? ENGINE_CACHE_BYTES : 0);
  return limitBytes === 0 ? undefined : { folder: compiledFolder(dataDir), limitBytes };
}

/** What `serve` learns it forgets: it writes nothing unasked. */
function trustLedger(
  { shareExecutors, dataDir }: Settings,
  { clock, log, mode, version }: AgentModules,
): TrustLedger | undefined {
  if (shareExecutors === 'off') return undefined;
  const store = mode === 'run' ? new TrustFile(dataDir, version, systemFiles) : undefined;
  return new TrustLedger({ clock, log, store });
}

/** What it has measured, `serve` keeps where it keeps compiled graphs. */
function bestThreads(
  { dataDir, defaultTimeout: defaultDeadlineMs }: Settings,
  cores: number,
  keepsCompiled: boolean,
  { clock, log, mode, version: release }: AgentModules,
): BestThreads {
  const file = { path: join(dataDir, 'threads.json'), release };
  const kept = mode === 'run' || keepsCompiled ? new ThreadsFile(file, { files: systemFiles, log }) : undefined;
  const busyShare = (signal: AbortSignal): Promise<number> => observeBusyShare(clock, signal);
  return new BestThreads({ cores, defaultDeadlineMs }, { clock, log, kept, busyShare });
}

function sharedLayer(
  { link, machine }: NonNullable<AgentModules['shared']>,
  breaker: BreakerOptions,
  { clock, log, version }: AgentModules,
  reachable: () => boolean,
): SharedLayer {
  return new SharedLayer({ machine: `${machine} ${version}`, breaker }, { link, reachable, clock, log });
}

function diskLayer({ dataDir, diskCache: limitBytes }: Settings, { clock, log }: AgentModules): DiskLayer {
  const path = join(dataDir, 'answers.db');
  return new DiskLayer(
    { limitBytes },
    { open: (anew) => openAnswerStore(path, limitBytes, systemFiles, anew), clock, log },
  );
}
