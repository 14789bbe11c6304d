// How a tokenizer cuts text into words before its model sees them: the pre-tokenizers of Hugging Face's tokenizer.json by
// name, as its Rust implementation does it. Expressions are those of known-patterns.ts and none of the package's.
import { z } from 'zod';
import { GPT2_PATTERN } from './known-patterns.js';
import { patternOf, patternSchema } from './normalisers.js';

const LIMIT_PARTS = 16;

const behaviour = z.enum(['Isolated', 'Removed', 'MergedWithPrevious', 'MergedWithNext', 'Contiguous']);
type Behaviour = z.infer<typeof behaviour>;

const single = z.discriminatedUnion('type', [
  z.strictObject({ type: z.enum(['BertPreTokenizer', 'Whitespace', 'WhitespaceSplit']) }),
  z.strictObject({
    type: z.literal('ByteLevel'),
    add_prefix_space: z.boolean().default(true),
    trim_offsets: z.boolean().optional(),
    use_regex: z.boolean().default(true),
  }),
  z.strictObject({
    type: z.literal('Metaspace'),
    replacement: z.string().min(1).max(2),
    prepend_scheme: z.enum(['always', 'first', 'never']).optional(),
    /** How older files say whether, and what: always, and the replacement. */
    add_prefix_space: z.boolean().default(true),
    str_rep: z.string().max(2).optional(),
    split: z.boolean().default(true),
  }),
  z.strictObject({ type: z.literal('Digits'), individual_digits: z.boolean().default(false) }),
  z.strictObject({ type: z.literal('Punctuation'), behavior: behaviour.default('Isolated') }),
  z.strictObject({
    type: z.literal('Split'),
    pattern: patternSchema,
    behavior: behaviour,
    invert: z.boolean().default(false),
  }),
]);
type Single = z.infer<typeof single>;

const sequence = z.strictObject({
  type: z.literal('Sequence'),
  pretokenizers: z
    .array(single)
    .max(LIMIT_PARTS)
    // A second one would write each byte as two, a sixteenth as 32,768.
    .refine((parts) => parts.filter(({ type }) => type === 'ByteLevel').length <= 1, 'may hold ByteLevel once'),
});

export const splitterSchema = z.discriminatedUnion('type', [sequence, single]).nullable();
type SplitterSettings = z.infer<typeof splitterSchema>;

/** `atStart`: the piece is the beginning of the text. No word is empty. */
export type SplitWords = (piece: string, atStart: boolean) => string[];

export function makeSplitter(settings: SplitterSettings): SplitWords {
  const parts = settings === null ? [] : settings.type === 'Sequence' ? settings.pretokenizers : [settings];
  const all = parts.map(one);
  return (piece, atStart) => {
    let words = piece === '' ? [] : [piece];
    for (const split of all) words = words.flatMap((word, at) => split(word, atStart && at === 0));
    return words;
  };
}

const PUNCTUATION = /[!-/:-@[-`{-~\p{P}]/gu;

function one(settings: Single): SplitWords {
  switch (settings.type) {
    case 'BertPreTokenizer':
      return (piece) => piece.match(/[!-/:-@[-`{-~\p{P}]|[^\p{White_Space}!-/:-@[-`{-~\p{P}]+/gu) ?? [];
    case 'Whitespace':
      return (piece) =>
        piece.match(
          /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]+|[^\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}\p{White_Space}]+/gu,
        ) ?? [];
    case 'WhitespaceSplit':
      return (piece) => piece.match(/\P{White_Space}+/gu) ?? [];
    case 'ByteLevel':
      return (piece) => {
        const text = settings.add_prefix_space && !piece.startsWith(' ') ? ` ${piece}` : piece;
        return (settings.use_regex ? (text.match(GPT2_PATTERN) ?? []) : [text]).map(asByteCharacters);
      };
    case 'Metaspace':
      return (piece, atStart) => metaspace(settings, piece, atStart);
    case 'Digits':
      return (piece) => cutBy(piece, /\p{N}/gu, settings.individual_digits ? 'Isolated' : 'Contiguous', false);
    case 'Punctuation':
      return (piece) => cutBy(piece, PUNCTUATION, settings.behavior, false);
    case 'Split': {
      const pattern = patternOf(settings.pattern);
      return (piece) => cutBy(piece, pattern, settings.behavior, settings.invert);
    }
  }
}

function metaspace(settings: Extract<Single, { type: 'Metaspace' }>, piece: string, atStart: boolean): string[] {
  const { replacement, split, add_prefix_space: prefixes } = settings;
  const scheme = settings.prepend_scheme ?? (prefixes ? 'always' : 'never');
  let text = piece.replaceAll(' ', () => replacement);
  const prepends = scheme === 'always' || (scheme === 'first' && atStart);
  if (prepends && !text.startsWith(replacement)) text = replacement + text;
  return split ? cutBy(text, replacement, 'MergedWithNext', false) : [text];
}

interface Part {
  text: string;
  readonly matches: boolean;
}

function cutBy(text: string, pattern: string | RegExp, how: Behaviour, invert: boolean): string[] {
  const parts = partsOf(text, pattern, invert);
  if (how === 'Removed') return parts.flatMap((part) => (part.matches ? [] : [part.text]));
  const words: Part[] = [];
  for (const part of parts) {
    const before = words.at(-1);
    const joins =
      before !== undefined &&
      ((how === 'Contiguous' && part.matches === before.matches) ||
        (how === 'MergedWithPrevious' && part.matches && !before.matches) ||
        (how === 'MergedWithNext' && !part.matches && before.matches));
    // What is joined to a match has taken its place, so that the next match begins a word.
    if (joins) words[words.length - 1] = { text: before.text + part.text, matches: part.matches };
    else words.push(part);
  }
  return words.map((word) => word.text);
}

/** The text in order, cut at both ends of each match. */
function partsOf(text: string, pattern: string | RegExp, invert: boolean): Part[] {
  const parts: Part[] = [];
  let at = 0;
  const push = (start: number, end: number, matches: boolean): void => {
    if (end > start) parts.push({ text: text.slice(start, end), matches: matches !== invert });
  };
  const found = (start: number, length: number): void => {
    push(at, start, false);
    push(start, start + length, true);
    at = start + length;
  };
  if (typeof pattern === 'string') {
    for (let start = text.indexOf(pattern); start >= 0; start = text.indexOf(pattern, at)) found(start, pattern.length);
  } else {
    for (const match of text.matchAll(pattern)) found(match.index, match[0].length);
  }
  push(at, text.length, false);
  return parts;
}

/** GPT-2's alphabet: each byte is a character that can be seen. */
const BYTE_CHARACTERS: readonly string[] = (() => {
  const seen = (byte: number): boolean =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(seen(byte) ? byte : next++));
})();
const encoder = new TextEncoder();

function asByteCharacters(word: string): string {
  let out = '';
  for (const byte of encoder.encode(word)) out += BYTE_CHARACTERS[byte]!;
  return out;
}
