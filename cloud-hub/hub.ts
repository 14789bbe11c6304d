// The hub's composition root: makes what every part needs, opens the parts (composition/), puts the HTTP port before them, and stops
// all of it in the reverse order.
import * as fs from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { readCgroupLimits, usableCores } from '@tidegate/shared/system/cgroup-limits.js';
import { ExecutorRuntime } from '@tidegate/shared/runtime/executor-runtime.js';
import type { GrpcServer } from '@tidegate/shared/serving/grpc/grpc-server.js';
import { IDLE_GRACE_MS, startHttpServer, type HttpServer } from '@tidegate/shared/serving/http/http-server.js';
import type { OipHandler } from '@tidegate/shared/serving/http/oip-handler.js';
import { onWebSocketUpgrade } from '@tidegate/shared/serving/http/websocket-upgrade.js';
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { Files } from '@tidegate/shared/system/files.js';
import type { Log } from '@tidegate/shared/system/log.js';
import { openTracing } from '@tidegate/shared/tracing/open-tracing.js';
import { createApi, type Api, type RouteDomain } from './api/api.js';
import { auditRoutes } from './api/audit-routes.js';
import { datasetRoutes } from './api/dataset-routes.js';
import { fleetRoutes } from './api/fleet-routes.js';
import { healthRoutes } from './api/health-routes.js';
import { jobRoutes } from './api/job-routes.js';
import { lineageRoutes } from './api/lineage-routes.js';
import { HubFront } from './api/hub-front.js';
import { openHubGrpc } from './api/hub-grpc.js';
import { HubMetrics } from './api/hub-metrics.js';
import { LiveChannel } from './api/live.js';
import { mlflowRoutes } from './api/mlflow-routes.js';
import { modelRoutes } from './api/model-routes.js';
import { rolloutRoutes } from './api/rollout-routes.js';
import { sampleRoutes } from './api/sample-routes.js';
import { sharedAnswerRoutes } from './api/shared-answer-routes.js';
import { StaticFiles } from './api/static-files.js';
import { tokenRoutes } from './api/token-routes.js';
import { Closing } from './composition/closing.js';
import { openContent } from './composition/open-content.js';
import { openData, type DataParts } from './composition/open-data.js';
import { openFleet, type FleetParts } from './composition/open-fleet.js';
import { openInference, type InferenceParts } from './composition/open-inference.js';
import { openRegistry, type RegistryParts } from './composition/open-registry.js';
import { openSharedCache, type SharedCacheParts } from './composition/open-shared-cache.js';
import { openTraining, type TrainingParts } from './composition/open-training.js';
import type { Parts } from './composition/parts.js';
import { requireInitialised } from './config/data-folder.js';
import type { HubSettings } from './config/settings-table.js';
import { HubEvents } from './hub-events.js';
import { HUB_VERSION } from './hub-version.js';
import { createMlflow } from './mlflow/mlflow.js';
import { KeyStore } from './security/key-store.js';
import { Tokens } from './security/tokens.js';
import { openTufRepository } from './security/tuf-repository.js';
import { openSqlite } from './storage/sqlite/open-sqlite.js';

/** Uploads of large pieces over slow lines take their time; each piece is at most this long under way. */
const REQUEST_TIMEOUT_MS = 3_600_000;

interface HubModules {
  readonly clock: Clock;
  readonly files: Files;
  readonly log: Log;
}

export interface Hub {
  /** `http=HOST:PORT grpc=HOST:PORT device=HOST:PORT mqtt=HOST:PORT`. */
  readonly readyLine: string;
  /** Stops accepting, finishes what was accepted (at most the drain timeout), closes everything. */
  drain(): Promise<void>;
}

/** Rejects where the data folder isn't initialised, a port is taken, or the database can't be migrated. */
export async function startHub(settings: HubSettings, modules: HubModules): Promise<Hub> {
  const closing = new Closing(modules.log);
  try {
    return await start(settings, modules, closing);
  } catch (cause) {
    await closing.run();
    throw cause;
  }
}

async function start(settings: HubSettings, modules: HubModules, closing: Closing): Promise<Hub> {
  const parts = await openParts(settings, modules, closing);
  const registry = await openRegistry(parts, closing);
  let training: TrainingParts | undefined;
  const inference = await openInference(parts, registry.registry, () => training?.jobs.pids ?? [], closing);
  const data = openData(parts, registry.registry, inference, closing);
  training = openTraining(parts, registry, closing);
  const shared = openSharedCache(parts, inference.answers);
  const fleet = await openFleet(parts, registry.registry, inference.oip, data.intake, shared, closing);
  const ports: Ports = { device: fleet.port, broker: fleet.broker, oip: inference.oip, draining: false };
  closing.add('ports', () => closePorts(ports, settings.drainTimeout));
  ports.http = await openHttp(parts, registry, inference, data, training, fleet, shared, ports);
  registry.pipeline.wake();
  await fleet.rollouts.start();
  await training.jobs.start();
  const grpc = ports.grpc === undefined ? '' : ` grpc=${ports.grpc.address}`;
  const addresses = `http=${ports.http.address}${grpc} device=${fleet.port.address} mqtt=${fleet.broker.address}`;
  return { readyLine: addresses, drain: () => closing.run() };
}

async function openParts(settings: HubSettings, modules: HubModules, closing: Closing): Promise<Parts> {
  const { clock, files, log } = modules;
  const paths = await requireInitialised(files, settings.dataDir);
  const tracing = await openTracing(settings, { service: 'tidegate-hub', version: HUB_VERSION, clock, log });
  closing.add('tracing', async () => tracing?.close());
  const db = await openSqlite(paths.database);
  closing.add('database', () => db.destroy());
  await fs.rm(paths.work, { recursive: true, force: true }); // after the database, whose lock says that nobody works there
  const { engineCache: limitBytes } = settings;
  const compiledCache = limitBytes === 0 ? undefined : { folder: paths.engineCache, limitBytes };
  const limits = await readCgroupLimits(files);
  const cores = usableCores(limits);
  const runtime = new ExecutorRuntime({ clock, log, cores, compiledCache });
  closing.add('runtime', () => runtime.close());
  const content = await openContent({ paths, db, files, log }, closing);
  const keys = new KeyStore(paths.keys, files);
  const tuf = await openTufRepository({ folder: paths.tuf }, { keys, files, clock, log });
  closing.add('tuf', () => tuf.close());
  return { ...modules, settings, limits, paths, db, runtime, content, keys, tuf, events: new HubEvents(log), tracing };
}

async function openHttp(
  parts: Parts,
  { registry, uploads }: RegistryParts,
  { models, cores, answers, oip, protocols }: InferenceParts,
  data: DataParts,
  { jobs, trace }: TrainingParts,
  { fleet, providers, rollouts, enrolment, revokeDevice, broker }: FleetParts,
  shared: SharedCacheParts,
  ports: Ports,
): Promise<HttpServer> {
  const { settings, clock, log, db, events } = parts;
  const tokens = new Tokens(db, clock);
  const domains: RouteDomain[] = [
    healthRoutes(HUB_VERSION, () => ports.draining),
    modelRoutes(registry, uploads),
    fleetRoutes(fleet, enrolment, revokeDevice),
    rolloutRoutes(rollouts),
    jobRoutes(jobs),
    lineageRoutes(trace),
    sampleRoutes(data.samples, data.proposals),
    datasetRoutes(data),
    sharedAnswerRoutes({ ...shared, own: answers }),
    tokenRoutes(tokens),
    auditRoutes(db),
    mlflowRoutes(createMlflow(parts), log),
  ];
  const api = await createApi({ tokens, log, version: HUB_VERSION }, domains);
  ports.api = api;
  const live = new LiveChannel({ tokens, events, clock, log });
  ports.live = live;
  const metrics = new HubMetrics({
    memory: () => models.memory,
    inMemory: () => models.inMemory(),
    cores: () => cores.report,
    liveClients: () => live.clientCount,
    connectedDevices: () => broker.connectedCount(),
    inferencesInFlight: () => oip.inFlight() + (ports.grpc?.inFlight() ?? 0),
    providerFallbacks: () => providers.counts(),
    ownAnswers: () => answers.counts,
    sharedAnswers: () => shared.answers?.counts,
    spans: () => parts.tracing?.counts,
  });
  const console = await StaticFiles.load(fileURLToPath(consoleFolder()));
  const front = new HubFront({ api, live, tokens, console, metrics, inference: oip, log });
  ports.grpc = await openHubGrpc(settings, { ...protocols, tokens });
  const http = await startHttpServer({
    handler: front.handle,
    listen: { host: settings.host, port: settings.httpPort },
    flag: '--http-port',
    limits: { requestTimeoutMs: REQUEST_TIMEOUT_MS, idleGraceMs: IDLE_GRACE_MS },
  });
  onWebSocketUpgrade(http.server, front.upgrade);
  return http;
}

/** What listens; filled as it opens. */
interface Ports {
  http?: HttpServer;
  grpc?: GrpcServer | undefined;
  api?: Api;
  live?: LiveChannel;
  readonly device: FleetParts['port'];
  readonly broker: FleetParts['broker'];
  readonly oip: OipHandler;
  draining: boolean;
}

/** All ports drain at the same time; the live channel's sockets would keep the first one waiting. */
async function closePorts(ports: Ports, drainTimeoutMs: number): Promise<void> {
  ports.draining = true;
  ports.oip.drain();
  ports.live?.close();
  await Promise.all([
    ports.http?.close(drainTimeoutMs),
    ports.grpc?.close(drainTimeoutMs),
    ports.device.close(drainTimeoutMs),
    ports.broker.close(),
  ]);
  await ports.api?.close();
}

/** `console/dist` of this package, from the sources and from `dist` alike. */
function consoleFolder(): URL {
  const here = new URL('.', import.meta.url);
  return here.pathname.endsWith('/dist/') ? new URL('../console/dist/', here) : new URL('console/dist/', here);
}
