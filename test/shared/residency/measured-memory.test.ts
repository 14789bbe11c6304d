// What the system tells of processes becomes the bytes of server and models. Real processes: test/e2e/serve-memory.test.ts.
import { expect, it } from 'vitest';
import { MeasuredMemory } from '@tidegate/shared/residency/measured-memory.js';
import { Resident, type Parkable } from '@tidegate/shared/residency/resident.js';
import { ManualClock } from '../../support/manual-clock.js';

const nothing = (): Promise<void> => Promise.resolve();

/** A model in memory, estimated at 70 bytes. `shares`: of which executors, and how much of each. */
function resident(name: string, shares: Readonly<Record<number, number>>, quarantine?: object): Resident {
  const rules = { keepAliveMs: undefined, pinned: () => false };
  const modules = { clock: new ManualClock(), onIdle: () => undefined };
  const model: Parkable = {
    pids: Object.keys(shares).map(Number),
    memoryShareOf: (pid) => shares[pid] ?? 0,
    loadMs: 1,
    quarantine,
    holdsState: false,
    park: nothing,
    wake: nothing,
    close: nothing,
  };
  return Object.assign(new Resident(name, { bytes: 70, rules }, modules), { model, state: 'resident' });
}

/** Processes 1 and 2 are the server's. */
function memoryOf(processes: Record<number, number | undefined>) {
  const asked: number[] = [];
  const read = (pid: number): Promise<number | undefined> => {
    asked.push(pid);
    return Promise.resolve(processes[pid]);
  };
  return { asked, processes, memory: new MeasuredMemory({ memoryOf: read, ownPids: () => [1, 2] }) };
}

it('sums up the server and its other processes, apart from the models', async () => {
  const { memory } = memoryOf({ 1: 50, 2: 20, 10: 400 });
  const one = resident('one', { 10: 1 });
  expect(memory.ownBytes).toBe(0);
  await memory.read(() => [one]);
  expect([memory.ownBytes, one.bytes]).toEqual([70, 400]);
});

it('divides an executor among the models that share it, and asks for it once', async () => {
  const { memory, asked } = memoryOf({ 1: 50, 10: 400, 11: 100 });
  const [one, two] = [resident('one', { 10: 0.75 }), resident('two', { 10: 0.25, 11: 1 })];
  await memory.read(() => [one, two]);
  expect([one.bytes, two.bytes]).toEqual([300, 200]);
  expect(asked).toEqual([1, 2, 10, 11]);
  await memory.read(() => [one]);
  expect(asked.slice(4)).toEqual([1, 2, 10]); // anew
});

it('keeps what was known where the system tells nothing, and the estimate where nothing ran yet', async () => {
  const { memory, processes } = memoryOf({ 1: 50, 10: 400 });
  const [one, unopened] = [resident('one', { 10: 1 }), resident('unopened', {})];
  unopened.model = undefined;
  await memory.read(() => [one, unopened]);
  expect([memory.ownBytes, one.bytes, unopened.bytes]).toEqual([50, 400, 70]);
  processes[1] = processes[10] = undefined;
  await memory.read(() => [one, unopened]);
  expect([memory.ownBytes, one.bytes]).toEqual([50, 400]);
});

it('sees that a model in quarantine is no longer in memory', async () => {
  const { memory } = memoryOf({ 1: 50 });
  const [held, other] = [resident('held', {}, { reason: 'died' }), resident('other', {})];
  const loading = Object.assign(resident('loading', {}, { reason: 'died' }), { state: 'loading' });
  await memory.read(() => [held, other, loading]);
  expect([held, other, loading].map(({ state }) => state)).toEqual(['on demand', 'resident', 'loading']);
});
