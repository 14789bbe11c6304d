import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { findStep } from '@tidegate/shared/steps/step-catalogue.js';
import type { PreparedStep } from '@tidegate/shared/steps/step.js';
import { encodeBytes } from '@tidegate/shared/tensor/bytes.js';
import type { Tensor } from '@tidegate/shared/tensor/tensor.js';

const signal = new AbortController().signal;
const files: Readonly<Record<string, Uint8Array>> = Object.fromEntries(
  ['bert', 'roberta', 'sentence-piece'].map((name) => [
    `${name}.json`,
    readFileSync(new URL(`../../fixtures/tokenizers/${name}.json`, import.meta.url)),
  ]),
);
const assets = {
  read: (path: string): Promise<Uint8Array> => {
    const content = files[path];
    return content === undefined ? Promise.reject(new Error(`there is no ${path}`)) : Promise.resolve(content);
  },
};
const prepare = (parameters: object = {}): Promise<PreparedStep> =>
  findStep('tokenise').prepare({ file: 'bert.json', ...parameters }, assets);
const words = (...texts: (string | Uint8Array)[]): Tensor => ({
  datatype: 'BYTES',
  shape: [texts.length],
  data: encodeBytes(texts.map((text) => (typeof text === 'string' ? Buffer.from(text) : text))),
});
const rowsOf = ({ datatype, shape, data }: Tensor): number[][] => {
  const copy = new Uint8Array(data).buffer;
  const values = datatype === 'INT64' ? Array.from(new BigInt64Array(copy), Number) : [...new Int32Array(copy)];
  const [rows = 0, length = 0] = shape;
  return Array.from({ length: rows }, (_, row) => values.slice(row * length, (row + 1) * length));
};
const run = async (step: PreparedStep, ...inputs: Tensor[]): Promise<number[][][]> =>
  (await step.run(inputs, signal)).map(rowsOf);

describe('tokenise', () => {
  it('makes ids, mask and types, padded to the longest text', async () => {
    const step = await prepare();
    const outputs = await step.run([words('tide device', 'tide', '')], signal);
    expect(outputs.map(({ datatype, shape }) => [datatype, shape])).toEqual([1, 2, 3].map(() => ['INT64', [3, 4]]));
    const [ids, mask, types] = outputs.map(rowsOf);
    const [tide, device] = ids?.[0]?.slice(1) ?? [];
    expect(ids).toEqual([
      [2, tide, device, 3],
      [2, tide, 3, 0],
      [2, 3, 0, 0],
    ]);
    expect(mask).toEqual([
      [1, 1, 1, 1],
      [1, 1, 1, 0],
      [1, 1, 0, 0],
    ]);
    expect(types?.flat().every((type) => type === 0)).toBe(true);
  });

  it('sets each text of the first input beside one of the second', async () => {
    const [ids, mask, types] = await run(await prepare(), words('tide', 'device'), words('can', ''));
    expect(ids?.map((row) => row.filter((id) => id === 3).length)).toEqual([2, 2]);
    expect([mask, types]).toEqual([
      [
        [1, 1, 1, 1, 1],
        [1, 1, 1, 1, 0],
      ],
      [
        [0, 0, 0, 1, 1],
        [0, 0, 0, 1, 0],
      ],
    ]);
    await expect(run(await prepare(), words('a'), words('b', 'c'))).rejects.toThrow(
      'is given 1 texts and 2 to go with',
    );
  });

  it('pads to a multiple, to a fixed length, and as INT32', async () => {
    const [multiple] = await run(await prepare({ multiple: 8, datatype: 'INT32' }), words('tide'));
    expect(multiple?.[0]).toHaveLength(8);
    const [capped] = await run(await prepare({ multiple: 8, maxLength: 5 }), words('tide gate tide gate tide'));
    expect(capped?.[0]).toHaveLength(5);
    const fixed = await prepare({ padding: 'maxLength', maxLength: 6 });
    expect((await run(fixed, words('tide')))[0]?.[0]).toHaveLength(6);
    expect(fixed.inferTypes([{ datatype: 'BYTES', shape: [-1] }])[0]).toEqual({ datatype: 'INT64', shape: [-1, 6] });
  });

  it('cuts a text that is too long, or refuses it', async () => {
    const long = 'tide gate lets water through';
    expect((await run(await prepare({ maxLength: 4 }), words(long)))[0]?.[0]).toHaveLength(4);
    await expect(run(await prepare({ maxLength: 4, tooLong: 'refuse' }), words('tide', long))).rejects.toThrow(
      'step tokenise: text 1 has more than 4 tokens',
    );
  });

  it('refuses input that is no text, or too much of it', async () => {
    const step = await prepare({ maxBytes: 10 });
    await expect(run(step, words('ok', Uint8Array.of(0xff)))).rejects.toThrow('text 1 is not UTF-8');
    await expect(run(step, words('more than ten'))).rejects.toThrow('text 0 has 13 bytes; at most 10 are allowed');
    await expect(run(step, { ...words('a'), shape: [2] })).rejects.toThrow('is given elements cut short');
    const much = words(...Array.from({ length: 513 }, () => 'a'));
    await expect(run(await prepare({ padding: 'maxLength', maxLength: 32_768 }), much)).rejects.toThrow('are too many');
    expect(() => step.inferTypes([{ datatype: 'FP32', shape: [-1] }])).toThrow(
      'takes BYTES [-1], but is given FP32 [-1]',
    );
  });

  it.each([
    [{ file: 'absent.json' }, 'with.file: there is no absent.json'],
    [{ file: 'broken.json' }, 'with.file: broken.json: model.type: '],
    [{ padToken: '<none>' }, "with.padToken: the tokenizer has no token '<none>'"],
    [{ file: 'sentence-piece.json' }, 'with.padToken: must be given, for the tokenizer names none'],
    [{ maxLength: 0 }, 'with.maxLength: '],
    [{ pad: 1 }, 'with.pad: is not a parameter of this step'],
  ])('names the parameter that is wrong: %j', async (parameters, message) => {
    const withBroken = {
      read: (path: string) =>
        path === 'broken.json' ? Promise.resolve(Buffer.from('{"model":{"type":"?"}}')) : assets.read(path),
    };
    const step = findStep('tokenise').prepare({ file: 'bert.json', ...parameters }, withBroken);
    await expect(step).rejects.toThrow(message);
  });

  it('wants room beside the special tokens, more of them for a pair', async () => {
    const step = await prepare({ maxLength: 3 });
    const text = { datatype: 'BYTES', shape: [-1] } as const;
    expect(step.inferTypes([text])).toHaveLength(3);
    expect(() => step.inferTypes([text, text])).toThrow('with.maxLength: leaves no room beside the 3 special tokens');
  });

  it('pads with the token that is named, or the usual one of the file', async () => {
    const [ids] = await run(await prepare({ file: 'roberta.json' }), words('tide gate', ''));
    expect(ids?.[1]?.at(-1)).toBe(1); // <pad>
    const [named] = await run(await prepare({ file: 'sentence-piece.json', padToken: '</s>' }), words('tide gate', ''));
    expect(named?.[1]?.at(-1)).toBe(2);
  });
});
