import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createRolloutSchema } from '@tidegate/shared/wire/admin-api.js';
import { GOOD, SimulatedFleet, versionDigestOf } from '../../support/simulated-fleet.js';

let sim: SimulatedFleet;
beforeEach(async () => {
  sim = await SimulatedFleet.open(10);
});
afterEach(() => sim.close());

const request = (version: number, change: object = {}) =>
  createRolloutSchema.parse({
    model: 'digits',
    version: String(version),
    group: 'shop',
    waves: [0.1, 0.5, 1],
    policy: { soakSeconds: 3, minRequests: 100, silentAfterSeconds: 20 },
    probationSeconds: 1,
    ...change,
  });

async function completed(version: number): Promise<void> {
  const { id } = await sim.rollouts.create(request(version), 'token:op');
  await sim.run(30);
  expect((await sim.rollouts.get(id))?.state).toBe('completed');
}

describe('a rollout', () => {
  it('moves wave by wave to the whole group, and becomes the group’s version', async () => {
    const { id } = await sim.rollouts.create(request(1), 'token:op');
    await sim.live();
    expect(sim.runningVersions()).toEqual({ none: 9, v1: 1 });
    await sim.run(30);
    expect(sim.runningVersions()).toEqual({ v1: 10 });
    expect(await sim.rollouts.get(id)).toMatchObject({ state: 'completed', wave: 3 });
    await sim.enrol('late');
    await sim.live();
    expect(sim.runningVersions()).toEqual({ v1: 11 });
  });

  it('is made once by a request that is sent again under its key, whoever else uses the same key', async () => {
    const asked = request(1);
    const first = await sim.rollouts.createOnce(asked, 'token:op', 'k1');
    const again = await sim.rollouts.createOnce(request(1), 'token:op', 'k1');
    expect([first.added, again.added, again.rollout.id]).toEqual([true, false, first.rollout.id]);
    await expect(sim.rollouts.createOnce(request(2), 'token:op', 'k1')).rejects.toMatchObject({
      code: 'invalid',
      field: 'idempotency-key',
      message: `this key belongs to another request, which made rollout ${first.rollout.id}`,
    });
    await expect(sim.rollouts.createOnce(asked, 'token:op', 'k2')).rejects.toMatchObject({ code: 'conflict' });
    await sim.rollouts.abort(first.rollout.id, 'token:op');
    expect(await sim.rollouts.createOnce(asked, 'token:op', 'k1')).toMatchObject({
      added: false,
      rollout: { state: 'aborted' },
    });
    const [two, three] = await Promise.all([1, 2].map(() => sim.rollouts.createOnce(asked, 'token:other', 'k1')));
    expect([two?.added, three?.added, three?.rollout.id]).toEqual([true, false, two?.rollout.id]);
  });

  it('is refused for a trained version that did not pass its evaluation, which names the set that fell', async () => {
    const reason = 'accuracy on slice night@3 fell from 0.95 to 0.9, by 0.05; at most 0.01 is allowed';
    sim.evaluations.set(2, { passed: false, reason });
    sim.evaluations.set(3, { passed: true, reason: 'not worse' });
    await expect(sim.rollouts.create(request(2), 'token:op')).rejects.toMatchObject({
      code: 'conflict',
      field: 'version',
      message: `digits@2 did not pass its evaluation: ${reason}`,
    });
    expect((await sim.rollouts.list(10)).items).toEqual([]);
    await completed(3);
  });

  it('passes an A/A version through the gate that halts a worse one, and undoes the worse one by itself', async () => {
    await completed(1);
    await completed(2); // A/A: behaves like version 1
    sim.behaviour.set(versionDigestOf('digits', 3), { ...GOOD, confidence: 0.6 });
    const { id } = await sim.rollouts.create(request(3), 'token:op');
    await sim.live();
    expect(sim.runningVersions()).toEqual({ v2: 9, v3: 1 });
    await sim.run(10);
    const halted = await sim.rollouts.get(id);
    expect(halted).toMatchObject({ state: 'halted', wave: 1, rolledBack: true });
    expect(halted?.reason).toMatch(
      /^wave 1 of 3: mean confidence 0\.600 fell more than 0\.05 under the control's 0\.930/,
    );
    expect(sim.runningVersions()).toEqual({ v2: 10 });
  });

  it('judges the control by the group’s version only, not by one that was halted before', async () => {
    await completed(1);
    const bad = { ...GOOD, confidence: 0.6 };
    sim.behaviour.set(versionDigestOf('digits', 2), bad);
    await sim.rollouts.create(request(2), 'token:op');
    await sim.run(10);
    sim.behaviour.set(versionDigestOf('digits', 3), bad);
    const { id } = await sim.rollouts.create(request(3, { waves: [1] }), 'token:op');
    await sim.run(10);
    expect(await sim.rollouts.get(id)).toMatchObject({ state: 'halted', rolledBack: true });
  });

  it('halts on errors, on an activation that rolled back, and on silence', async () => {
    await completed(1);
    sim.behaviour.set(versionDigestOf('digits', 2), { ...GOOD, errorShare: 0.5 });
    const errors = await sim.rollouts.create(request(2), 'token:op');
    await sim.run(10);
    expect((await sim.rollouts.get(errors.id))?.reason).toMatch(/error rate 50\.0%/);

    sim.behaviour.set(versionDigestOf('digits', 3), { ...GOOD, activation: 'rolls-back' });
    const activation = await sim.rollouts.create(request(3), 'token:op');
    await sim.run(10);
    expect((await sim.rollouts.get(activation.id))?.reason).toMatch(/1 of 1 devices failed.*goldens 0\.20 under 0\.90/);

    const canary = (await sim.rollouts.create(request(4), 'token:op')).waves[0]?.devices[0];
    const device = sim.devices.find((d) => d.id === canary);
    if (device === undefined) throw new Error('no canary');
    device.silent = true;
    await sim.run(30);
    const { items } = await sim.rollouts.list(10);
    expect(items[0]).toMatchObject({ state: 'halted' });
    expect(items[0]?.reason).toMatch(/silent for 20 s/);
    expect(sim.runningVersions()).toEqual({ v1: 10 });
  });

  it('goes on after a restart of the hub at any second', async () => {
    await completed(1);
    const { id } = await sim.rollouts.create(request(2), 'token:op');
    for (let second = 0; second < 40; second += 1) {
      sim.restartHub();
      await sim.rollouts.start();
      await sim.live();
      sim.clock.advance(1000);
      await sim.rollouts.tick();
      await sim.rollouts.stop();
    }
    expect((await sim.rollouts.get(id))?.state).toBe('completed');
    expect(sim.runningVersions()).toEqual({ v2: 10 });
  });

  it('pauses, resumes and aborts; each is idempotent and audited', async () => {
    await completed(1);
    const { id } = await sim.rollouts.create(request(2), 'token:op');
    await sim.rollouts.pause(id, 'token:op');
    await sim.rollouts.pause(id, 'token:op');
    await sim.run(20);
    expect(sim.runningVersions()).toEqual({ v1: 9, v2: 1 });
    await sim.rollouts.resume(id, 'token:op');
    await sim.run(5);
    expect(sim.runningVersions()['v2']).toBeGreaterThan(1);
    await sim.rollouts.abort(id, 'token:op');
    await sim.run(3);
    expect(sim.runningVersions()).toEqual({ v1: 10 });
    expect(await sim.rollouts.get(id)).toMatchObject({ state: 'aborted', rolledBack: true });
    await expect(sim.rollouts.resume(id, 'token:op')).rejects.toMatchObject({ code: 'conflict' });
    const rows = await sim.db.selectFrom('audit').select('action').where('action', 'like', 'rollout.%').execute();
    const actions = rows.map((row) => row.action);
    expect(actions.filter((action) => action === 'rollout.pause')).toHaveLength(1);
    expect(actions).toEqual(expect.arrayContaining(['rollout.start', 'rollout.advance', 'rollout.abort']));
  });

  it('refuses what can’t be, naming the field', async () => {
    const refused = (change: object) => sim.rollouts.create(request(1, change), 'token:op');
    await expect(refused({ waves: [0.5, 0.2, 1] })).rejects.toMatchObject({ code: 'invalid', field: 'waves' });
    await expect(refused({ waves: [0.5] })).rejects.toMatchObject({ code: 'invalid', field: 'waves' });
    await expect(refused({ version: '77' })).rejects.toMatchObject({ code: 'not-found', field: 'version' });
    await expect(refused({ group: 'nobody' })).rejects.toMatchObject({ code: 'not-found', field: 'group' });
    await refused({});
    await expect(refused({ version: '2' })).rejects.toMatchObject({ code: 'conflict' });
    await expect(sim.rollouts.abort('r-none', 'x')).rejects.toMatchObject({ code: 'not-found', field: 'id' });
  });

  it('lets devices that enrol meanwhile join their wave', async () => {
    const { id } = await sim.rollouts.create(request(1), 'token:op');
    for (let i = 0; i < 20; i += 1) await sim.enrol(`new-${i}`);
    await sim.run(40);
    expect((await sim.rollouts.get(id))?.state).toBe('completed');
    expect(sim.runningVersions()).toEqual({ v1: 30 });
  });
});
