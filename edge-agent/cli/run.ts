// `tidegate-agent run`: serves what the hub desires and nothing that did not verify. The models of the last run answer before
// the hub is asked anything, so a device without its hub starts like one with it (field lesson B4). What this device should
// not or can not answer goes to the hub's own /v2 over the same mutual TLS as everything else.
import type { Command } from 'commander';
import { join } from 'node:path';
import { createInferClient } from '@tidegate/shared/serving/http/infer-client.js';
import { readCgroupLimits, type CgroupLimits } from '@tidegate/shared/system/cgroup-limits.js';
import { collectGarbage } from '@tidegate/shared/system/collect-garbage.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { detectDeviceClass } from '@tidegate/shared/system/detect-device-class.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import type { Log } from '@tidegate/shared/system/log.js';
import { systemRandom } from '@tidegate/shared/system/random.js';
import { openTracing, type Tracing } from '@tidegate/shared/tracing/open-tracing.js';
import { TrustedTime } from '@tidegate/shared/tuf/trusted-time.js';
import { TufClient } from '@tidegate/shared/tuf/tuf-client.js';
import type { DesiredState } from '@tidegate/shared/wire/desired-state.js';
import type { DeviceClass } from '@tidegate/shared/wire/device-class.js';
import { devicePaths } from '@tidegate/shared/wire/device-api.js';
import { createAgent, type Agent } from '../agent.js';
import { Captures, type CaptureStatus } from '../capture/captures.js';
import type { LogControl } from '@tidegate/shared/serving/log-settings.js';
import { openLog } from '@tidegate/shared/system/open-log.js';
import { SETTING_NAMES, type SettingName, type Settings } from '../config/settings-table.js';
import { loadIdentity, type Identity } from '../identity/identity.js';
import { ModelStore } from '../model-store/model-store.js';
import { AgentState } from '../state/agent-state.js';
import { HttpsDeviceApi } from '../sync/device-api.js';
import { HubAccess } from '../sync/hub-access.js';
import { HubSync } from '../sync/hub-sync.js';
import { SharedAnswersApi } from '../sync/shared-answers-api.js';
import { openMqttSession } from '../sync/mqtt-session.js';
import { stopAtBoundary } from '../sync/stop-at-boundary.js';
import type { AnswerObserver, FinishedRequest } from '../telemetry/answer-observer.js';
import { BreakerWatch } from '../telemetry/breaker-watch.js';
import { QuarantineWatch } from '../telemetry/quarantine-watch.js';
import { addSettingsOptions, settingsOf } from './settings-options.js';
import { readyLine } from './ready-line.js';
import { untilTerminated } from './until-terminated.js';
import type { CliContext, Verb } from './verb.js';

const EXAMPLE = `
The device must have been enrolled: tidegate-agent enroll --token TOKEN

Example:
  tidegate-agent run --data-dir /var/lib/tidegate --http-port 8000`;

/** The hub is the one that the device is enrolled at. */
const RUN_SETTINGS = SETTING_NAMES.filter((name): name is SettingName => name !== 'hub' && name !== 'hubToken');

export const runVerb: Verb = (program, context) => {
  const command = program
    .command('run')
    .description('Serve what the hub desires for this device, verified and kept in step')
    .addHelpText('after', EXAMPLE);
  addSettingsOptions(command, RUN_SETTINGS).action((_options: unknown, self: Command) =>
    run(settingsOf(self, RUN_SETTINGS, context), context),
  );
};

async function run(settings: Settings, context: CliContext): Promise<void> {
  const log = openLog(settings, context.stderr);
  const stopping = untilTerminated(log);
  const { dataDir } = settings;
  const identity = await loadIdentity(dataDir, systemFiles);
  const state = await AgentState.open(dataDir, { files: systemFiles, log, clock: systemClock });
  const trustedTime = await TrustedTime.open(
    { path: join(dataDir, 'trusted-time.json') },
    { files: systemFiles, clock: systemClock },
  );
  const access = new HubAccess({ dataDir, identity }, { files: systemFiles, clock: systemClock, trustedTime, log });
  const late = new LateParts(state);
  const limits = await readCgroupLimits(systemFiles);
  const deviceClass = await detectDeviceClass(settings.providers[0] ?? 'cpu', systemFiles);
  const telling = { service: 'tidegate-agent', version: context.version, instance: identity.deviceId };
  const tracing = await openTracing(settings, { ...telling, clock: systemClock, log });
  const agent = openAgent({ settings, access, deviceClass, late, limits, tracing, context, log });
  const captures = settings.capture === 'on' ? openCaptures({ settings, access, late, agent, log }) : undefined;
  const sync = await openSync({ settings, context, access, deviceClass, trustedTime, state, agent, captures, log });
  late.sync = sync;
  const { observers } = late;
  observers.add(sync.telemetry);
  observers.add(sync.watch);
  observers.add(
    new BreakerWatch(
      () => agent.hub?.status,
      (kind, detail) => sync.telemetry.event(kind, detail),
    ),
  );
  observers.add(
    new QuarantineWatch(
      (model) => agent.slots.serving(model)?.quarantine !== undefined,
      (kind, detail) => sync.telemetry.event(kind, detail),
    ),
  );
  if (captures !== undefined) {
    observers.add(captures);
    late.captures = captures;
  }
  late.status = () => ({
    ...sync.status(),
    ...(captures && { captures: captures.status }),
    clock: access.clockState,
  });
  try {
    const { http, grpc } = await agent.listen();
    await sync.start();
    captures?.start();
    agent.open();
    context.stdout.write(readyLine({ http, grpc }));
    log.info({ http, grpc, deviceId: identity.deviceId, models: agent.slots.names() }, 'serving');
    access.start();
    await stopping.terminated;
  } finally {
    await sync.stop();
    await agent.close(settings.drainTimeout);
    await captures?.stop();
    await access.stop();
    state.close();
    stopping.stop();
    log.info({}, 'stopped');
  }
}

interface OpenAgentParts {
  readonly settings: Settings;
  readonly access: HubAccess;
  readonly deviceClass: DeviceClass;
  readonly late: LateParts;
  readonly limits: CgroupLimits;
  readonly tracing: Tracing | undefined;
  readonly context: CliContext;
  readonly log: Log & LogControl;
}

function openAgent({ settings, access, deviceClass, late, limits, tracing, context, log }: OpenAgentParts): Agent {
  const { architecture, instructions } = deviceClass;
  const hub = createInferClient({
    url: access.identity.deviceUrl.replace(/\/+$/, ''),
    dispatcher: access.dispatcher,
    clock: systemClock,
    answerBytesMax: settings.maxBodySize,
  });
  return createAgent(settings, {
    clock: systemClock,
    log,
    logControl: log,
    version: context.version,
    mode: 'run',
    limits,
    tracing,
    hub,
    shared: {
      link: new SharedAnswersApi({ deviceUrl: access.identity.deviceUrl, dispatcher: access.dispatcher }),
      machine: [architecture, ...instructions].join('+'),
    },
    observers: [late.observers],
    captures: () => late.captures?.status,
    moreStatus: () => late.status(),
    desiredPrivacy: (model) => late.desired?.models.find(({ name }) => name === model)?.privacy,
    collectGarbage,
  });
}

interface OpenCapturesParts {
  readonly settings: Settings;
  readonly access: HubAccess;
  readonly late: LateParts;
  readonly agent: Agent;
  readonly log: Log;
}

function openCaptures({ settings, access, late, agent, log }: OpenCapturesParts): Captures {
  const api = new HttpsDeviceApi({ deviceUrl: access.identity.deviceUrl, dispatcher: access.dispatcher });
  return new Captures(
    { dataDir: settings.dataDir, limitBytes: settings.captureLimit },
    {
      privacy: agent.privacy,
      heard: () => late.desired !== undefined,
      send: (hex, body, signal) => api.sample(hex, body, signal),
      files: systemFiles,
      clock: systemClock,
      random: systemRandom,
      log,
    },
  );
}

interface OpenSyncParts {
  readonly settings: Settings;
  readonly context: CliContext;
  readonly access: HubAccess;
  readonly deviceClass: DeviceClass;
  readonly trustedTime: TrustedTime;
  readonly state: AgentState;
  readonly agent: Agent;
  readonly captures: Captures | undefined;
  readonly log: Log;
}

async function openSync(parts: OpenSyncParts): Promise<HubSync> {
  const { settings, context, access, deviceClass, trustedTime, state, agent, captures, log } = parts;
  const { dataDir } = settings;
  const { deviceId, deviceUrl, tufRoot }: Identity = access.identity;
  const { dispatcher } = access;
  const tuf = await TufClient.open(
    {
      folder: join(dataDir, 'tuf'),
      metadataUrl: new URL(devicePaths.tufMetadata, deviceUrl).href,
      targetsUrl: new URL(devicePaths.tufTargets, deviceUrl).href,
      factoryRoot: tufRoot,
    },
    { files: systemFiles, dispatcher, trustedTime },
  );
  const atBoundary = stopAtBoundary(context.environment, log);
  return new HubSync(
    {
      dataDir,
      deviceId,
      deviceUrl,
      agentVersion: context.version,
      deviceClass,
    },
    {
      state,
      store: await ModelStore.open({ dataDir }, systemFiles),
      slots: agent.slots,
      privacy: agent.privacy,
      hubHeard: () => captures?.hubHeard(),
      tuf,
      dispatcher,
      openMqttSocket: () => access.openMqttSocket(),
      openMqtt: openMqttSession,
      files: systemFiles,
      clock: systemClock,
      random: systemRandom,
      log,
      ...(atBoundary && { atBoundary }),
    },
  );
}

/** The agent is made before what it tells and asks. */
class LateParts {
  readonly observers = new LateObservers();
  readonly #state: AgentState;
  sync: HubSync | undefined;
  captures: { readonly status: CaptureStatus } | undefined;
  status: () => object = () => ({});

  constructor(state: AgentState) {
    this.#state = state;
  }

  /** From memory once the synchronisation has begun: each request asks. */
  get desired(): DesiredState | undefined {
    return this.sync?.desired ?? this.#state.documents.desired();
  }
}

class LateObservers implements AnswerObserver {
  readonly #observers: AnswerObserver[] = [];

  add(observer: AnswerObserver): void {
    this.#observers.push(observer);
  }

  finished(request: FinishedRequest): void {
    for (const observer of this.#observers) observer.finished(request);
  }
}
