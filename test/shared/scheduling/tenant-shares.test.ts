import { describe, expect, it } from 'vitest';
import { TenantShares } from '@tidegate/shared/scheduling/tenant-shares.js';

const request = (tenant: string | undefined, rank = 0, account = 'device:1') => ({ account, tenant, rank, costMs: 10 });

describe('tenants within a share', () => {
  it('are no matter where nobody is named', () => {
    const tenants = new TenantShares();
    expect(tenants.enter('device:1', '')).toBeUndefined();
    expect(tenants.turns('device:1', [request(undefined)])).toBeUndefined();
    tenants.began(request(undefined));
    tenants.leave(request(undefined));
  });

  it('take turns by the time that they had', () => {
    const tenants = new TenantShares();
    for (const tenant of ['a', 'a', 'a', 'b', '']) tenants.enter('device:1', tenant);
    const run = request('a', 1);
    tenants.began(run);
    tenants.ended(run, 25);
    const waiting = [request('a', 1), request('a', 2), request('b', 3), request('', 4), request('b', 5)];
    const turns = tenants.turns('device:1', waiting);
    expect(turns?.map(({ share }) => share.rank)).toEqual([3, 4, 5, 1, 2]);
    expect(turns?.map(({ tag }) => tag)).toEqual([0, 0, 10, 25, 35]);
    expect(turns?.[0]?.share).toBe(waiting[2]);
    expect(tenants.turns('device:2', waiting)).toBeUndefined();
  });

  it('are forgotten with the last request', () => {
    const tenants = new TenantShares();
    tenants.enter('device:1', 'a');
    tenants.began(request('a'));
    tenants.leave(request('a'));
    expect(tenants.turns('device:1', [request('a')])).toBeUndefined();
  });
});
