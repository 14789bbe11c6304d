// The agent's whole side of the hub against the hub's own device port, broker, CA and update repository, in one process; only
// the engine is in memory.
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import type { DeviceBroker } from '@tidegate/cloud-hub/broker/device-broker.js';
import { enrol } from '@tidegate/edge-agent/identity/enrol.js';
import { ModelStore } from '@tidegate/edge-agent/model-store/model-store.js';
import { mayLeave } from '@tidegate/edge-agent/privacy/may-leave.js';
import { AgentState } from '@tidegate/edge-agent/state/agent-state.js';
import { HubAccess } from '@tidegate/edge-agent/sync/hub-access.js';
import { HubSync } from '@tidegate/edge-agent/sync/hub-sync.js';
import { openMqttSession } from '@tidegate/edge-agent/sync/mqtt-session.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { seededRandom } from '@tidegate/shared/system/random.js';
import { TrustedTime } from '@tidegate/shared/tuf/trusted-time.js';
import { TufClient } from '@tidegate/shared/tuf/tuf-client.js';
import type { DesiredModel, DesiredState } from '@tidegate/shared/wire/desired-state.js';
import { devicePaths } from '@tidegate/shared/wire/device-api.js';
import { privacySchema, type Privacy } from '@tidegate/shared/wire/privacy.js';
import type { ReportedModel } from '@tidegate/shared/wire/reported-state.js';
import { startDeviceHub, type DeviceHub } from '../../support/device-hub.js';
import { publishVariant } from '../../support/device-packages.js';
import { examplesFolder } from '../../support/agent-process.js';
import { FakeSlots } from '../../support/fake-slots.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const folder = temporaryFolders('hub-sync');
const modules = { files: systemFiles, clock: systemClock, log: silentLog };
const config = { telemetryIntervalMs: 100 };
let hub: DeviceHub;
let broker: DeviceBroker;
let digits: DesiredModel;
let device: Device;
/** By model, as the desired version would say. */
const policies = new Map<string, Privacy>();

class Device {
  readonly slots = new FakeSlots();
  readonly id: string;
  readonly sync: HubSync;
  readonly #access: HubAccess;
  readonly #state: AgentState;

  private constructor(id: string, sync: HubSync, access: HubAccess, state: AgentState, slots: FakeSlots) {
    this.id = id;
    this.sync = sync;
    this.#access = access;
    this.#state = state;
    this.slots = slots;
  }

  static async enrolled(): Promise<Device> {
    const dataDir = join(folder(), 'agent');
    const token = await hub.newToken();
    const identity = await enrol({ dataDir, token }, modules, new AbortController().signal);
    const { deviceId, deviceUrl, tufRoot } = identity;
    const trustedTime = await TrustedTime.open({ path: join(dataDir, 'trusted-time.json') }, modules);
    const access = new HubAccess({ dataDir, identity }, { ...modules, trustedTime });
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
    const state = await AgentState.open(dataDir, modules);
    const slots = new FakeSlots();
    const sync = new HubSync(
      {
        dataDir,
        deviceId,
        deviceUrl,
        agentVersion: '0.0.0',
        deviceClass: { architecture: 'x64', instructions: [], provider: 'cpu', cores: 1, memoryTierGiB: 1 },
      },
      {
        ...modules,
        state,
        slots,
        tuf,
        dispatcher,
        store: await ModelStore.open({ dataDir }, systemFiles),
        privacy: { ask: (model, kind) => mayLeave(kind, { served: undefined, desired: policies.get(model) }) },
        openMqttSocket: () => access.openMqttSocket(),
        openMqtt: openMqttSession,
        random: seededRandom(5),
      },
    );
    access.start();
    return new Device(deviceId, sync, access, state, slots);
  }

  async stop(): Promise<void> {
    await this.sync.stop();
    await this.#access.stop();
    this.#state.close();
  }

  desired(version: number, ...models: DesiredModel[]): DesiredState {
    return { deviceId: this.id, version, models, config };
  }

  /** Changes the truth, with a hint or without. */
  async desire(version: number, models: DesiredModel[], hint = true): Promise<void> {
    hub.gateway.documents.set(this.id, this.desired(version, ...models));
    if (hint) await broker.publish(this.id, this.desired(version, ...models));
  }
}

/** Resolves when what the hub was told satisfies `condition`. */
function heard(condition: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    hub.gateway.onMessage = () => {
      if (condition()) resolve();
    };
    hub.gateway.onMessage();
  });
}

function newest(model: string): ReportedModel | undefined {
  const [, report] = hub.gateway.reports.findLast(([id]) => id === device.id) ?? [];
  return report?.models.find(({ name }) => name === model);
}

const events = (): string[] =>
  hub.gateway.records.filter(([id]) => id === device.id).flatMap(([, record]) => record.events.map(({ kind }) => kind));

beforeAll(async () => {
  hub = await startDeviceHub(folder());
  broker = await hub.startBroker();
  digits = await publishVariant(hub, join(examplesFolder, 'digits'), { name: 'digits', version: 1 });
});

afterAll(() => hub.close());

beforeEach(async () => {
  device = await Device.enrolled();
});

afterEach(async () => {
  policies.clear();
  await device.stop();
});

describe('a device and its hub', () => {
  it('installs what is desired, signed and over mutual TLS, and reports what runs', async () => {
    await device.desire(1, [digits], false);
    await device.sync.start();
    await heard(() => newest('digits')?.running?.committed === true);
    expect(newest('digits')).toMatchObject({
      running: { version: 1, variantDigest: digits.variantDigest, provider: 'cpu' },
    });
    expect(device.slots.active('digits')?.source.verified).toBe(true);
    // It came by HTTPS; MQTT may still be on its way.
    await heard(() => hub.gateway.presences.some(([id]) => id === device.id));
    await vi.waitFor(() => expect(device.sync.status()).toMatchObject({ link: { mqtt: 'connected' } }));
    expect(device.sync.status()).toMatchObject({ sync: { desiredVersion: 1 } });
    const presence = hub.gateway.presences.filter(([id]) => id === device.id).map(([, { online }]) => online);
    expect(presence).toEqual([true]);
  });

  it('acts on a hint at once', async () => {
    await device.sync.start();
    await heard(() => hub.gateway.presences.some(([id]) => id === device.id));
    await device.desire(1, [digits]);
    await heard(() => newest('digits')?.running?.committed === true);
    await device.desire(2, []);
    await heard(() => hub.gateway.reports.findLast(([id]) => id === device.id)?.[1].models.length === 0);
    expect(device.slots.names()).toEqual([]);
  });

  it('refuses what the release keys did not sign, twice, and says so', async () => {
    const variantDigest = digits.versionDigest; // a digest that no signed metadata name
    await device.desire(1, [{ ...digits, variantDigest }], false);
    await device.sync.start();
    await heard(() => newest('digits')?.activation?.state === 'failed');
    expect(newest('digits')?.activation?.error).toContain('no target');
    await heard(() => events().includes('activation-failed'));
  });

  it('sends evidence, and empties the outbox when the hub has acknowledged it', async () => {
    await device.desire(1, [digits], false);
    await device.sync.start();
    await heard(() => newest('digits')?.running?.committed === true);
    const { versionDigest, variantDigest } = digits;
    const request = { model: 'digits', versionDigest, variantDigest, totalMs: 3, edgeConfidence: 0.9 };
    for (let i = 0; i < 10; i += 1) device.sync.telemetry.finished({ ...request, outcome: 'edge' });
    const answered = (): number =>
      hub.gateway.records
        .filter(([id]) => id === device.id)
        .reduce((sum, [, record]) => sum + (record.evidence[0]?.requests ?? 0), 0);
    await heard(() => answered() === 10);
    while ((device.sync.status() as { outbox: { records: number } }).outbox.records > 0) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    expect(hub.gateway.records.map(([, { deviceId }]) => deviceId)).toContain(device.id);
  });

  it('sends no figures of a model whose policy forbids it, gathered before or after', async () => {
    await device.desire(1, [digits], false);
    const { versionDigest, variantDigest } = digits;
    const request = { versionDigest, variantDigest, totalMs: 3, edgeConfidence: 0.9, outcome: 'edge' as const };
    device.sync.telemetry.finished({ ...request, model: 'secret' });
    device.sync.telemetry.flush(); // in the outbox, before the policy was heard of
    policies.set('secret', privacySchema.parse({ telemetry: 'none' }));
    await device.sync.start();
    device.sync.telemetry.finished({ ...request, model: 'secret' });
    device.sync.telemetry.finished({ ...request, model: 'digits' });
    const figures = () =>
      hub.gateway.records.filter(([id]) => id === device.id).flatMap(([, { evidence }]) => evidence);
    await heard(() => figures().some(({ model }) => model === 'digits'));
    expect(figures().map(({ model }) => model)).not.toContain('secret');
    // The same over MQTT: gathered while it was allowed, sent when it no longer is.
    await vi.waitFor(() => expect(device.sync.status()).toMatchObject({ link: { mqtt: 'connected' } }));
    policies.clear();
    device.sync.telemetry.finished({ ...request, model: 'secret' });
    device.sync.telemetry.finished({ ...request, model: 'lines' });
    policies.set('secret', privacySchema.parse({ telemetry: 'none' }));
    device.sync.telemetry.flush();
    await heard(() => figures().some(({ model }) => model === 'lines'));
    expect(figures().map(({ model }) => model)).not.toContain('secret');
  });

  it('goes on over HTTPS while the broker cuts it off, and comes back (B11)', async () => {
    await device.desire(1, [digits], false);
    await device.sync.start();
    await heard(() => hub.gateway.presences.some(([id]) => id === device.id));
    broker.disconnect(device.id);
    await device.desire(2, [], false); // no hint: the lost link itself makes it look
    await heard(() => hub.gateway.reports.findLast(([id]) => id === device.id)?.[1].desiredVersion === 2);
    await heard(() => events().includes('hub-link-lost') && events().includes('hub-link-back'));
  });
});
