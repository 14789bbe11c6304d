// The hub as an inference service, over a real registry; the models behind it are told what to answer.
import { Catalogue, type CatalogueEntry } from '@tidegate/cloud-hub/inference/catalogue.js';
import { HubInference } from '@tidegate/cloud-hub/inference/hub-inference.js';
import type { LoadedModel } from '@tidegate/cloud-hub/inference/hub-model.js';
import { KeptAnswers } from '@tidegate/cloud-hub/inference/kept-answers.js';
import { KnownModels } from '@tidegate/cloud-hub/inference/known-models.js';
import { AnswerCache } from '@tidegate/shared/cache/answer-cache.js';
import { MemoryLayer } from '@tidegate/shared/cache/memory-layer.js';
import { Residency } from '@tidegate/shared/residency/residency.js';
import type { InferRequest, SequenceAsked } from '@tidegate/shared/serving/inference-service.js';
import type { ModelAnswer } from '@tidegate/shared/serving/served-model.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { tensor } from '@tidegate/shared/tensor/tensor.js';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ManualClock } from '../../support/manual-clock.js';
import { openPublishing, yamlText, type Publishing } from '../../support/publishing.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const folder = temporaryFolders('hub-inference');
const ANSWER: ModelAnswer = { outputs: [], queueUs: 1, computeUs: 2, confidence: 0.5 };
let desk: Publishing;
let clock: ManualClock;
let catalogue: Catalogue;
let loads: string[];
/** What the models were asked. */
let asked: { readonly sequence?: SequenceAsked | undefined }[];
/** Trained versions that are worse than their parents. */
let failed: number[];
let load: () => Promise<void>;
let infer: () => Promise<ModelAnswer>;
let inference: HubInference;

beforeEach(async () => {
  desk = await openPublishing(folder());
  clock = new ManualClock();
  failed = [];
  const evaluationOf = async (_model: string, version: number) => ({ passed: !failed.includes(version) });
  catalogue = new Catalogue({ ...desk, evaluationOf, log: silentLog });
  loads = [];
  asked = [];
  load = async () => undefined;
  infer = async () => ANSWER;
  const memoryOf = (): Promise<undefined> => Promise.resolve(undefined);
  const options = { limitBytes: undefined, modelsMax: 8 };
  const residency = new Residency(options, { clock, log: silentLog, memoryOf, ownPids: () => [] });
  const loadEntry = async ({ variant }: CatalogueEntry): Promise<LoadedModel> => {
    loads.push(`${variant.model}@${variant.version}`);
    await load();
    return {
      ...{ pids: [], memoryShareOf: () => 1, loadMs: 1, quarantine: undefined, holdsState: false, deterministic: true },
      threads: 1,
      infer: (given) => {
        asked.push(given);
        return infer();
      },
      park: async () => undefined,
      wake: async () => undefined,
      close: async () => undefined,
    };
  };
  const models = new KnownModels({ keepAliveMs: undefined }, { residency, load: loadEntry });
  const cache = new AnswerCache({ layers: [new MemoryLayer({ limitBytes: 2 ** 20 }, { clock })], clock });
  inference = new HubInference({ catalogue, models, kept: new KeptAnswers({ cache, models }) });
});
afterEach(async () => {
  await desk.pipeline.close();
  await desk.db.destroy();
});

async function publish(graph: string, fields: Record<string, string> = {}): Promise<void> {
  const { version } = await desk.publish('tiny', { 'model.yaml': yamlText(fields), 'm.onnx': graph });
  expect((await desk.settled('tiny', version)).state).toBe('ready');
}

const request = (version?: string, deadlineMs = 2000): InferRequest => ({
  model: 'tiny',
  version,
  id: undefined,
  inputs: [],
  outputs: [],
  deadlineMs,
  priority: 0,
  placement: 'auto',
  cache: 'use',
  maxStalenessMs: undefined,
  parameters: {},
});
const ask = (version?: string, signal = new AbortController().signal) => inference.infer(request(version), signal);

describe('a sequence of a model with state', () => {
  const STATEFUL = { pipeline: '[{ graph: m.onnx, state: [{ input: h, output: h2 }] }]' };
  const flags = { start: false, end: false };
  const go = async (caller: string, sequence: Partial<SequenceAsked>) => {
    const asked = { ...request(), caller, sequence: { id: '7', ...flags, ...sequence } };
    return (await inference.infer(asked, new AbortController().signal)).version;
  };

  test('goes on with the version that it began with; new ones begin with the newest', async () => {
    await publish('one', STATEFUL);
    expect(await go('device-a', { start: true })).toBe('1');
    await publish('two', STATEFUL);
    await catalogue.refresh();
    expect(await go('device-b', { start: true })).toBe('2');
    expect(await go('device-a', {})).toBe('1');
    expect(await go('device-b', {})).toBe('2');
    expect(await go('device-a', { end: true })).toBe('1');
    expect(await go('device-a', { start: true })).toBe('2');
    expect(inference.details('tiny', undefined)).toMatchObject({
      batchRowsMax: 1,
      sequences: { idleTimeoutMs: 60_000 },
    });
  });

  test("is its caller's: two devices may number theirs alike (B26)", async () => {
    await publish('one', STATEFUL);
    await go('token ops', { start: true });
    await go('device-a', { start: true });
    expect(asked.map(({ sequence }) => sequence?.scope)).toEqual(['token%20ops', 'device-a']);
  });
});

test('a pipeline may be entered between its nodes, which are known once it is loaded', async () => {
  await publish('one');
  await publish('two', {
    pipeline: '[{ step: normalise, inputs: [x], outputs: [z] }, { graph: m.onnx, inputs: { x: z } }]',
  });
  await catalogue.refresh();
  expect(inference.metadata('tiny', '1').inner).toBeUndefined();
  expect(inference.metadata('tiny', '2').inner).toBe('unread');
});

describe('which version answers', () => {
  test('the newest ready one, or the one asked for; each is loaded once', async () => {
    await publish('one');
    await publish('two');
    expect((await ask()).version).toBe('2');
    expect((await ask('1')).version).toBe('1');
    expect((await ask('2')).version).toBe('2');
    expect(loads).toEqual(['tiny@2', 'tiny@1']);
  });

  test('one that did not pass its evaluation answers only whoever asks for it', async () => {
    failed = [2, 3];
    for (const graph of ['one', 'two', 'three']) await publish(graph);
    expect((await ask()).version).toBe('1');
    expect((await ask('3')).version).toBe('3');
    await publish('four');
    await catalogue.refresh();
    expect((await ask()).version).toBe('4');
  });

  test('one that became ready since is found, without a restart', async () => {
    await catalogue.refresh();
    await publish('one');
    expect((await ask()).version).toBe('1');
    expect(inference.metadata('tiny', undefined)).toMatchObject({ name: 'tiny', versions: ['1'] });
    expect(inference.models()).toEqual([{ name: 'tiny', version: '1', ready: true }]);
  });

  test('what it is made of is told without loading it; nobody loads or unloads it', async () => {
    await publish('one', { batching: '{ maxRows: 4 }' });
    await catalogue.refresh();
    const details = inference.details('tiny', undefined);
    expect(details).toMatchObject({ version: '1', batchRowsMax: 4, cached: true, instances: [] });
    expect(details.metadata).toEqual(inference.metadata('tiny', '1'));
    expect(() => inference.details('tiny', '9')).toThrow(expect.objectContaining({ code: 'not-found' }));
    await expect(inference.load()).rejects.toMatchObject({ code: 'forbidden' });
    await expect(inference.unload()).rejects.toMatchObject({ code: 'forbidden' });
    expect(loads).toEqual([]);
  });

  test('one that isn’t there is not found, by its field', async () => {
    await publish('one');
    await expect(ask('7')).rejects.toMatchObject({ code: 'not-found', field: 'version' });
    await expect(
      inference.infer({ ...request(), model: 'nobody' }, new AbortController().signal),
    ).rejects.toMatchObject({
      code: 'not-found',
      field: 'model',
    });
    expect(() => inference.metadata('nobody', undefined)).toThrow(/no ready version/);
    expect(inference.modelReady('tiny', '7')).toBe(false);
  });
});

test('an answer says that the hub gave it, with version and variant', async () => {
  await publish('one', {
    heavy: '{ vary: { node: s, parameter: p, values: [1, 2, 3] }, keep: y }',
    pipeline:
      '[{ step: normalise, id: s, inputs: [x], outputs: [z], with: {} }, { graph: m.onnx, inputs: { a: z }, outputs: { b: y } }]',
  });
  const { provenance } = await ask();
  expect(provenance).toMatchObject({ placement: 'hub', variant: 'fp32', queueUs: 1, computeUs: 2, confidence: 0.5 });
  expect(provenance.reason).toContain('3 readings');
  const version = await desk.registry.version('tiny', '1');
  expect(provenance.modelDigest).toBe(version?.digest);
});

test('an answer that was kept says so, with its age and the readings it came from', async () => {
  await publish('one');
  await ask();
  clock.advance(40);
  const { provenance } = await ask();
  expect(provenance).toMatchObject({
    ...{ placement: 'cache', cacheLayer: 'memory', cacheAgeMs: 40, queueUs: 0, computeUs: 0, confidence: 0.5 },
    reason: 'answered on the hub 40 ms ago, kept in its memory cache',
  });
  expect(asked).toHaveLength(1);
});

test('a model that fails to load is said with the reason, and tried again by the next request', async () => {
  await publish('one');
  load = () => Promise.reject(new Error('no memory'));
  await expect(ask()).rejects.toMatchObject({ code: 'failed', message: expect.stringMatching(/tiny@1.*no memory/) });
  load = async () => undefined;
  expect((await ask()).version).toBe('1');
});

test('a caller who enters behind the pipeline’s beginning gets one reading, and isn’t told of three', async () => {
  await publish('one', {
    heavy: '{ vary: { node: s, parameter: p, values: [1, 2, 3] }, keep: y }',
    pipeline:
      '[{ step: normalise, id: s, inputs: [x], outputs: [z], with: {} }, { graph: m.onnx, inputs: { a: z }, outputs: { b: y } }]',
  });
  const inner = { ...request(), inputs: [tensor('z', 'FP32', [1], new Uint8Array(4))] };
  const { provenance } = await inference.infer(inner, new AbortController().signal);
  expect(provenance.reason).toBe('answered on the hub');
});

describe('a request whose model is still loading', () => {
  test('ends at its deadline; the load goes on for the next', async () => {
    await publish('one');
    let loaded = (): void => undefined;
    load = () => new Promise((resolve) => (loaded = resolve));
    const late = inference.infer(request(undefined, 1500), new AbortController().signal);
    await expect.poll(() => loads.length).toBe(1);
    clock.advance(1500);
    await expect(late).rejects.toMatchObject({ code: 'deadline-exceeded' });
    loaded();
    expect((await inference.infer(request(undefined, 5000), new AbortController().signal)).version).toBe('1');
    expect(loads.length).toBe(1);
  });

  test('ends when its caller goes away', async () => {
    await publish('one');
    load = () => new Promise(() => undefined);
    const leaving = new AbortController();
    const asked = ask(undefined, leaving.signal);
    await expect.poll(() => loads.length).toBe(1);
    leaving.abort(new Error('gone'));
    await expect(asked).rejects.toMatchObject({ code: 'cancelled' });
  });
});

test('a hub that stops takes no more', async () => {
  await publish('one');
  await inference.close();
  expect(inference.ready()).toBe(false);
  await expect(ask()).rejects.toMatchObject({ code: 'not-ready' });
});
