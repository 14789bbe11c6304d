// Shared answers over the admin API and the operator's command line, on a whole hub.
import { makeContext } from '@tidegate/cloud-hub/cli/context.js';
import { runProgram } from '@tidegate/cloud-hub/cli/program.js';
import { auditRowSchema, pageOf } from '@tidegate/shared/wire/admin-api.js';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { runHub, type RunningHub } from '../../support/running-hub.js';
import { recordedStreams } from '../../support/silent-streams.js';
import { temporaryFolders } from '../../support/temporary-folder.js';

const folder = temporaryFolders('shared-answer-routes');
let running: RunningHub;

beforeAll(async () => {
  running = await runHub(folder());
});
afterAll(() => running.hub.drain());

async function tidegate(args: string[], token = running.token): Promise<{ code: number; out: string; err: string }> {
  const streams = recordedStreams();
  const context = makeContext(
    { ...streams, stdin: Readable.from(['']) },
    { TIDEGATE_HUB: running.url, TIDEGATE_TOKEN: token },
  );
  return { code: await runProgram(args, context), out: streams.out(), err: streams.err() };
}

describe('tidegate cache', () => {
  test('shows what is held', async () => {
    expect(await tidegate(['cache', 'show'])).toMatchObject({
      code: 0,
      out: expect.stringMatching(/0 wait for agreement\n\nthe hub's own\n/) as string,
    });
    const json = JSON.parse((await tidegate(['cache', 'show', '--json'])).out) as object;
    const empty = { enabled: true, entries: 0, limitBytes: 64 * 2 ** 20, models: [] };
    expect(json).toMatchObject({ ...empty, own: { ...empty, hits: 0, joined: 0 } });
  });

  test('drops, and the audit log says who', async () => {
    expect(await tidegate(['cache', 'drop', '--model', 'digits'])).toMatchObject({
      code: 0,
      out: '0 answers dropped\n',
    });
    const { items } = await running.client.get('/api/v1/audit?subject=digits', pageOf(auditRowSchema));
    expect(items[0]).toMatchObject({ actor: 'token:admin', action: 'shared-answers.drop', detail: { removed: 0 } });
  });

  test.each([[[]], [['--all', '--model', 'm']]])('a slip empties nothing: %j', async (args) => {
    expect(await tidegate(['cache', 'drop', ...args])).toMatchObject({
      code: 2,
      err: expect.stringContaining('--all'),
    });
  });

  test('the API refuses a slip too, and who may only read', async () => {
    const drop = (body: object, token: string): Promise<Response> =>
      fetch(`${running.url}/api/v1/shared-answers/drop`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
    for (const body of [{}, { modle: 'm' }, { all: true, tag: 't' }])
      expect((await drop(body, running.token)).status).toBe(400);
    const created = z.object({ token: z.string() });
    const { token } = await running.client.post('/api/v1/tokens', { name: 'r', scopes: ['read'] }, created);
    expect((await drop({ all: true }, token)).status).toBe(403);
  });
});
