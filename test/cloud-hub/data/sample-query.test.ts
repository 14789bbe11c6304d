// The language that picks samples: what it reads, what it refuses and where, and that its printed form means the same.
import { DataError } from '@tidegate/cloud-hub/data/data-error.js';
import { parseSampleQuery, printSampleQuery } from '@tidegate/cloud-hub/data/sample-query.js';
import { seededRandom } from '@tidegate/shared/system/random.js';
import { describe, expect, test } from 'vitest';

const NOW_MS = Date.parse('2026-11-26T12:00:00Z');
const parse = (text: string) => parseSampleQuery(text, 'where', NOW_MS);
const printed = (text: string) => printSampleQuery(parse(text));

function refusal(text: string): string {
  try {
    parse(text);
  } catch (cause) {
    expect(cause).toBeInstanceOf(DataError);
    expect(cause).toMatchObject({ code: 'invalid', field: 'where' });
    return (cause as DataError).message;
  }
  return 'was taken';
}

describe('a query', () => {
  test('is conditions with and between them', () => {
    expect(parse('model=digits and confidence<0.8')).toEqual({
      kind: 'and',
      parts: [
        { kind: 'text', field: 'model', operator: '=', pieces: ['digits'] },
        { kind: 'number', field: 'confidence', operator: '<', value: 0.8 },
      ],
    });
  });

  test('binds and tighter than or, and brackets tightest', () => {
    expect(printed('label=1 or label=2 AND version=3')).toBe('label=1 or (label=2 and version=3)');
    expect(printed('(label=1 Or label=2) and version=3')).toBe('(label=1 or label=2) and version=3');
    expect(printed('((label=1) and (label=2 and (label=3)))')).toBe('label=1 and label=2 and label=3');
  });

  test.each([
    ['label=a*b', ['a', 'b']],
    ['label=*', ['', '']],
    ['label="two words*"', ['two words', '']],
    [String.raw`label="a\*b\"c\\"`, ['a*b"c\\']],
    ['label=""', ['']],
    ['label=and', ['and']],
    ['label="x\' or 1=1 --"', ["x' or 1=1 --"]],
    ['label=größe', ['größe']],
  ])('reads the text in %s', (text, pieces) => {
    expect(parse(text)).toEqual({ kind: 'text', field: 'label', operator: '=', pieces });
  });

  test.each([
    ['captured=2026-11-24', 'captured>=2026-11-24T00:00:00.000Z and captured<2026-11-25T00:00:00.000Z'],
    ['captured!=2026-11-24', 'captured<2026-11-24T00:00:00.000Z or captured>=2026-11-25T00:00:00.000Z'],
    ['captured>2026-11-24', 'captured>=2026-11-25T00:00:00.000Z'],
    ['captured>=2026-11-24', 'captured>=2026-11-24T00:00:00.000Z'],
    ['captured<2026-11-24', 'captured<2026-11-24T00:00:00.000Z'],
    ['captured<=2026-11-24', 'captured<2026-11-25T00:00:00.000Z'],
    ['captured<2026-11-24T10:00Z', 'captured<2026-11-24T10:00:00.000Z'],
    ['captured<2026-11-24T10:00:00.5+02:00', 'captured<2026-11-24T08:00:00.500Z'],
    ['captured>=7d', 'captured>=2026-11-19T12:00:00.000Z'],
    ['captured<"90s"', 'captured<2026-11-26T11:58:30.000Z'],
  ])('resolves %s', (text, expected) => {
    expect(printed(text)).toBe(expected);
  });

  test.each([
    ['', 'where, at 1: expected one of id, model, version'],
    ['   ', 'where, at 4: expected one of id, model'],
    ['colour=red', 'where, at 1: expected one of id, model, version, variant'],
    ['toString=1', 'where, at 1: expected one of id, model'],
    ['model', 'where, at 6: expected an operator behind model: = != < <= > >=; found the end'],
    ['model=', 'where, at 7: expected a value behind model='],
    ['model = and', 'was taken'],
    ['model=a label=b', 'where, at 9: expected "and", "or" or the end; found "label"'],
    ['model=a and', 'where, at 12: expected one of'],
    ['model=a and (label=b', 'where, at 21: expected ")" for the "(" at 13; found the end'],
    ['model=a)', 'where, at 8: expected "and"'],
    ['model<a', 'where, at 6: model is a text: expected = or !=, found <'],
    ['confidence<high', 'where, at 12: expected a number from 0 to 1, e.g. 0.8; found "high"'],
    ['confidence<80', 'where, at 12: expected a number from 0 to 1'],
    ['confidence<-0.1', 'where, at 12: expected a number'],
    ['confidence<Infinity', 'where, at 12: expected a number'],
    ['confidence<0x1', 'where, at 12: expected a number'],
    ['confidence<""', 'where, at 12: expected a number from 0 to 1, e.g. 0.8; found ""'],
    ['version=1.5', 'where, at 9: expected a whole number'],
    ['version=latest', 'where, at 9: expected a whole number from 1, e.g. 2; found "latest"'],
    ['state=labeled', 'where, at 7: expected one of new, labelled, rejected; found "labeled"'],
    ['reason=x', 'where, at 8: expected one of low-confidence, random-share, import'],
    ['captured>yesterday', 'where, at 10: expected a day (2026-11-24)'],
    ['captured>2026-02-31', 'where, at 10: expected a day'],
    ['captured>2026-11-24T10:00', 'where, at 10: expected a day'],
    ['label="open', 'where, at 7: these quotes are not closed'],
    [String.raw`label=a\b`, 'where, at 8: found "\\\\" outside quotes'],
    ['label=a!b', 'where, at 8: found "!" outside quotes'],
    ['label=a*b*c*d*e*f', 'where, at 7: more than 4 * in one value'],
    ["model=a'; drop table samples", 'where, at 11: expected "and", "or" or the end; found "drop"'],
    ['x'.repeat(2001), 'where: is longer than 2000 characters'],
    ['('.repeat(30) + 'label=a' + ')'.repeat(30), 'where, at 21: more than 20 brackets within each other'],
    [Array.from({ length: 101 }, () => 'label=a').join(' or '), 'where, at 1101: more than 100 conditions'],
  ])('%s: %s', (text, expected) => {
    expect(refusal(text)).toContain(expected);
  });

  test('has no control characters', () => {
    expect(refusal('label="a\u0000"')).toBe('where, at 9: a control character is not possible');
    expect(refusal('label=\u001b[2J')).toBe('where, at 7: a control character is not possible');
    expect(printed('label=a\r\n\tand label=b')).toBe('label=a and label=b');
  });

  test('means the same once it is printed, whatever it is', () => {
    const random = seededRandom(7);
    const pick = <T>(of: readonly T[]): T => of[Math.floor(random.next() * of.length)] as T;
    const value = () => Array.from({ length: 1 + random.next() * 6 }, () => pick([...'aZ9.*\\" =\'()é'])).join('');
    const quoted = () => `"${value().replaceAll(/["\\]/g, String.raw`\$&`)}"`;
    const single = (depth: number): string => {
      if (depth > 0 && random.next() < 0.3) return `(${query(depth - 1)})`;
      return pick([
        () => `${pick(['label', 'answer', 'device', 'group', 'batch'])}${pick(['=', '!='])}${quoted()}`,
        () => `confidence${pick(['=', '!=', '<', '<=', '>', '>='])}${random.next()}`,
        () =>
          `captured${pick(['=', '!=', '<', '<=', '>', '>='])}${pick(['7d', '2026-01-31', '2026-01-31T01:02:03.004Z'])}`,
      ])();
    };
    const query = (depth: number): string =>
      Array.from({ length: 1 + random.next() * 3 }, () => single(depth)).join(pick([' and ', ' or ']));
    for (let round = 0; round < 500; round += 1) {
      const text = query(3);
      let tree;
      try {
        tree = parse(text);
      } catch (cause) {
        expect((cause as Error).message).toMatch(/more than 4 \*|longer than/);
        continue;
      }
      expect(parse(printSampleQuery(tree))).toEqual(tree);
    }
  });
});
