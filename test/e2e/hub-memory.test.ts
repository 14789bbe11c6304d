// The hub's memory budget over real executors: two models where one fits. Sizes are measured first, as in serve-memory.test.ts.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeGraph, makeModel, makeNode, makeValue } from '@tidegate/shared/onnx/make-node.js';
import { encodeModel } from '@tidegate/shared/onnx/model-codec.js';
import { makeTensor } from '@tidegate/shared/onnx/tensor-data.js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { writeBarePackage } from '../support/bare-package.js';
import { runTidegate, startHubProcess, type HubProcess } from '../support/hub-process.js';
import { temporaryFolders } from '../support/temporary-folder.js';

const MIB = 2 ** 20;
const FLOAT = 1;
const TABLE_BYTES = 80 * MIB;
const folder = temporaryFolders('hub-memory');
let hub: HubProcess;

/** x -> rows of a table of 80 MiB. */
function writeTablePackage(name: string): string {
  const path = writeBarePackage(folder(), name);
  const table = makeTensor('table', FLOAT, [TABLE_BYTES / 4], new Uint8Array(TABLE_BYTES));
  const nodes = [makeNode('Cast', ['x'], ['i'], { attributes: { to: 7n } }), makeNode('Gather', ['table', 'i'], ['y'])];
  const value = (of: string): ReturnType<typeof makeValue> => makeValue(of, FLOAT, ['n', 4]);
  const graph = makeGraph(nodes, [value('x')], [value('y')], [table]);
  writeFileSync(join(path, 'm.onnx'), Buffer.concat(encodeModel(makeModel(graph, { '': 17 }))));
  return path;
}

beforeAll(async () => {
  hub = await startHubProcess(folder(), ['--engine-cache', '0']); // weights that are mapped and not read take no memory
  await Promise.all(['a', 'b'].map((name) => runTidegate(hub, ['model', 'publish', writeTablePackage(name)])));
  await hub.stop();
  hub = await hub.again([]); // what publishing has left in its heap is no measure
});
afterAll(async () => void (await hub.stop()));

async function ask(model: string, timeoutMs = 30_000): Promise<{ status: number; error: string; retryAfterS: number }> {
  const answer = await fetch(`${hub.url}/v2/models/${model}/infer`, {
    method: 'POST',
    headers: { authorization: `Bearer ${hub.token}` },
    body: JSON.stringify({
      parameters: { timeout: timeoutMs * 1000 },
      inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 4], data: [1, 1, 1, 1] }],
    }),
  });
  const { error = '' } = (await answer.json()) as { error?: string };
  return { status: answer.status, error, retryAfterS: Number(answer.headers.get('retry-after')) };
}

async function metric(name: string): Promise<number> {
  const text = await (await fetch(`${hub.url}/metrics`)).text();
  const line = text.split('\n').find((one) => one.startsWith(`${name} `));
  return Number(line?.slice(name.length + 1));
}

test('of two models where one fits, the other is told when to come: what is in memory is measured (B22)', async () => {
  for (const model of ['a', 'b']) expect((await ask(model)).status).toBe(200);
  expect(await metric('tidegate_hub_memory_budget_bytes')).toBe(0);
  const loads = await metric('tidegate_hub_model_loads_total');
  expect((await ask('a')).status).toBe(200);
  expect(await metric('tidegate_hub_cache_hits_total')).toBe(1);
  expect(await metric('tidegate_hub_model_loads_total')).toBe(loads);
  const sizes = await Promise.all(
    ['a', 'b'].map((model) => metric(`tidegate_hub_model_memory_bytes{model="${model}",version="1"}`)),
  );
  expect(Math.min(...sizes)).toBeGreaterThan(TABLE_BYTES);
  const ownBytes = (await metric('tidegate_hub_memory_used_bytes')) - sizes.reduce((sum, bytes) => sum + bytes, 0);
  const budgetMiB = Math.ceil((ownBytes + Math.max(...sizes)) / MIB) + 85; // one, and not two, however the hub itself grows
  await hub.stop();
  hub = await hub.again(['--memory-budget', `${budgetMiB}MiB`]);
  expect((await ask('a')).status).toBe(200);
  const refused = await ask('b', 500);
  expect(refused).toMatchObject({
    status: 503,
    error: expect.stringMatching(/'b@1' is not in memory: .*taken by a@1/) as string,
  });
  expect(refused.retryAfterS).toBeGreaterThan(1);
  expect(await metric('tidegate_hub_loaded_models')).toBe(1);
  expect(await metric('tidegate_hub_model_memory_refused_total')).toBe(1);
  expect(await metric('tidegate_hub_memory_used_bytes')).toBeLessThanOrEqual(budgetMiB * MIB);
});
