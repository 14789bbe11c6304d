import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createRolloutSchema } from '@tidegate/shared/wire/admin-api.js';
import { SimulatedFleet } from '../../support/simulated-fleet.js';

let sim: SimulatedFleet;
beforeEach(async () => {
  sim = await SimulatedFleet.open(2);
});
afterEach(() => sim.close());

const rollout = createRolloutSchema.parse({ model: 'digits', version: '1', group: 'shop', waves: [1] });

describe('the fleet', () => {
  it('gives documents whose version only grows, and no new one where nothing changed', async () => {
    expect((await sim.fleet.desired('d0'))?.version).toBe(0);
    await sim.rollouts.create(rollout, 'op');
    await sim.fleet.reconcile(['d0', 'd1']);
    await sim.fleet.reconcile(['d0', 'd1']);
    expect((await sim.fleet.desired('d0'))?.version).toBe(1);
    await sim.fleet.configureGroup('shop', { telemetryIntervalMs: 500 }, 'op');
    const desired = await sim.fleet.desired('d0');
    expect(desired).toMatchObject({ version: 2, config: { telemetryIntervalMs: 500 } });
    expect(sim.published.map((p) => p.desired.version)).toEqual([1, 1, 2, 2]);
  });

  it('waits with models until a device has said what class it is', async () => {
    await sim.rollouts.create(rollout, 'op');
    await sim.fleet.enrolled({ id: 'x', name: 'x', group: 'shop', certificateSerial: '1', publicKeyFingerprint: 'f' });
    expect((await sim.fleet.desired('x'))?.models).toEqual([]);
  });

  it('keeps the newest report by seq and ignores older, equal and repeated ones', async () => {
    const [device] = sim.devices;
    if (device === undefined) throw new Error('no device');
    const old = sim.report(device);
    const newer = { ...sim.report(device), agentVersion: '0.2.0' };
    await sim.fleet.reported('d0', newer);
    await sim.fleet.reported('d0', old);
    await sim.fleet.reported('d0', { ...newer, agentVersion: '9.9.9' });
    expect((await sim.fleet.device('d0'))?.agentVersion).toBe('0.2.0');
    await expect(sim.fleet.reported('nobody', newer)).rejects.toMatchObject({ code: 'unknown-device' });
  });

  it('finds the devices whose providers failed, as a hub that starts has to (B18)', async () => {
    await sim.rollouts.create(rollout, 'op');
    await sim.live();
    expect(await sim.fleet.devicesFallenBack()).toEqual([]);
    for (const device of sim.devices) {
      const report = sim.report(device);
      const [model] = report.models;
      if (model?.running === undefined) throw new Error('the device runs nothing');
      const running = { ...model.running, providerReason: 'no adapter' };
      await sim.fleet.reported(device.id, { ...report, models: [{ ...model, running }] });
    }
    await sim.fleet.revoked('d0');
    expect((await sim.fleet.devicesFallenBack()).map(({ id }) => id)).toEqual(['d1']);
  });

  it('counts a telemetry record once, however often it comes', async () => {
    await sim.rollouts.create(rollout, 'op');
    await sim.live();
    const record = {
      deviceId: 'd0',
      seq: 77,
      fromMs: 0,
      toMs: 1,
      evidence: [],
      events: [{ atMs: 5, kind: 'hub-lost', detail: 'broker gone' }],
    };
    await sim.fleet.telemetry('d0', record);
    await sim.fleet.telemetry('d0', record);
    const rows = await sim.fleet.recentTelemetry('d0');
    expect(rows.filter((row) => row.seq === 77)).toHaveLength(1);
    expect(rows[0]?.events).toEqual(record.events);
    expect(rows.find((row) => row.seq === 1)).toMatchObject({ requests: 40, errors: 0 });
  });

  it('ignores a late will of an earlier connection', async () => {
    await sim.fleet.presence('d0', { connectionId: 'a', online: true });
    await sim.fleet.presence('d0', { connectionId: 'b', online: true });
    await sim.fleet.presence('d0', { connectionId: 'a', online: false });
    expect((await sim.fleet.device('d0'))?.online).toBe(true);
    await sim.fleet.presence('d0', { connectionId: 'b', online: false });
    expect((await sim.fleet.device('d0'))?.online).toBe(false);
  });

  it('counts nobody as connected when the hub starts: the wills of before are lost', async () => {
    await sim.fleet.presence('d0', { connectionId: 'a', online: true });
    await sim.fleet.start();
    expect((await sim.fleet.device('d0'))?.online).toBe(false);
  });

  it('moves a device that enrols again to the group of its new token', async () => {
    await sim.rollouts.create(rollout, 'op');
    const again = { id: 'd0', name: 'd0', group: 'depot', certificateSerial: '2', publicKeyFingerprint: 'f' };
    await sim.fleet.configureGroup('depot', { telemetryIntervalMs: 777 }, 'op');
    await sim.fleet.enrolled(again);
    expect(await sim.fleet.device('d0')).toMatchObject({ group: 'depot' });
    expect((await sim.fleet.desired('d0'))?.config).toEqual({ telemetryIntervalMs: 777 });
  });

  it('gives a revoked device nothing, and leaves it out of rollouts', async () => {
    expect(await sim.fleet.revoked('d0')).toBe(true);
    expect(await sim.fleet.revoked('nobody')).toBe(false);
    expect(await sim.fleet.desired('d0')).toBeUndefined();
    const started = await sim.rollouts.create(rollout, 'op');
    expect(started.devices.map((device) => device.id)).toEqual(['d1']);
    expect((await sim.fleet.device('d0'))?.revoked).toBe(true);
  });

  it('pages through devices and finds them by name', async () => {
    for (let i = 2; i < 7; i += 1) await sim.enrol(`d${i}`);
    const first = await sim.fleet.devices({ limit: 4 });
    const second = await sim.fleet.devices({
      limit: 4,
      ...(first.nextCursor === undefined ? {} : { cursor: first.nextCursor }),
    });
    expect([...first.items, ...second.items].map((d) => d.id)).toEqual(['d0', 'd1', 'd2', 'd3', 'd4', 'd5', 'd6']);
    expect(second.nextCursor).toBeUndefined();
    await expect(
      sim.fleet.enrolled({ id: 'y', name: 'd0', group: 'shop', certificateSerial: '1', publicKeyFingerprint: 'f' }),
    ).rejects.toMatchObject({ code: 'duplicate-name' });
  });

  it('drops evidence after a week', async () => {
    await sim.rollouts.create(rollout, 'op');
    await sim.live();
    sim.clock.advance(8 * 24 * 3_600_000);
    await sim.fleet.prune();
    expect(await sim.fleet.recentTelemetry('d0')).toEqual([]);
  });
});
