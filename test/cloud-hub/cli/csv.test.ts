import { csvLine, parseCsv } from '@tidegate/cloud-hub/cli/csv.js';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

const cells = (text: string): (readonly string[])[] => parseCsv(text).map((row) => row.cells);

describe('CSV', () => {
  test.each<[string, string[][]]>([
    ['a,b\nc,d\n', [['a', 'b'], ['c', 'd']]], // prettier-ignore
    ['\ufeffa,b\r\nc,\r\n', [['a', 'b'], ['c', '']]], // prettier-ignore
    ['"a,1","say ""hi"""\n', [['a,1', 'say "hi"']]],
    ['"two\nlines",x', [['two\nlines', 'x']]],
    ['\n\na\n\n', [['a']]],
    ['', []],
    ['a\rb', [['a'], ['b']]],
  ])('%j is read', (text, expected) => expect(cells(text)).toEqual(expected));

  test.each([
    ['a\n\n"b\nc"\r\nd', [1, 3, 5]],
    ['"a\nb",c\nd,"e\r\n"\nf', [1, 3, 5]],
  ])('knows the lines of %j', (text, lines) => expect(parseCsv(text).map(({ line }) => line)).toEqual(lines));

  test.each([
    ['a\n"b', 'line 2'],
    ['a"b,c', 'line 1'],
    ['"a"b', 'line 1'],
  ])('%j names the line that is wrong', (text, line) => expect(() => parseCsv(text)).toThrow(line));

  test('gives back what is written', () => {
    const row = fc.array(fc.string(), { minLength: 2, maxLength: 5 });
    fc.assert(
      fc.property(fc.array(row), (rows) => {
        expect(cells(rows.map((one) => `${csvLine(one)}\n`).join(''))).toEqual(rows);
      }),
    );
  });
});
