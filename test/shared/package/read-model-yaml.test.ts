import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PackageError } from '@tidegate/shared/package/package-error.js';
import { LIMIT_MODEL_YAML_BYTES, readModelYaml } from '@tidegate/shared/package/read-model-yaml.js';

const GOOD = `name: reader
licence: MIT
inputs:
  - {name: picture, datatype: BYTES, shape: [-1]}
outputs:
  - {name: text, datatype: BYTES, shape: [-1]}
pipeline:
  - step: decode-image
    inputs: [picture]
    outputs: [pixels]
  - graph: net.onnx
    inputs: {x: pixels}
    outputs: {y: text}
`;

function errorOf(text: string): PackageError {
  try {
    readModelYaml(text);
  } catch (error) {
    if (error instanceof PackageError) return error;
    throw error;
  }
  throw new Error('was read without an error');
}

describe('readModelYaml', () => {
  it('reads a good one and fills the defaults in', () => {
    const yaml = readModelYaml(GOOD);
    expect(yaml.name).toBe('reader');
    expect(yaml.batching.maxRows).toBe(8);
    expect(yaml.privacy.fallback).toBe('hub');
  });

  it.each([
    [
      'a wrong datatype',
      GOOD.replace('datatype: BYTES, shape: [-1]}\nout', 'datatype: STRING, shape: [-1]}\nout'),
      'inputs.0.datatype',
      4,
    ],
    ['a missing licence', GOOD.replace('licence: MIT\n', ''), 'licence', 1],
    ['a licence that is a number', GOOD.replace('MIT', '7'), 'licence', 2],
    ['an unknown field', `${GOOD}colour: red\n`, 'colour', 14],
    [
      'an unknown field of a step',
      GOOD.replace('outputs: [pixels]', 'outputs: [pixels]\n    wiht: {}'),
      'pipeline.0.wiht',
      11,
    ],
    ['a step without outputs', GOOD.replace('    outputs: [pixels]\n', ''), 'pipeline.0.outputs', 8],
    ['a path out of the package', GOOD.replace('net.onnx', '../net.onnx'), 'pipeline.1.graph', 11],
    ['a value that nobody makes', GOOD.replace('{x: pixels}', '{x: pixel}'), 'pipeline.1.inputs.x', 12],
    ['an output that nobody makes', GOOD.replace('{y: text}', '{y: words}'), 'outputs.0.name', 6],
    ['a threshold above 1', `${GOOD}confidence: {output: text, threshold: 2}\n`, 'confidence.threshold', 14],
    [
      'goldens of an unknown output',
      `${GOOD}goldens: {file: g.json, output: nix, metric: exact, threshold: 1}\n`,
      'goldens.output',
      14,
    ],
    [
      'a varied step that is not there',
      `${GOOD}heavy: {vary: {node: resize, parameter: scale, values: [1]}, keep: text}\n`,
      'heavy.vary.node',
      14,
    ],
  ])('names file, line and field of %s', (_, text, field, line) => {
    const error = errorOf(text);
    expect(error.code).toBe('invalid-model');
    expect(error.place).toEqual({ file: 'model.yaml', field, line });
    expect(error.message).toMatch(`model.yaml, line ${line}: ${field}: `);
  });

  it('says what a pipeline node must be when it is neither', () => {
    const error = errorOf(GOOD.replace('graph: net.onnx', 'script: net.py'));
    expect(error.place.field).toBe('pipeline.1');
    expect(error.message).toMatch(/must be a step .* or a graph/);
  });

  it.each([
    ['broken YAML', 'name: [reader'],
    ['a key given twice', `${GOOD}name: again\n`],
    ['an alias bomb', aliasBomb()],
    ['a dangling alias', `${GOOD}description: *nowhere\n`],
  ])('refuses %s', (_, text) => {
    expect(errorOf(text).code).toBe('invalid-yaml');
  });

  it('refuses text that is too large before it parses it', () => {
    expect(errorOf(`${GOOD}# ${'x'.repeat(LIMIT_MODEL_YAML_BYTES)}`).code).toBe('too-large');
  });

  it.each(['', 'just words', '[]', '7'])('refuses %j', (text) => {
    expect(errorOf(text).code).toBe('invalid-model');
  });

  it('throws nothing but PackageError, whatever is broken in the text', () => {
    const piece = fc.constantFrom(
      '\n',
      '  ',
      '- ',
      ': ',
      '{',
      '}',
      '[',
      ']',
      '&a ',
      '*a',
      '<<: ',
      '!!js ',
      '"',
      "'",
      '|',
      '\t',
      '\0',
      '__proto__: ',
      'é',
      '%',
    );
    const cut = fc.nat({ max: GOOD.length });
    fc.assert(
      fc.property(cut, cut, piece, (start, length, inserted) => {
        const text = GOOD.slice(0, start) + inserted + GOOD.slice(start + (length % 20));
        try {
          readModelYaml(text);
        } catch (error) {
          expect(error).toBeInstanceOf(PackageError);
        }
      }),
      { numRuns: 200 },
    );
  });

  it('reads on after an error', () => {
    expect(() => readModelYaml('name: [')).toThrow(PackageError);
    expect(readModelYaml(GOOD).name).toBe('reader');
  });
});

/** Each level names the one before ten times: 10^9 nodes from a few hundred bytes. */
function aliasBomb(): string {
  const levels = Array.from({ length: 9 }, (_, at) => `l${at + 1}: &l${at + 1} [${`*l${at},`.repeat(10)}]`);
  return ['l0: &l0 [x, x, x, x, x, x, x, x, x, x]', ...levels, GOOD].join('\n');
}
