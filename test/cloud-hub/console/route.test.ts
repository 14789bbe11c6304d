import { describe, expect, it } from 'vitest';
import { hrefOf, routeOf, type Route } from '@tidegate/cloud-hub/console/route.js';

const parsed = (href: string): Route => {
  const url = new URL(href, 'http://hub');
  return routeOf(url.pathname, url.search);
};

describe('routes of the console', () => {
  it.each<Route>([
    { page: 'fleet' },
    { page: 'datasets' },
    { page: 'review', tab: 'new', where: '' },
    { page: 'review', tab: 'rejected', where: 'label="a & b" and confidence<0.8' },
    { page: 'training' },
    { page: 'training', dataset: 'hard@1' },
    { page: 'training', job: 'j-1/2' },
    { page: 'lineage', model: 'my.model', version: '12' },
    { page: 'lineage', model: 'digits', version: 'sha256:ab' },
  ])('come back from their own path: %o', (route) => {
    expect(parsed(hrefOf(route))).toEqual(route);
  });

  it.each(['/', '/nothing', '/lineage', '/lineage/digits', '/%E0%A4%A'])(
    'show the fleet where a path means nothing: %s',
    (path) => {
      expect(parsed(path)).toEqual({ page: 'fleet' });
    },
  );

  it('end in something without an extension, which the hub answers with the page', () => {
    expect(hrefOf({ page: 'lineage', model: 'v1.5', version: '2' })).toBe('/lineage/v1.5/2');
  });

  it('take an unknown state of samples for the new ones', () => {
    expect(parsed('/review?state=strange')).toEqual({ page: 'review', tab: 'new', where: '' });
  });
});
