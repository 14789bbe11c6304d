// A real agent process, killed with SIGKILL by itself at every boundary of an activation (guarantee: the active model is whole,
// verified, and the old one or the new one; never neither). A real hub side: device port and broker with mutual TLS, signed
// metadata, ranged blobs. Field lessons B4 (starts without the hub), B12 (two attempts), B13, B15.
import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { DeviceBroker } from '@tidegate/cloud-hub/broker/device-broker.js';
import { enrol } from '@tidegate/edge-agent/identity/enrol.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import type { DesiredModel, DesiredState } from '@tidegate/shared/wire/desired-state.js';
import type { ReportedModel } from '@tidegate/shared/wire/reported-state.js';
import { AgentProcess, examplesFolder } from '../support/agent-process.js';
import { startDeviceHub, type DeviceHub } from '../support/device-hub.js';
import { publishVariant } from '../support/device-packages.js';
import { digitInput } from '../support/digit-inputs.js';
import { temporaryFolders } from '../support/temporary-folder.js';

const folder = temporaryFolders('activation-kill');
const digits = join(examplesFolder, 'digits');
const agents = new Set<AgentProcess>();
let hub: DeviceHub;
let broker: DeviceBroker;
let deviceId: string;
/** A data folder in which version 1 is active and committed; each test takes a copy. */
let installed: string;
let v1: DesiredModel;
let v2: DesiredModel;
let broken: DesiredModel;
let needsGpu: DesiredModel;
let desiredVersion = 0;

function desire(...models: DesiredModel[]): void {
  desiredVersion += 1;
  const config = { telemetryIntervalMs: 1000 };
  const desired: DesiredState = { deviceId, version: desiredVersion, models, config };
  hub.gateway.documents.set(deviceId, desired);
  void broker.publish(deviceId, desired);
}

/** Resolves with the newest report about digits for which `condition` holds. */
function reported(condition: (model: ReportedModel) => boolean): Promise<ReportedModel> {
  return new Promise((resolve) => {
    const seen = hub.gateway.reports.length;
    hub.gateway.onMessage = () => {
      for (const [, { models }] of hub.gateway.reports.slice(seen)) {
        const model = models.find(({ name }) => name === 'digits');
        if (model !== undefined && condition(model)) resolve(model);
      }
    };
  });
}

const runs = (model: DesiredModel) => (report: ReportedModel) =>
  report.running?.variantDigest === model.variantDigest && report.running.committed;

function start(dataDir: string, stopAt?: string): AgentProcess {
  const environment = stopAt === undefined ? {} : { FAULTS_ALLOWED: 'yes', FAULT_STOP_AT: stopAt };
  const agent = new AgentProcess(
    [
      'run',
      '--data-dir',
      dataDir,
      '--http-port',
      '0',
      '--grpc-port',
      '0',
      '--log-format',
      'json',
      '--drain-timeout',
      '1000',
    ],
    { environment },
  );
  agents.add(agent);
  void agent.finished.then(() => agents.delete(agent));
  return agent;
}

async function answers(agent: AgentProcess): Promise<string> {
  const { provenance } = await agent.infer('digits', digitInput(1), { placement: 'local', cache: 'bypass' });
  return provenance.variantDigest;
}

async function copyOfInstalled(): Promise<string> {
  const dataDir = join(folder(), 'data');
  await cp(installed, dataDir, { recursive: true });
  return dataDir;
}

beforeAll(async () => {
  hub = await startDeviceHub(folder());
  broker = await hub.startBroker();
  installed = join(folder(), 'data');
  const enrolled = await enrol(
    { dataDir: installed, token: await hub.newToken() },
    { files: systemFiles, clock: systemClock },
    new AbortController().signal,
  );
  ({ deviceId } = enrolled);
  const relabelled = (label: string) => (path: string, content: Buffer) =>
    path === 'model.yaml' ? Buffer.from(content.toString().replace("version: '1.0'", `version: '${label}'`)) : content;
  v1 = await publishVariant(hub, digits, { name: 'digits', version: 1 });
  v2 = await publishVariant(hub, digits, { name: 'digits', version: 2, edit: relabelled('2.0') });
  broken = await publishVariant(hub, digits, {
    name: 'digits',
    version: 3,
    edit: (path, content) => (path.endsWith('.onnx') ? content.subarray(0, content.length / 2) : content),
  });
  needsGpu = await publishVariant(hub, digits, {
    name: 'digits',
    version: 4,
    edit: (path, content) =>
      path === 'model.yaml' ? Buffer.concat([content, Buffer.from('\nrequire: gpu\n')]) : content,
  });
  desire(v1);
  const arrived = reported(runs(v1));
  const agent = start(installed);
  await arrived;
  await agent.stop();
});

afterEach(async () => {
  for (const agent of agents) {
    agent.child.kill('SIGKILL');
    await agent.finished;
  }
});

afterAll(async () => {
  await hub?.close();
});

describe('kill -9 during an activation', () => {
  const boundaries = ['download', 'verify', 'load', 'warm-up', 'self-test', 'switch', 'commit'].flatMap((step) => [
    `${step}:begin`,
    `${step}:end`,
  ]);

  it.each(boundaries)(
    'at %s leaves the old or the new version, which answers without the hub, and the new one arrives',
    async (at) => {
      const dataDir = await copyOfInstalled();
      desire(v2);
      const killed = await start(dataDir, at).finished;
      expect(killed.signal).toBe('SIGKILL');

      // The hub tells this agent nothing: what answers comes from the device alone (B4).
      const wanted = hub.gateway.documents.get(deviceId) as DesiredState;
      hub.gateway.documents.delete(deviceId);
      const agent = start(dataDir);
      await agent.ready();
      expect([v1.variantDigest, v2.variantDigest]).toContain(await answers(agent));

      hub.gateway.documents.set(deviceId, wanted);
      const arrived = reported(runs(v2));
      desire(v2);
      await arrived;
      expect(await answers(agent)).toBe(v2.variantDigest);
      await agent.stop();
    },
  );

  it('a broken version: two attempts over kills and restarts, then it needs attention; the old one answers (B12)', async () => {
    const dataDir = await copyOfInstalled();
    desire(broken);
    const given = reported(({ activation }) => activation?.state === 'needs-attention');
    const killed = await start(dataDir, 'load:begin').finished;
    expect(killed.signal).toBe('SIGKILL');
    const agent = start(dataDir);
    await agent.ready();
    const report = await given;
    expect(report.activation).toMatchObject({ attempt: 2, step: 'load', variantDigest: broken.variantDigest });
    expect(report.running?.variantDigest).toBe(v1.variantDigest);
    expect(await answers(agent)).toBe(v1.variantDigest);
    await agent.stop();
  });
});

it('a version that requires a GPU fails before the switch on a device without one, and the hub is told why (B18)', async () => {
  const dataDir = await copyOfInstalled();
  desire(needsGpu);
  const given = reported(({ activation }) => activation?.state === 'failed');
  const agent = start(dataDir);
  await agent.ready();
  const { activation, running } = await given;
  expect(activation).toMatchObject({ step: 'load', variantDigest: needsGpu.variantDigest });
  expect(activation?.error).toBe('the package says `require: gpu`, but the CPU runs it: asked for');
  expect(running).toMatchObject({ variantDigest: v1.variantDigest, provider: 'cpu', cpuNodesRatio: 1 });
  expect(await answers(agent)).toBe(v1.variantDigest);
  await agent.stop();
});
