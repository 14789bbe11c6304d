// The registry as MLflow's clients see it, over versions that were really published (checker and optimizer say what they are told).
import { listPackage, packageFile } from '@tidegate/cloud-hub/mlflow/package-artifacts.js';
import { RegisteredModels } from '@tidegate/cloud-hub/mlflow/registered-models.js';
import * as requests from '@tidegate/cloud-hub/mlflow/requests.js';
import { PackageRefused } from '@tidegate/cloud-hub/registry/package-ports.js';
import { sha256 } from '@tidegate/shared/wire/digest.js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openPublishing, yamlText, type Publishing } from '../../support/publishing.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const folder = temporaryFolders('registered-models');
let publishing: Publishing;
let models: RegisteredModels;

async function publish(name: string, label: string, graph: string): Promise<void> {
  const { version } = await publishing.publish(name, {
    'model.yaml': yamlText({ name, version: label, description: `the ${name}` }),
    'm.onnx': graph,
    'data/words/list.txt': 'a b',
  });
  await publishing.settled(name, version);
}

beforeAll(async () => {
  publishing = await openPublishing(folder());
  models = new RegisteredModels(publishing.db);
  await publish('tiny', 'first', '1');
  await publish('tiny', 'second', '2');
  publishing.doing.check = () => Promise.reject(new PackageRefused('goldens: 3 of 4 are wrong'));
  await publish('tiny', 'third', '3');
  publishing.doing.check = () => Promise.resolve();
  await publish('other', 'first', '4');
});
afterAll(async () => {
  await publishing.pipeline.close();
  await publishing.db.destroy();
});

const search = (request: object) => models.search(requests.searchRegistry.parse(request));
const versions = async (request: object): Promise<string[]> =>
  (await models.searchVersions(requests.searchRegistry.parse(request))).model_versions.map(
    ({ name, version }) => `${name}@${version}`,
  );

test('a model: its newest ready version, and labels as aliases but for what was refused', async () => {
  const model = await models.get('tiny');
  expect(model).toMatchObject({ name: 'tiny', description: 'the tiny' });
  expect(model.latest_versions.map(({ version, status }) => [version, status])).toEqual([['2', 'READY']]);
  expect(model.aliases).toEqual([
    { alias: 'second', version: '2' },
    { alias: 'first', version: '1' },
  ]);
  await expect(models.get('nosuch')).rejects.toThrow(/tidegate model publish/);
});

test('a version: its state in MLflow’s words, its digest as a tag', async () => {
  const { digest } = (await publishing.registry.version('tiny', '1')) ?? {};
  const one = await models.version('tiny', '1');
  expect(one).toMatchObject({
    status: 'READY',
    current_stage: 'None',
    aliases: ['first'],
    run_id: '',
    source: 'mlflow-artifacts:/models/tiny/1',
  });
  expect(one.tags).toContainEqual({ key: 'tidegate.digest', value: digest });
  expect(await models.version('tiny', '3')).toMatchObject({
    status: 'FAILED_REGISTRATION',
    status_message: expect.stringContaining('3 of 4 are wrong'),
    aliases: [],
  });
  for (const version of ['4', '0', '-1', 'first', '1e3'])
    await expect(models.version('tiny', version)).rejects.toThrow(/no version/);
});

test('a version that the hub still works on is pending', async () => {
  let go = (): void => undefined;
  publishing.doing.check = () => new Promise((resolve) => (go = () => resolve()));
  const { version } = await publishing.publish('slow', { 'model.yaml': yamlText({ name: 'slow' }), 'm.onnx': 'x' });
  expect((await models.version('slow', String(version))).status).toBe('PENDING_REGISTRATION');
  expect((await models.get('slow')).latest_versions).toEqual([]);
  await expect.poll(() => (go(), publishing.registry.version('slow', '1').then((found) => found?.state))).toBe('ready');
  publishing.doing.check = () => Promise.resolve();
});

test('by alias, the latest by stage', async () => {
  expect((await models.byAlias('tiny', 'second')).version).toBe('2');
  await expect(models.byAlias('tiny', 'third')).rejects.toThrow(/no version of a model tiny has the label third/);
  const latest = async (stages: string[]): Promise<string[]> =>
    (await models.latest('tiny', stages)).map(({ version }) => version);
  expect([await latest([]), await latest(['none']), await latest(['Production'])]).toEqual([['2'], ['2'], []]);
});

test('searches', async () => {
  const named = async (request: object): Promise<string[]> =>
    (await search(request)).registered_models.map(({ name }) => name);
  expect(await named({ filter: `name ILIKE 'TI%'` })).toEqual(['tiny']);
  expect(
    await named({ filter: `tags.\`mlflow.prompt.is_prompt\` != 'true' and name != 'slow'`, order_by: ['name DESC'] }),
  ).toEqual(['tiny', 'other']);
  expect(await named({ filter: `name IN ('other', 'x')` })).toEqual(['other']);
  const first = await search({ max_results: 1 });
  expect(first.registered_models.map(({ name }) => name)).toEqual(['other']);
  expect((await named({ max_results: 5, page_token: first.next_page_token })).at(-1)).toBe('tiny');
  expect(await versions({ filter: `name = 'tiny'` })).toEqual(['tiny@3', 'tiny@2', 'tiny@1']);
  expect(await versions({ filter: `name='tiny' and version_number < 3`, order_by: ['version_number ASC'] })).toEqual([
    'tiny@1',
    'tiny@2',
  ]);
  expect(await versions({ filter: `tags.tidegate.state = 'refused'` })).toEqual(['tiny@3']);
  expect(await versions({ filter: `run_id = 'x'` })).toEqual([]);
  await expect(versions({ filter: `colour = 'x'` })).rejects.toThrow(/no attribute colour/);
});

describe('the files of a version', () => {
  const list = (path: string) => listPackage(publishing.db, path);

  test('folder by folder', async () => {
    expect((await list('models/tiny/1')).map(({ path, is_dir }) => [path, is_dir])).toEqual([
      ['data', true],
      ['m.onnx', false],
      ['model.yaml', false],
    ]);
    expect(await list('/models/tiny/1/data')).toEqual([{ path: 'words', is_dir: true }]);
    expect(await list('models/tiny/1/data/words/')).toEqual([{ path: 'list.txt', is_dir: false, file_size: 3 }]);
    for (const path of [
      '',
      'models',
      'models/tiny',
      'models/tiny/9',
      'models/tiny/1/m.onnx',
      'runs/0/x',
      'models/tiny/1/../2',
    ]) {
      expect([path, await list(path)]).toEqual([path, []]);
    }
  });

  test('by path', async () => {
    expect(await packageFile(publishing.db, 'models/tiny/2/m.onnx')).toMatchObject({
      sizeBytes: 1,
      digest: sha256('2'),
    });
    for (const path of [
      'models/tiny/2',
      'models/tiny/2/data',
      'models/tiny/2/../1/m.onnx',
      'models/tiny/9/m.onnx',
      'etc/passwd',
    ]) {
      await expect(packageFile(publishing.db, path)).rejects.toThrow(/no file/);
    }
  });
});
