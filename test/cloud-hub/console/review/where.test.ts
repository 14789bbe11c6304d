import { describe, expect, it } from 'vitest';
import { narrowed, queryOf } from '@tidegate/cloud-hub/console/review/where.js';
import { parseSampleQuery, printSampleQuery } from '@tidegate/cloud-hub/data/sample-query.js';

/** As the hub understands it. */
const meaning = (query: string): string => printSampleQuery(parseSampleQuery(query, 'where', 0));

describe("the reviewer's condition with the tab's state", () => {
  it('means both, whatever binds tighter', () => {
    expect(meaning(queryOf('new', 'model=a or model=b'))).toBe('(model=a or model=b) and state=new');
    expect(meaning(queryOf('rejected', 'confidence<0.5'))).toBe('confidence<0.5 and state=rejected');
    expect(queryOf('labelled', '')).toBe('state=labelled');
    expect(queryOf('all', 'model=a or model=b')).toBe('model=a or model=b');
    expect(queryOf('all', '')).toBe('');
  });

  it("keeps the places that the hub's messages name", () => {
    expect(() => meaning(queryOf('new', 'model=digits and colour=red'))).toThrow('where, at 18:');
  });

  it('can be narrowed', () => {
    expect(narrowed('', 'label=*')).toBe('label=*');
    expect(meaning(narrowed('model=a or model=b', 'label=*'))).toBe('(model=a or model=b) and label=*');
  });
});
