import { Closing } from '@tidegate/cloud-hub/composition/closing.js';
import { silentLog } from '@tidegate/shared/system/log.js';
import { expect, test } from 'vitest';

test('parts close in the reverse order, once, and one that fails keeps none open', async () => {
  const order: string[] = [];
  const failed: unknown[] = [];
  const closing = new Closing({ ...silentLog, error: (fields) => void failed.push(fields) });
  closing.add('database', async () => void order.push('database'));
  closing.add('broker', () => {
    order.push('broker');
    throw new Error('stuck');
  });
  closing.add('http', async () => {
    await new Promise((resolve) => setImmediate(resolve));
    order.push('http');
  });
  await Promise.all([closing.run(), closing.run()]);
  expect(order).toEqual(['http', 'broker', 'database']);
  expect(failed).toEqual([expect.objectContaining({ part: 'broker' })]);
});
