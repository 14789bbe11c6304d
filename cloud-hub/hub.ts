// The hub's composition root: makes every part, hands each what it needs, starts them in order and stops them in the reverse. The
// only place, beside tests, that knows implementations.
import * as fs from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { ContentStore } from '@tidegate/shared/content/content-store.js';
import { ExecutorRuntime } from '@tidegate/shared/runtime/executor-runtime.js';
import type { Runtime } from '@tidegate/shared/runtime/graph-runner.js';
import { startHttpServer } from '@tidegate/shared/serving/http/http-server.js';
import { createOipHandler, type OipHandler } from '@tidegate/shared/serving/http/oip-handler.js';
import { DEFAULT_OIP_LIMITS } from '@tidegate/shared/serving/http/oip-limits.js';
import { inspectGraphFile } from '@tidegate/shared/serving/served-graph-file.js';
import { openServedModel, serveModel } from '@tidegate/shared/serving/served-model.js';
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { Files } from '@tidegate/shared/system/files.js';
import type { Log } from '@tidegate/shared/system/log.js';
import { createApi, type RouteDomain } from './api/api.js';
import { auditRoutes } from './api/audit-routes.js';
import { fleetRoutes } from './api/fleet-routes.js';
import { healthRoutes } from './api/health-routes.js';
import { HubFront } from './api/hub-front.js';
import { HubMetrics } from './api/hub-metrics.js';
import { LiveChannel } from './api/live.js';
import { modelRoutes } from './api/model-routes.js';
import { rolloutRoutes } from './api/rollout-routes.js';
import { StaticFiles } from './api/static-files.js';
import { tokenRoutes } from './api/token-routes.js';
import { requireInitialised, type DataPaths } from './config/data-folder.js';
import type { HubSettings } from './config/settings-table.js';
import type { DesiredPublisher } from './fleet/fleet.js';
import { FleetService } from './fleet/fleet-service.js';
import { HubEvents } from './hub-events.js';
import { HUB_VERSION } from './hub-version.js';
import { Catalogue } from './inference/catalogue.js';
import { HubInference } from './inference/hub-inference.js';
import { CheckPackage } from './registry/check-package.js';
import { PackageFolders } from './registry/package-folders.js';
import { Pipeline } from './registry/pipeline.js';
import { RegistryService } from './registry/registry-service.js';
import { UPLOAD_LIMITS, Uploads } from './registry/uploads.js';
import { VariantShop } from './registry/variant-shop.js';
import { RolloutService } from './rollouts/rollout-service.js';
import { recordAudit } from './security/audit.js';
import { openCertificateAuthority } from './security/certificate-authority.js';
import { Enrolment } from './security/enrolment.js';
import { KeyStore } from './security/key-store.js';
import { Tokens } from './security/tokens.js';
import { openTufRepository } from './security/tuf-repository.js';
import type { Database } from './storage/database.js';
import { openSqlite } from './storage/sqlite/open-sqlite.js';

/** Requests that may wait for one model on the hub. */
const QUEUE_DEPTH = 256;
/** Uploads of large pieces over slow lines take their time; each piece is at most this long under way. */
const REQUEST_TIMEOUT_MS = 3_600_000;
const UPLOAD_SWEEP_MS = 3_600_000;

interface HubModules {
  readonly clock: Clock;
  readonly files: Files;
  readonly log: Log;
}

export interface Hub {
  /** `http=HOST:PORT device=HOST:PORT mqtt=HOST:PORT`, those that it has. */
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

/** What was opened, closed in the reverse order; one that fails doesn't keep the others open. */
class Closing {
  readonly #log: Log;
  readonly #steps: { readonly name: string; readonly close: () => Promise<unknown> | void }[] = [];

  constructor(log: Log) {
    this.#log = log;
  }

  add(name: string, close: () => Promise<unknown> | void): void {
    this.#steps.push({ name, close });
  }

  async run(): Promise<void> {
    for (const { name, close } of this.#steps.splice(0).reverse()) {
      try {
        await close();
      } catch (cause) {
        this.#log.error({ err: cause, part: name }, 'a part of the hub could not be closed');
      }
    }
  }
}

async function start(settings: HubSettings, modules: HubModules, closing: Closing): Promise<Hub> {
  const { clock, files, log } = modules;
  const paths = await requireInitialised(files, settings.dataDir);
  await fs.rm(paths.work, { recursive: true, force: true });
  const db = await openSqlite(paths.database);
  closing.add('database', () => db.destroy());
  const runtime = new ExecutorRuntime({ clock, log });
  closing.add('runtime', () => runtime.close());
  const content = await ContentStore.open({ folder: paths.content }, files);
  const parts: Parts = { ...modules, settings, paths, db, runtime, content, events: new HubEvents(log) };
  const { registry, uploads, pipeline } = await openRegistry(parts, closing);
  const { inference, oip } = await openInference(parts, registry, closing);
  const { fleet, rollouts, enrolment } = await openFleet(parts, registry, closing);

  const tokens = new Tokens(db, clock);
  let draining = false;
  const domains: RouteDomain[] = [
    healthRoutes(HUB_VERSION, () => draining),
    modelRoutes(registry, uploads),
    tokenRoutes(tokens),
    fleetRoutes(fleet, enrolment),
    rolloutRoutes(rollouts),
    auditRoutes(db),
  ];
  const api = await createApi({ tokens, log, version: HUB_VERSION }, domains);
  closing.add('api', () => api.close());
  const live = new LiveChannel({ tokens, events: parts.events, clock, log });
  const metrics = new HubMetrics({
    loadedModels: () => inference.loadedCount,
    liveClients: () => live.clientCount,
    inferencesInFlight: () => oip.inFlight(),
  });
  const console = await StaticFiles.load(fileURLToPath(consoleFolder()));
  const front = new HubFront({ api, live, tokens, console, metrics, inference: oip, log });
  const http = await startHttpServer({
    handler: front.handle,
    listen: { host: settings.host, port: settings.httpPort },
    flag: '--http-port',
    limits: { requestTimeoutMs: REQUEST_TIMEOUT_MS },
  });
  http.server.on('upgrade', front.upgrade);
  closing.add('http', async () => {
    draining = true;
    oip.drain();
    live.close();
    await http.close(settings.drainTimeout);
  });
  pipeline.wake();
  await rollouts.start();
  return { readyLine: `http=${http.address}`, drain: () => closing.run() };
}

interface Parts extends HubModules {
  readonly settings: HubSettings;
  readonly paths: DataPaths;
  readonly db: Database;
  readonly runtime: Runtime;
  readonly content: ContentStore;
  readonly events: HubEvents;
}

async function openRegistry(
  parts: Parts,
  closing: Closing,
): Promise<{ registry: RegistryService; uploads: Uploads; pipeline: Pipeline }> {
  const { clock, files, log, settings, paths, db, runtime, content, events } = parts;
  const keys = new KeyStore(paths.keys, files);
  const tuf = await openTufRepository({ folder: paths.tuf }, { keys, files, clock, log });
  closing.add('tuf', () => tuf.close());
  const folders = new PackageFolders(paths.packages, content);
  await folders.removeUnfinished();
  const uploads = new Uploads(db, content, clock, { ...UPLOAD_LIMITS, packageBytes: settings.maxPackageSize });
  closing.add('uploads', sweepUploads(uploads, clock, log));
  const serving = { providers: ['cpu'] as const, intraOpThreads: settings.threads, queueDepthMax: QUEUE_DEPTH };
  const checker = new CheckPackage((pack, signal) => {
    const unpublished = `sha256:${'0'.repeat(64)}`;
    const identity = { name: pack.yaml.name, version: '0', versionDigest: pack.versionDigest, variant: 'fp32' };
    return serveModel(
      pack,
      { ...identity, variantDigest: unpublished },
      { ...serving, heavy: false },
      { runtime, inspect: inspectGraphFile, clock },
      signal,
    );
  });
  const variants = new VariantShop({
    db,
    folders,
    optimizer: { optimize: async () => [] },
    signer: tuf,
    clock,
    log,
    workRoot: paths.work,
  });
  const pipeline = new Pipeline({ db, folders, checker, variants, events, clock, log });
  closing.add('pipeline', () => pipeline.close());
  const registry = new RegistryService({ db, content, uploads, clock, folders, pipeline });
  return { registry, uploads, pipeline };
}

async function openInference(
  parts: Parts,
  registry: RegistryService,
  closing: Closing,
): Promise<{ inference: HubInference; oip: OipHandler }> {
  const { clock, log, settings, db, runtime, content, events } = parts;
  const catalogue = new Catalogue({ db, registry, content, log });
  await catalogue.refresh();
  const stopListening = events.on((event) => {
    if (event.kind !== 'version' || event.version.state !== 'ready') return;
    catalogue.refresh().catch((cause: unknown) => log.error({ err: cause }, 'the catalogue could not be read'));
  });
  const inference = new HubInference(settings.loadedModels, {
    catalogue,
    clock,
    load: async ({ variant }) =>
      openServedModel(
        await registry.materialise(variant),
        {
          name: variant.model,
          version: String(variant.version),
          versionDigest: variant.versionDigest,
          variant: variant.variant,
          variantDigest: variant.variantDigest,
        },
        { providers: ['cpu'], intraOpThreads: settings.threads, queueDepthMax: QUEUE_DEPTH, heavy: true },
        { runtime, inspect: inspectGraphFile, clock },
        new AbortController().signal, // the load is shared: one caller's going away doesn't end it
      ),
  });
  closing.add('inference', async () => {
    stopListening();
    await inference.close();
  });
  const oip = createOipHandler({
    service: inference,
    limits: {
      ...DEFAULT_OIP_LIMITS,
      bodyBytesMax: settings.maxBodySize,
      bodiesBytesMax: Math.max(DEFAULT_OIP_LIMITS.bodiesBytesMax, 2 * settings.maxBodySize),
    },
    defaultTimeoutMs: settings.defaultTimeout,
    clock,
    log,
    serverName: 'tidegate-hub',
    serverVersion: HUB_VERSION,
  });
  return { inference, oip };
}

async function openFleet(
  parts: Parts,
  registry: RegistryService,
  closing: Closing,
): Promise<{ fleet: FleetService; rollouts: RolloutService; enrolment: Enrolment }> {
  const { clock, files, log, db, settings, paths, events } = parts;
  const ca = await openCertificateAuthority({ keys: new KeyStore(paths.keys, files), clock });
  const host = settings.publicHost ?? settings.host;
  const deviceUrl = (): string => `https://${host}:${settings.devicePort}`;
  const enrolment = await Enrolment.open({ db, ca, clock, audit: recordAudit, deviceUrl });
  const publisher: DesiredPublisher = { publish: async () => undefined };
  const common = { db, registry, audit: recordAudit, clock, log };
  const fleet = new FleetService({
    ...common,
    publisher,
    onDevice: (device) => events.emit({ kind: 'device', device }),
  });
  const rollouts = new RolloutService({
    ...common,
    fleet,
    onRollout: (rollout) => events.emit({ kind: 'rollout', rollout }),
  });
  closing.add('rollouts', () => rollouts.stop());
  return { fleet, rollouts, enrolment };
}

/** Returns what ends it. */
function sweepUploads(uploads: Uploads, clock: Clock, log: Log): () => void {
  let cancel = (): void => undefined;
  const sweep = (): void => {
    uploads
      .removeExpired()
      .catch((cause: unknown) => log.error({ err: cause }, 'expired uploads could not be removed'))
      .finally(() => (cancel = clock.after(UPLOAD_SWEEP_MS, sweep)));
  };
  cancel = clock.after(UPLOAD_SWEEP_MS, sweep);
  return () => cancel();
}

/** `console/dist` of this package, from the sources and from `dist` alike. */
function consoleFolder(): URL {
  const here = new URL('.', import.meta.url);
  return here.pathname.endsWith('/dist/') ? new URL('../console/dist/', here) : new URL('console/dist/', here);
}
