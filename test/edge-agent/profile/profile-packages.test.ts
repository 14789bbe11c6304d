// Graphs behind steps: the row is what the pipeline makes of a golden, not what the caller sends.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { profilePackages } from '@tidegate/edge-agent/profile/profile-packages.js';
import { openPackage } from '@tidegate/shared/package/open-package.js';
import { ExecutorRuntime } from '@tidegate/shared/runtime/executor-runtime.js';
import { inspectGraphFile } from '@tidegate/shared/serving/served-graph-file.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { assemble } from '../../../examples/cascade/assemble.mjs';
import { examplesFolder } from '../../support/agent-process.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const newFolder = temporaryFolders('profile-packages');

it('compares packages within one time, and leaves no executor behind', async () => {
  const runtime = new ExecutorRuntime({ clock: systemClock, log: silentLog });
  const signal = new AbortController().signal;
  const digits = await openPackage(join(examplesFolder, 'digits'), { inspect: inspectGraphFile });
  const bare = await openPackage(join(examplesFolder, 'digits', 'digits.onnx'), { inspect: inspectGraphFile });
  const steps: string[] = [];
  const report = await profilePackages(
    [
      { label: 'digits', package: digits },
      { label: 'bare', package: bare },
    ],
    {
      ...{ budgetMs: 4000, providers: ['cpu'], threads: [1], batches: undefined, shapes: new Map() },
      deadlinesMs: [100],
    },
    { runtime, files: systemFiles, clock: systemClock, onProgress: (what) => void steps.push(what) },
    signal,
  );
  await runtime.close();
  expect(report.graphs.map(({ label, rows }) => [label, rows])).toEqual([
    ['digits', 'golden'],
    ['bare', 'made up'],
  ]);
  const batches = report.graphs.map(({ configurations: [one] }) => one?.cells.map(({ batch }) => batch));
  for (const own of batches) expect(own).toContain(1);
  expect(Math.max(...(batches[0] ?? []))).toBeLessThanOrEqual(32); // batching.maxRows
  expect(Math.max(...(batches[1] ?? []))).toBeLessThanOrEqual(8); // its default
  expect(report.advice.some((sentence) => sentence.startsWith('compared: '))).toBe(true);
  expect([...new Set(steps)]).toEqual([
    'looking at what else loads the machine',
    'loading digits',
    'loading bare',
    'measuring',
  ]);
});

it('runs goldens until one takes the other side of a branch', async () => {
  const folder = await assemble(newFolder());
  const goldens = JSON.parse(await readFile(join(folder, 'goldens.json'), 'utf8')) as { id: string }[];
  const sureFirst = ['0-3', '2-0', '3-2'].map((id) => goldens.find((golden) => golden.id === id)); // the small model is unsure of the last
  await writeFile(join(folder, 'goldens.json'), JSON.stringify(sureFirst));
  const runtime = new ExecutorRuntime({ clock: systemClock, log: silentLog });
  const report = await profilePackages(
    [{ label: 'cascade', package: await openPackage(folder, { inspect: inspectGraphFile }) }],
    { budgetMs: 200, providers: ['cpu'], threads: [1], batches: [1], shapes: new Map(), deadlinesMs: [100] },
    { runtime, files: systemFiles, clock: systemClock, onProgress: () => undefined },
    new AbortController().signal,
  );
  await runtime.close();
  expect(report.graphs.map(({ graph, rows }) => [graph, rows])).toEqual([
    ['small.onnx', 'golden'],
    ['digits.onnx', 'golden'],
  ]);
});
