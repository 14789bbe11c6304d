// What a tokenizer does to a text before it splits it: the normalizers of Hugging Face's tokenizer.json by name, as its Rust
// implementation computes them. Pure; each takes time in proportion to the text, and no file can make a text grow without end.
import { z } from 'zod';
import { characterMap } from './character-map.js';
import { KNOWN_PATTERNS } from './known-patterns.js';
import { TokenizerError } from './tokenizer-error.js';

const LIMIT_PARTS = 16;
const LIMIT_CONTENT = 64;
/** In base64; SentencePiece's own has 320 KB. */
const LIMIT_TABLE_LENGTH = 16 * 1024 * 1024;
/** UTF-16 units that a text may grow to. */
const LIMIT_LENGTH = 1 << 22;
/** ICU sorts marks that follow each other in quadratic time; longer runs are normalised in parts, and are no text anyway. */
const MARKS_MAX = 256;
const TOO_MANY_MARKS = new RegExp(`\\p{M}{${MARKS_MAX + 1}}`, 'u');
const PARTS = new RegExp(`\\P{M}*\\p{M}{0,${MARKS_MAX}}`, 'gu');

const UNKNOWN_PATTERN = 'is none of those that are known here, and no expression of a package is run';

/** A literal text, or one of the expressions that known-patterns.ts holds. */
export const patternSchema = z.union(
  [
    z.strictObject({ String: z.string().min(1).max(LIMIT_CONTENT) }),
    z.strictObject({ Regex: z.string().refine((source) => KNOWN_PATTERNS.has(source), UNKNOWN_PATTERN) }),
  ],
  { error: 'must be a String or a Regex' },
);
type Pattern = z.infer<typeof patternSchema>;

const unicodeForms = z.enum(['NFC', 'NFD', 'NFKC', 'NFKD']);
type UnicodeForm = z.infer<typeof unicodeForms>;

const single = z.discriminatedUnion('type', [
  z.strictObject({ type: unicodeForms }),
  z.strictObject({ type: z.literal('Lowercase') }),
  z.strictObject({ type: z.literal('StripAccents') }),
  z.strictObject({
    type: z.literal('BertNormalizer'),
    clean_text: z.boolean(),
    handle_chinese_chars: z.boolean(),
    strip_accents: z.boolean().nullable(),
    lowercase: z.boolean(),
  }),
  z.strictObject({ type: z.literal('Strip'), strip_left: z.boolean(), strip_right: z.boolean() }),
  z.strictObject({ type: z.literal('Replace'), pattern: patternSchema, content: z.string().max(LIMIT_CONTENT) }),
  z.strictObject({ type: z.literal('Precompiled'), precompiled_charsmap: z.string().max(LIMIT_TABLE_LENGTH) }),
  z.strictObject({ type: z.literal('Prepend'), prepend: z.string().max(LIMIT_CONTENT) }),
]);
type Single = z.infer<typeof single>;

export const normaliserSchema = z
  .discriminatedUnion('type', [
    z.strictObject({ type: z.literal('Sequence'), normalizers: z.array(single).max(LIMIT_PARTS) }),
    single,
  ])
  .nullable();
type NormaliserSettings = z.infer<typeof normaliserSchema>;

/** Throws TokenizerError for a text that would grow beyond 4 million characters. */
export type Normalise = (text: string) => string;

export function makeNormaliser(settings: NormaliserSettings): Normalise {
  const parts = settings === null ? [] : settings.type === 'Sequence' ? settings.normalizers : [settings];
  const all = parts.map(one);
  return (text) => {
    let now = text;
    for (const part of all) {
      now = part(now);
      if (now.length > LIMIT_LENGTH)
        throw new TokenizerError('normalizer', `makes more than ${LIMIT_LENGTH} characters`);
    }
    return now;
  };
}

function unicodeForm(text: string, form: UnicodeForm): string {
  if (!TOO_MANY_MARKS.test(text)) return text.normalize(form);
  return (text.match(PARTS) ?? []).map((part) => part.normalize(form)).join('');
}

function one(settings: Single): Normalise {
  switch (settings.type) {
    case 'Lowercase':
      return lowercase;
    case 'StripAccents':
      return (text) => text.replaceAll(/\p{M}+/gu, '');
    case 'BertNormalizer':
      return bert(settings);
    case 'Strip':
      return (text) => {
        const right = settings.strip_right ? endTrimmed(text) : text;
        return settings.strip_left ? right.replace(/^\p{White_Space}+/u, '') : right;
      };
    case 'Replace': {
      const pattern = patternOf(settings.pattern);
      return (text) => text.replaceAll(pattern, () => settings.content);
    }
    case 'Precompiled':
      return characterMap(settings.precompiled_charsmap, 'normalizer.precompiled_charsmap', LIMIT_LENGTH);
    case 'Prepend':
      return (text) => (text === '' ? '' : settings.prepend + text);
    default:
      return (text) => unicodeForm(text, settings.type);
  }
}

export function patternOf(pattern: Pattern): string | RegExp {
  if ('String' in pattern) return pattern.String;
  const known = KNOWN_PATTERNS.get(pattern.Regex);
  if (known === undefined) throw new Error('the schema let an unknown expression pass');
  return known;
}

/** `/\s+$/` would be tried anew at each space of a long run that is not at the end. */
function endTrimmed(text: string): string {
  let end = text.length;
  while (end > 0 && /\p{White_Space}/u.test(text[end - 1]!)) end -= 1;
  return text.slice(0, end);
}

/** Character by character, as Rust's: no final sigma. */
function lowercase(text: string): string {
  return text.replaceAll('Σ', 'σ').toLowerCase();
}

const PLAIN = /^[\x20-\x7e]*$/;
const NO_TEXT = /[\0\ufffd]|(?![\t\n\r])[\p{Cc}\p{Cf}\p{Co}]/gu;
const CJK =
  /[\u4e00-\u9fff\u3400-\u4dbf\u{20000}-\u{2a6df}\u{2a700}-\u{2b73f}\u{2b740}-\u{2b81f}\u{2b920}-\u{2ceaf}\uf900-\ufaff\u{2f800}-\u{2fa1f}]/gu;

/** BERT's `BasicTokenizer`: accents go with the capitals unless the file says otherwise. */
function bert(settings: Extract<Single, { type: 'BertNormalizer' }>): Normalise {
  const strip = settings.strip_accents ?? settings.lowercase;
  return (given) => {
    let text = given;
    if (!PLAIN.test(text)) {
      if (settings.clean_text) text = text.replaceAll(NO_TEXT, '').replaceAll(/\p{White_Space}/gu, ' ');
      if (settings.handle_chinese_chars) text = text.replaceAll(CJK, ' $& ');
      if (strip) text = unicodeForm(text, 'NFD').replaceAll(/\p{Mn}+/gu, '');
    }
    return settings.lowercase ? lowercase(text) : text;
  };
}
