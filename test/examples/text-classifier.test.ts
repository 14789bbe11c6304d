// The text classifier of docs/model-package.md, through the whole agent: strings over /v2, labels back.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createAgent, type Agent } from '@tidegate/edge-agent/agent.js';
import { readAgentSettings } from '@tidegate/edge-agent/config/read-settings.js';
import { systemClock } from '@tidegate/shared/system/clock.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { sha256 } from '@tidegate/shared/wire/digest.js';
import { writeTextPackage } from '../support/text-package.js';

let folder: string;
let agent: Agent;
let url: string;

interface Answer {
  readonly status: number;
  readonly field: string | null;
  readonly json: { error?: string; outputs?: { name: string; data: unknown[] }[] };
}
const infer = async (data: readonly string[], more: object = {}): Promise<Answer> => {
  const inputs = [{ name: 'text', datatype: 'BYTES', shape: [data.length], data }];
  const response = await fetch(`${url}/v2/models/topics/infer`, {
    method: 'POST',
    body: JSON.stringify({ inputs, ...more }),
  });
  const json = (await response.json()) as Answer['json'];
  return { status: response.status, field: response.headers.get('tidegate-error-field'), json };
};
const outputOf = ({ json }: Answer, name: string): unknown => json.outputs?.find((one) => one.name === name)?.data;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidegate-text-'));
  const settings = readAgentSettings({ flags: { httpPort: '0', grpcPort: '0', dataDir: folder }, environment: {} });
  const modules = { clock: systemClock, log: silentLog, version: '1.0.0', hub: undefined, observers: [] };
  agent = createAgent(settings, { ...modules, mode: 'run', moreStatus: () => ({}) });
  url = `http://${(await agent.listen()).http}`;
  const identity = { name: 'topics', version: '1', versionDigest: sha256('1'), variant: 'fp32', verified: true };
  const path = writeTextPackage(join(folder, 'topics'));
  const source = { ...identity, variantDigest: sha256('fp32'), path };
  agent.slots.activate(await agent.slots.prepare(source, new AbortController().signal));
  agent.open();
});

afterAll(async () => {
  await agent.close(5000);
  await rm(folder, { recursive: true });
});

describe('a text classifier', () => {
  it('takes strings and answers labels, one request for many', async () => {
    const answer = await infer(['The tide turns.', 'A DEVICE can', 'the lazy dog, over there']);
    expect(answer.status).toBe(200);
    expect(outputOf(answer, 'label')).toEqual(['water', 'machine', 'animal']);
    expect(outputOf(answer, 'confidence')).toHaveLength(3);
  });

  it('says which text is wrong', async () => {
    const { status, field, json } = await infer(['the tide', 'x'.repeat(70_000)]);
    expect([status, field]).toEqual([400, 'text']);
    expect(json.error).toBe("text: input 'text': step tokenise: text 1 has 70000 bytes; at most 65536 are allowed");
  });

  it('shows the tokens to who asks, and takes them from who has them', async () => {
    const shown = await infer(['the tide'], { outputs: [{ name: 'input_ids' }, { name: 'attention_mask' }] });
    const ids = outputOf(shown, 'input_ids');
    expect([ids, outputOf(shown, 'attention_mask')]).toEqual([
      [2, expect.any(Number), expect.any(Number), 3],
      [1, 1, 1, 1],
    ]);
    const inputs = ['input_ids', 'attention_mask'].map((name) => ({
      name,
      datatype: 'INT64',
      shape: [1, 4],
      data: outputOf(shown, name),
    }));
    const label = await infer([], { inputs, outputs: [{ name: 'label' }] });
    expect(outputOf(label, 'label')).toEqual(['water']);
  });

  it('runs texts of different lengths together, and shows that it does', async () => {
    const texts = Array.from({ length: 40 }, (_, at) => `the tide ${'turns and '.repeat(at % 20)}`);
    for (let round = 0; round < 4; round += 1) {
      const answers = await Promise.all(texts.map((text) => infer([text])));
      expect(answers.every((answer) => String(outputOf(answer, 'label')) === 'water')).toBe(true);
    }
    const metrics = await (await fetch(`${url}/metrics`)).text();
    expect(
      Number(/^tidegate_scheduler_padded_total\{[^}]*model="topics"[^}]*\} (\d+)/m.exec(metrics)?.[1]),
    ).toBeGreaterThan(0);
    const models = (await (await fetch(`${url}/agent/v1/models`)).json()) as { models: unknown[] };
    expect(models.models).toMatchObject([{ graphs: [{ padding: { state: 'proven' } }] }]);
  });
});
