// What is read from a job's folder after any end of its process: a result only where it is whole.
import * as fs from 'node:fs/promises';
import { join } from 'node:path';
import { JobFolders } from '@tidegate/cloud-hub/training/jobs/job-folders.js';
import { systemFiles } from '@tidegate/shared/system/files.js';
import { beforeEach, describe, expect, test } from 'vitest';
import { temporaryFolders } from '../../../support/temporary-folder.js';

const folder = temporaryFolders('job-folders');
const RESULT = { graph: 'm.onnx', steps: 3, sets: [] };
let folders: JobFolders;

beforeEach(async () => {
  folders = new JobFolders(folder(), systemFiles);
  await fs.mkdir(join(folders.of('j1'), 'checkpoints'), { recursive: true });
});
const write = (name: string, text: string): Promise<void> => fs.writeFile(join(folders.of('j1'), name), text);

describe('a result', () => {
  test('is there with its graph', async () => {
    await write('result.onnx', 'graph');
    await write('result.json', JSON.stringify(RESULT));
    expect(await folders.readResult('j1')).toEqual(RESULT);
  });

  test.each([
    ['without its graph', JSON.stringify(RESULT), undefined],
    ['torn', '{"graph":"m.o', 'graph'],
    ['that says something else', '{"graph":"../m.onnx","steps":3,"sets":[]}', 'graph'],
  ])('%s is none', async (_what, text, graph) => {
    if (graph !== undefined) await write('result.onnx', graph);
    await write('result.json', text);
    expect(await folders.readResult('j1')).toBeUndefined();
  });

  test('of a job that has no folder is none', async () => {
    expect(await folders.readResult('j9')).toBeUndefined();
    expect(await folders.checkpointStep('j9')).toBe(0);
    expect(await folders.readPid('j9')).toBeUndefined();
  });
});

test('the newest checkpoint counts, and what is still being written does not', async () => {
  for (const name of ['step-3.safetensors', 'step-20.safetensors', 'step-30.safetensors.1.tmp', 'notes'])
    await write(join('checkpoints', name), '');
  expect(await folders.checkpointStep('j1')).toBe(20);
});

test('a process’s id reads back; a damaged one is none', async () => {
  await folders.writePid('j1', 4711);
  expect(await folders.readPid('j1')).toBe(4711);
  for (const text of ['', '-1', '0', 'x']) {
    await write('process.pid', text);
    expect(await folders.readPid('j1')).toBeUndefined();
  }
});
