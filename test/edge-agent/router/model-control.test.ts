import { expect, test } from 'vitest';
import { HUB_DECIDES } from '@tidegate/edge-agent/router/model-control.js';

test('where a hub decides, nobody else does', async () => {
  const refused = { code: 'forbidden', message: expect.stringContaining('the hub decides') };
  await expect(HUB_DECIDES.load('m', new AbortController().signal)).rejects.toMatchObject(refused);
  await expect(HUB_DECIDES.unload('m')).rejects.toMatchObject(refused);
  expect(HUB_DECIDES.unloaded()).toEqual([]);
});
