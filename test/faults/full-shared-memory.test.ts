// /dev/shm that is small, and that somebody else fills while tensors cross: answers stay right, and no process dies of it. In a mount
// namespace of its own, which needs root.
import { execFileSync, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const UNSHARE = ['-m', 'sh', '-c'];
const mayMount = spawnSync('unshare', [...UNSHARE, 'mount -t tmpfs tmpfs /dev/shm']).status === 0;
const module = (name: string): string => fileURLToPath(new URL(`../../shared/dist/${name}.js`, import.meta.url));
const fixture = fileURLToPath(new URL('../fixtures/onnx/identity-uint8.onnx', import.meta.url));

/** Runs of many sizes, before and after the volume is filled; prints what became of it. */
const PROGRAM = `
  import { readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
  const { ExecutorRuntime } = await import(${JSON.stringify(module('runtime/executor-runtime'))});
  const { systemClock } = await import(${JSON.stringify(module('system/clock'))});
  const { silentLog } = await import(${JSON.stringify(module('system/log'))});
  const runtime = new ExecutorRuntime({ clock: systemClock, log: silentLog });
  const signal = new AbortController().signal;
  const options = { label: 'identity', path: ${JSON.stringify(fixture)}, providers: [], intraOpThreads: 1, concurrency: 2 };
  const runner = await runtime.load(options, signal);
  const { pid } = runner;
  let right = 0;
  const run = async (sizeBytes) => {
    const feeds = [1, 2, 3, 4].map((fill) => Buffer.alloc(sizeBytes, fill));
    await Promise.all(feeds.map(async (data) => {
      const { outputs } = await runner.run([{ name: 'x', datatype: 'UINT8', shape: [sizeBytes], data }], [], signal);
      if (Buffer.compare(outputs[0].data, data) === 0) right += 1;
    }));
  };
  const sizes = [1e5, 1e6, 3e6, 1e6, 1e5];
  for (const size of sizes) await run(size);
  let filled;
  try { writeFileSync('/dev/shm/other', Buffer.alloc(16 << 20)); } catch ({ code }) { filled = code; }
  const freeBytes = statfsSync('/dev/shm').bavail;
  for (const size of sizes) await run(size);
  rmSync('/dev/shm/other');
  for (const size of sizes) await run(size);
  const shared = readFileSync('/proc/' + pid + '/maps', 'utf8').includes('/dev/shm/tidegate-');
  console.log(JSON.stringify({ right, filled, freeBytes, shared, samePid: runner.pid === pid }));
  await runtime.close();`;

it.runIf(mayMount).each(['8m', '200k'])(
  'a shared memory of %s that runs full costs no answer and no executor',
  (size) => {
    const script = `mount -t tmpfs -o size=${size} tmpfs /dev/shm && exec "$0" --input-type=module -e "$1"`;
    const said = execFileSync('unshare', [...UNSHARE, script, process.execPath, PROGRAM], { encoding: 'utf8' });
    expect(JSON.parse(said)).toEqual({ right: 60, filled: 'ENOSPC', freeBytes: 0, shared: true, samePid: true });
  },
);
