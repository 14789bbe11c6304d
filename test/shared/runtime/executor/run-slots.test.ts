import { describe, expect, it } from 'vitest';
import { RunSlots } from '@tidegate/shared/runtime/executor/run-slots.js';

interface Task {
  readonly started: () => boolean;
  readonly finish: () => void;
  readonly done: Promise<unknown>;
}

const begin = (slots: RunSlots, id: number): Task => {
  let started = false;
  let finish = (): void => undefined;
  const finished = new Promise<void>((resolve) => (finish = resolve));
  const done = slots.run(id, async (signal) => {
    started = true;
    await finished;
    signal.throwIfAborted();
    return id;
  });
  return { started: () => started, finish, done };
};
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('run slots', () => {
  it('lets so many compute at once, the others in their order', async () => {
    const slots = new RunSlots(2, 0);
    const tasks = [1, 2, 3, 4].map((id) => begin(slots, id));
    await turn();
    expect(tasks.map((task) => task.started())).toEqual([true, true, false, false]);
    tasks[1]!.finish();
    await tasks[1]!.done;
    await turn();
    expect(tasks.map((task) => task.started())).toEqual([true, true, true, false]);
    for (const task of tasks) task.finish();
    await Promise.all(tasks.map((task) => task.done));
  });

  it('never starts what was cancelled while it waited (B27)', async () => {
    const slots = new RunSlots(1, 0);
    const [first, second, third] = [1, 2, 3].map((id) => begin(slots, id));
    slots.cancel(2);
    await expect(second!.done).rejects.toMatchObject({ code: 'cancelled' });
    first!.finish();
    third!.finish();
    await Promise.all([first!.done, third!.done]);
    expect(second!.started()).toBe(false);
  });

  it('tells a running task, and frees its slot whatever it throws', async () => {
    const slots = new RunSlots(1, 0);
    const [first, second] = [1, 2].map((id) => begin(slots, id));
    slots.cancel(1);
    first!.finish();
    await expect(first!.done).rejects.toThrow(/abort/);
    second!.finish();
    expect(await second!.done).toMatchObject({ result: 2 });
  });

  it('is idle when all have ended', async () => {
    const slots = new RunSlots(1, 0);
    await slots.idle();
    const task = begin(slots, 1);
    let idle = false;
    const waiting = slots.idle().then(() => (idle = true));
    await turn();
    expect(idle).toBe(false);
    task.finish();
    await waiting;
    await task.done;
  });

  it('hands a primed run to the engine early, but counts its time from when a slot was free', async () => {
    const slots = new RunSlots(1, 1);
    const [first, second, third] = [1, 2, 3].map((id) => begin(slots, id));
    await turn();
    expect([first, second, third].map((task) => task!.started())).toEqual([true, true, false]);
    const heldMs = 30;
    await new Promise((resolve) => setTimeout(resolve, heldMs)); // time itself is under test
    first!.finish();
    await first!.done;
    second!.finish();
    const { computeUs } = (await second!.done) as { computeUs: number };
    expect(computeUs).toBeLessThan((heldMs * 1000) / 2);
    await turn();
    expect(third!.started()).toBe(true);
    third!.finish();
    await third!.done;
  });
});
