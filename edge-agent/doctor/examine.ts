// All checks of `doctor`, in the order in which one explains the next: machine, engine, disk, identity, ports, hub, clock.
import { arch, platform } from 'node:os';
import { join } from 'node:path';
import type { Clock } from '@tidegate/shared/system/clock.js';
import type { Files } from '@tidegate/shared/system/files.js';
import { TrustedTime } from '@tidegate/shared/tuf/trusted-time.js';
import type { Settings } from '../config/settings-table.js';
import { trustOf } from '../identity/hub-transport.js';
import { loadIdentity } from '../identity/identity.js';
import { checkHub, type HubAddress, type HubFindings } from './check-hub.js';
import { checkInference } from './check-inference.js';
import { judgeBudget, judgeClock, judgeMemory, judgeProcessor, readMachine } from './check-machine.js';
import { checkGrpcPort, checkHttpPort, checkUnixSocket, judgeServed, type AgentAnswer } from './check-ports.js';
import { checkDataFolder, checkIdentity, checkModels, checkStateDatabase } from './check-storage.js';
import { check, fine, type Finding } from './finding.js';

interface ExamineModules {
  readonly files: Files;
  readonly clock: Clock;
  readonly askAgent: () => Promise<AgentAnswer>;
}

const NO_HUB: HubFindings = {
  findings: [{ check: 'hub', ...fine('none: not enrolled, and no --hub is set') }],
  skewMs: undefined,
};

/** Never rejects: what can't be checked has failed. */
export async function examine(settings: Settings, modules: ExamineModules): Promise<Finding[]> {
  const { files, clock } = modules;
  const { dataDir } = settings;
  const machine = await readMachine(files);
  const agent = await modules.askAgent();
  const findings: Finding[] = [
    { check: 'device', ...fine(`${platform()} ${arch()}, Node ${process.versions.node}`) },
    { check: 'memory', ...judgeMemory(machine) },
    { check: 'memory budget', ...judgeBudget(machine, settings.memoryBudget) },
    { check: 'processor', ...judgeProcessor(machine, settings.threads) },
    await check(
      'inference',
      () => checkInference(settings),
      'is this system and processor supported by onnxruntime-node? It needs glibc; try --engine binding',
    ),
    await check(
      'data folder',
      () => checkDataFolder(dataDir, files),
      `let this user write there (chown; or mount, where the volume became read-only), or set --data-dir to another folder than ${dataDir}`,
    ),
    await check('state database', () => checkStateDatabase(dataDir), 'look at the disk'),
    await check('models', () => checkModels(dataDir, files), 'look at the disk'),
    await check(
      'identity',
      () => checkIdentity(dataDir, files, clock.nowMs()),
      'enrol again with a new token: tidegate-agent enroll --token TOKEN',
    ),
    await check('agent or port', () => checkHttpPort(agent, settings), 'set --http-port'),
    ...served(agent),
    await check('gRPC port', () => checkGrpcPort(agent, settings), 'set --grpc-port'),
    await check('unix socket', () => checkUnixSocket(settings.unixSocket), 'set --unix-socket'),
  ];
  const trustedTime = await TrustedTime.open({ path: join(dataDir, 'trusted-time.json') }, { files, clock });
  const address = await hubAddress(settings, trustedTime, modules);
  const hub = address === undefined ? NO_HUB : await checkHub(address, clock);
  const judged = judgeClock(trustedTime.clockState(), hub.skewMs, clock.nowMs());
  return [...findings, ...hub.findings, { check: 'clock', ...judged }];
}

function served(agent: AgentAnswer): Finding[] {
  const verdict = judgeServed(agent);
  return verdict === undefined ? [] : [{ check: 'models in service', ...verdict }];
}

/** The hub that the device is enrolled at, else `--hub`. */
async function hubAddress(
  { dataDir, hub }: Settings,
  trustedTime: TrustedTime,
  { files, clock }: ExamineModules,
): Promise<HubAddress | undefined> {
  try {
    const identity = await loadIdentity(dataDir, files);
    const trust = trustOf(identity, { clock, floorMs: () => trustedTime.floorMs() });
    return { url: identity.deviceUrl, mqttUrl: identity.mqttUrl, trust };
  } catch {
    return hub === undefined ? undefined : { url: hub }; // none, or damaged: the check of the identity says so
  }
}
