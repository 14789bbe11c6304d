// A small pipeline over numbers for tests: `spread` makes a list of three of one, `sum` makes one of a list again, modulo 7.
import { z } from 'zod';
import { stepCatalogue, type CatalogueStep } from '@tidegate/shared/steps/step-catalogue.js';
import { fp32, numbersOf } from './word-pipeline.js';

const spread: CatalogueStep = {
  ...{ name: 'spread', takesItems: false, lists: 'makes', parameters: z.unknown() },
  prepare: () =>
    Promise.resolve({
      inferTypes: () => [{ datatype: 'FP32', shape: [1] }],
      run: async ([x]) => [0, 1, 2].map((more) => fp32('', [1], [(numbersOf(x)[0]! + more) % 7])),
    }),
};
const sum: CatalogueStep = {
  ...{ name: 'sum', takesItems: false, lists: 'joins', parameters: z.unknown() },
  prepare: () =>
    Promise.resolve({
      inferTypes: () => [{ datatype: 'FP32', shape: [1] }],
      run: async (items) => [fp32('', [1], [items.reduce((all, item) => all + numbersOf(item)[0]!, 0) % 7])],
    }),
};
export const numberCatalogue = new Map([...stepCatalogue, ['spread', spread], ['sum', sum]]);
/** A graph of numbers that takes any count of rows. */
export const NUMBER_GRAPH = {
  inputs: [{ name: 'x', datatype: 'FP32' as const, shape: [-1] }],
  outputs: [{ name: 'y', datatype: 'FP32' as const, shape: [-1] }],
};
