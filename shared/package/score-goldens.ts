// How a golden's answer is scored, by the metric that model.yaml names. Pure. Scores are 1 for right and 0 for wrong,
// except max-abs-error, whose score is the error itself: smaller is better.
import { decodeBytes } from '../tensor/bytes.js';
import { float32Of, type Tensor } from '../tensor/tensor.js';
import type { GOLDEN_METRICS, Goldens } from '../wire/model-yaml.js';

type GoldenMetric = (typeof GOLDEN_METRICS)[number];
type GoldenExpected = Goldens[number]['expected'];

interface GoldenScore {
  readonly score: number;
  /** Was the answer exactly what was expected? For numbers: an error of 0. */
  readonly exact: boolean;
}

/** An answer that can't be compared (wrong datatype, wrong length) scores as wrong as can be. */
export function scoreGolden(metric: GoldenMetric, expected: GoldenExpected, actual: Tensor): GoldenScore {
  switch (metric) {
    case 'character-accuracy': {
      const text = textOf(actual) ?? '';
      return { score: characterAccuracy(String(expected), text), exact: text === expected };
    }
    case 'exact': {
      const exact = equals(expected, actual);
      return { score: exact ? 1 : 0, exact };
    }
    case 'top1': {
      const exact = isTop1(expected, actual);
      return { score: exact ? 1 : 0, exact };
    }
    case 'max-abs-error': {
      const error = maxAbsError(expected, actual);
      return { score: error, exact: error === 0 };
    }
  }
}

/** Does a mean score pass? For max-abs-error: the largest error. */
export function passes(metric: GoldenMetric, score: number, threshold: number): boolean {
  return metric === 'max-abs-error' ? score <= threshold : score >= threshold;
}

/** One figure for many: the mean, or the largest error. NaN never hides: it stays NaN, which passes no threshold. */
export function overall(metric: GoldenMetric, scores: readonly number[]): number {
  if (scores.length === 0) return metric === 'max-abs-error' ? 0 : 1;
  if (metric === 'max-abs-error') return Math.max(...scores);
  return scores.reduce((sum, score) => sum + score, 0) / scores.length;
}

/** 1 - edit distance / length of the expected text, in Unicode characters, not below 0. */
export function characterAccuracy(expected: string, actual: string): number {
  const [want, got] = [[...expected], [...actual]];
  if (want.length === 0) return got.length === 0 ? 1 : 0;
  return Math.max(0, 1 - editDistance(want, got) / want.length);
}

/** Levenshtein's distance: insertions, deletions, substitutions. */
export function editDistance(from: readonly string[], to: readonly string[]): number {
  let row = to.map((_, at) => at + 1);
  row.unshift(0);
  for (const [i, a] of from.entries()) {
    const next = [i + 1];
    for (const [j, b] of to.entries()) {
      const substitute = (row[j] ?? 0) + (a === b ? 0 : 1);
      next.push(Math.min(substitute, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    }
    row = next;
  }
  return row[to.length] ?? 0;
}

/** The texts of a BYTES tensor, joined by line ends; undefined for other datatypes. */
function textOf(tensor: Tensor): string | undefined {
  if (tensor.datatype !== 'BYTES') return undefined;
  const elements = decodeBytes(tensor.data);
  if (elements === undefined) return undefined;
  return elements.map((element) => new TextDecoder().decode(element)).join('\n');
}

function equals(expected: GoldenExpected, actual: Tensor): boolean {
  if (actual.datatype === 'BYTES') return textOf(actual) === String(expected);
  const want = Array.isArray(expected) ? expected : [Number(expected)];
  const got = numbersOf(actual);
  return got !== undefined && got.length === want.length && want.every((value, at) => Object.is(value, got[at]));
}

/** The index of the largest value of one row of scores; a BYTES or integer answer is compared as the class itself. */
function isTop1(expected: GoldenExpected, actual: Tensor): boolean {
  if (actual.datatype === 'BYTES') return textOf(actual) === String(expected);
  const values = numbersOf(actual);
  if (values === undefined || values.length === 0 || Array.isArray(expected)) return false;
  if (values.length === 1) return values[0] === Number(expected);
  if (values.some(Number.isNaN)) return false;
  return values.indexOf(Math.max(...values)) === Number(expected);
}

function maxAbsError(expected: GoldenExpected, actual: Tensor): number {
  const want = Array.isArray(expected) ? expected : [Number(expected)];
  const got = numbersOf(actual);
  if (got === undefined || got.length !== want.length) return Infinity;
  const errors = want.map((value, at) => Math.abs(value - (got[at] ?? NaN)));
  return errors.some(Number.isNaN) ? Infinity : Math.max(0, ...errors);
}

/** Elements of a tensor of numbers (64-bit integers rounded); undefined for other datatypes. */
export function numbersOf(tensor: Tensor): number[] | undefined {
  const { data, datatype } = tensor;
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const read = (size: number, at: (offset: number) => number): number[] =>
    Array.from({ length: Math.floor(data.byteLength / size) }, (_, index) => at(index * size));
  switch (datatype) {
    case 'FP32':
      return [...float32Of(tensor)];
    case 'FP64':
      return read(8, (at) => view.getFloat64(at, true));
    case 'INT64':
      return read(8, (at) => Number(view.getBigInt64(at, true)));
    case 'UINT64':
      return read(8, (at) => Number(view.getBigUint64(at, true)));
    case 'INT32':
      return read(4, (at) => view.getInt32(at, true));
    case 'UINT32':
      return read(4, (at) => view.getUint32(at, true));
    case 'INT16':
      return read(2, (at) => view.getInt16(at, true));
    case 'UINT16':
      return read(2, (at) => view.getUint16(at, true));
    case 'INT8':
      return read(1, (at) => view.getInt8(at));
    case 'UINT8':
    case 'BOOL':
      return read(1, (at) => view.getUint8(at));
    default:
      return undefined;
  }
}
