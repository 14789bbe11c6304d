// The language that picks samples, in `dataset create --from` and in GET /api/v1/samples?where=. A query is read into a tree of
// conditions here, without a database; sample-where.ts turns the tree into SQL.
//
//   query     = all { "or" all }                "and" binds tighter than "or"; both in any case
//   all       = single { "and" single }
//   single    = "(" query ")" | FIELD operator value
//   operator  = "=" | "!=" | "<" | "<=" | ">" | ">="
//   value     = word | "text in quotes, with \" and \\"
//
// - Texts (id, model, variant, device, group, batch, reason, state, label, answer) take = and != only. `*` stands for any characters, none
//   included, so `label=*` is "has a label"; `\*` within quotes is a star. Upper and lower case differ.
// - Numbers: confidence (0 to 1) and version.
// - captured takes a day (`2026-11-24`, UTC), a time (`2026-11-24T10:00:00Z`), or an age (`90s`, `30m`, `12h`, `7d`: the moment so long
//   before now; `captured>7d` is "within the last 7 days"). A day is a whole: = within it, > after its end, <= up to its end.
// - What a sample hasn't got fulfils no condition, except that != always is the contrary of =.
import { SAMPLE_STATES } from '@tidegate/shared/wire/data-api.js';
import { SAMPLE_REASONS } from '@tidegate/shared/wire/sample.js';
import { DataError } from './data-error.js';

const LIMIT_QUERY_CHARACTERS = 2000;
const LIMIT_CONDITIONS = 100;
const LIMIT_DEPTH = 20;
/** Stars of one pattern: matching takes time that grows with each. */
const LIMIT_STARS = 4;

type SampleField = keyof typeof FIELD_KINDS;
type NumberField = 'confidence' | 'version';
export type TextField = Exclude<SampleField, NumberField | 'captured'>;
type Comparison = '=' | '!=' | '<' | '<=' | '>' | '>=';

export type SampleQuery =
  | { readonly kind: 'and' | 'or'; readonly parts: readonly SampleQuery[] }
  /** `pieces` with any characters between them; one piece is the whole text. */
  | {
      readonly kind: 'text';
      readonly field: TextField;
      readonly operator: '=' | '!=';
      readonly pieces: readonly string[];
    }
  | {
      readonly kind: 'number';
      readonly field: NumberField;
      readonly operator: Comparison;
      readonly value: number;
    }
  /** Days and ages are resolved: milliseconds since 1970. */
  | { readonly kind: 'captured'; readonly operator: '<' | '>='; readonly atMs: number };

const FIELD_KINDS = {
  id: 'text',
  model: 'text',
  version: 'number',
  variant: 'text',
  device: 'text',
  group: 'text',
  batch: 'text',
  confidence: 'number',
  reason: 'text',
  state: 'text',
  label: 'text',
  answer: 'text',
  captured: 'captured',
} as const;

/** Texts that are one of a few words: a mistyped one would silently find nothing. */
const WORDS: Partial<Record<TextField, readonly string[]>> = { reason: SAMPLE_REASONS, state: SAMPLE_STATES };

/**
 * Ages are counted from `nowMs`, so the printed query means the same for ever. Throws DataError `invalid` (field `fieldName`), which
 * names the character's place, counted from 1, and what was expected there.
 */
export function parseSampleQuery(text: string, fieldName: string, nowMs: number): SampleQuery {
  if (text.length > LIMIT_QUERY_CHARACTERS) {
    throw new DataError('invalid', `${fieldName}: is longer than ${LIMIT_QUERY_CHARACTERS} characters`, {
      field: fieldName,
    });
  }
  return new QueryParser(text, fieldName, nowMs).parse();
}

/** The canonical text: equal trees have equal texts, and parsing it gives the tree back. */
export function printSampleQuery(query: SampleQuery): string {
  switch (query.kind) {
    case 'and':
    case 'or':
      return query.parts
        .map((part) =>
          part.kind === 'and' || part.kind === 'or' ? `(${printSampleQuery(part)})` : printSampleQuery(part),
        )
        .join(` ${query.kind} `);
    case 'text':
      return `${query.field}${query.operator}${printPieces(query.pieces)}`;
    case 'number':
      return `${query.field}${query.operator}${query.value}`;
    case 'captured':
      return `captured${query.operator}${new Date(query.atMs).toISOString()}`;
  }
}

function printPieces(pieces: readonly string[]): string {
  const bare = pieces.join('*');
  if (/^[\p{L}\p{N}._:/@*+-]+$/u.test(bare) && pieces.every((piece) => !piece.includes('*'))) return bare;
  return `"${pieces.map((piece) => piece.replaceAll(/["\\*]/g, String.raw`\$&`)).join('*')}"`;
}

/** `at`: place of its first character, from 0. Pieces only of what may be a value. */
interface Token {
  readonly kind: 'word' | 'quoted' | 'operator' | '(' | ')' | 'end';
  readonly text: string;
  readonly pieces: readonly string[];
  readonly at: number;
}

const TOKEN =
  /\s*(?:(?<operator>!=|<=|>=|=|<|>)|(?<bracket>[()])|"(?<quoted>(?:[^"\\]|\\.)*)"|(?<word>[^\s()"\\=!<>]+))/suy;

class QueryParser {
  readonly #text: string;
  readonly #fieldName: string;
  readonly #nowMs: number;
  #token: Token;
  #end = 0;
  #conditions = 0;

  constructor(text: string, fieldName: string, nowMs: number) {
    this.#text = text;
    this.#fieldName = fieldName;
    this.#nowMs = nowMs;
    const control = text.search(/[^\P{Cc}\t\n\r]/u);
    if (control >= 0) throw this.#fail(control, 'a control character is not possible');
    this.#token = this.#next();
  }

  parse(): SampleQuery {
    const query = this.#any(0);
    if (this.#token.kind !== 'end') throw this.#expected(this.#token, '"and", "or" or the end');
    return query;
  }

  #any(depth: number): SampleQuery {
    return this.#joined('or', () => this.#joined('and', () => this.#single(depth)));
  }

  #joined(kind: 'and' | 'or', part: () => SampleQuery): SampleQuery {
    const parts = [part()];
    while (this.#token.kind === 'word' && this.#token.text.toLowerCase() === kind) {
      this.#advance();
      parts.push(part());
    }
    return joined(kind, parts);
  }

  #single(depth: number): SampleQuery {
    const open = this.#token;
    if (open.kind !== '(') return this.#condition();
    if (depth === LIMIT_DEPTH) throw this.#fail(open.at, `more than ${LIMIT_DEPTH} brackets within each other`);
    this.#advance();
    const query = this.#any(depth + 1);
    if (this.#token.kind !== ')') throw this.#expected(this.#token, `")" for the "(" at ${open.at + 1}`);
    this.#advance();
    return query;
  }

  #condition(): SampleQuery {
    const name = this.#token;
    const field = name.text;
    if (name.kind !== 'word' || !isField(field)) {
      throw this.#expected(name, `one of ${Object.keys(FIELD_KINDS).join(', ')}`);
    }
    this.#conditions += 1;
    if (this.#conditions > LIMIT_CONDITIONS) throw this.#fail(name.at, `more than ${LIMIT_CONDITIONS} conditions`);
    const operator = this.#advance();
    if (operator.kind !== 'operator') throw this.#expected(operator, `an operator behind ${field}: = != < <= > >=`);
    const value = this.#advance();
    if (value.kind !== 'word' && value.kind !== 'quoted') {
      throw this.#expected(value, `a value behind ${field}${operator.text}`);
    }
    const condition = this.#read(field, operator, value);
    this.#advance();
    return condition;
  }

  #read(field: SampleField, { text, at }: Token, value: Token): SampleQuery {
    const operator = text as Comparison;
    if (field === 'captured') return this.#captured(operator, value);
    if (isNumber(field)) return this.#number(field, operator, value);
    if (operator !== '=' && operator !== '!=')
      throw this.#fail(at, `${field} is a text: expected = or !=, found ${text}`);
    const { pieces } = value;
    if (pieces.length - 1 > LIMIT_STARS) throw this.#fail(value.at, `more than ${LIMIT_STARS} * in one value`);
    const words = WORDS[field];
    if (words !== undefined && pieces.length === 1 && !words.includes(pieces[0] ?? '')) {
      throw this.#expected(value, `one of ${words.join(', ')}`);
    }
    return { kind: 'text', field, operator, pieces };
  }

  #number(field: NumberField, operator: Comparison, value: Token): SampleQuery {
    const expected = field === 'confidence' ? 'a number from 0 to 1, e.g. 0.8' : 'a whole number from 1, e.g. 2';
    const form = field === 'confidence' ? /^(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e-?[0-9]{1,3})?$/i : /^[1-9][0-9]{0,8}$/;
    const number = form.test(value.text) ? Number(value.text) : Number.NaN;
    if (Number.isNaN(number) || (field === 'confidence' && number > 1)) throw this.#expected(value, expected);
    return { kind: 'number', field, operator, value: number };
  }

  #captured(operator: Comparison, value: Token): SampleQuery {
    const span = timeSpan(value.text, this.#nowMs);
    if (span === undefined) {
      throw this.#expected(value, 'a day (2026-11-24), a time (2026-11-24T10:00:00Z) or an age (90s, 30m, 12h, 7d)');
    }
    const from = (atMs: number): SampleQuery => ({ kind: 'captured', operator: '>=', atMs });
    const before = (atMs: number): SampleQuery => ({ kind: 'captured', operator: '<', atMs });
    const { startMs, endMs } = span;
    switch (operator) {
      case '=':
        return joined('and', [from(startMs), before(endMs)]);
      case '!=':
        return joined('or', [before(startMs), from(endMs)]);
      case '<':
        return before(startMs);
      case '<=':
        return before(endMs);
      case '>':
        return from(endMs);
      case '>=':
        return from(startMs);
    }
  }

  #advance(): Token {
    this.#token = this.#next();
    return this.#token;
  }

  #next(): Token {
    TOKEN.lastIndex = this.#end;
    const match = TOKEN.exec(this.#text);
    if (match === null) {
      const at = this.#end + (/^\s*/.exec(this.#text.slice(this.#end))?.[0].length ?? 0);
      if (at === this.#text.length) return { kind: 'end', text: '', pieces: [], at };
      const open = this.#text[at] === '"';
      throw this.#fail(
        at,
        open ? 'these quotes are not closed' : `found ${JSON.stringify(this.#text[at])} outside quotes`,
      );
    }
    this.#end = TOKEN.lastIndex;
    const { operator, bracket, quoted, word } = match.groups ?? {};
    const at = this.#end - match[0].trimStart().length;
    if (operator !== undefined) return { kind: 'operator', text: operator, pieces: [], at };
    if (bracket !== undefined) return { kind: bracket as '(' | ')', text: bracket, pieces: [], at };
    if (quoted !== undefined) return { kind: 'quoted', pieces: quotedPieces(quoted), text: unescaped(quoted), at };
    return { kind: 'word', text: word ?? '', pieces: (word ?? '').split('*'), at };
  }

  #expected({ kind, text, at }: Token, what: string): DataError {
    return this.#fail(at, `expected ${what}; found ${kind === 'end' ? 'the end' : JSON.stringify(text)}`);
  }

  #fail(at: number, text: string): DataError {
    return new DataError('invalid', `${this.#fieldName}, at ${at + 1}: ${text}`, { field: this.#fieldName });
  }
}

/** Flat: a part of the same kind gives its own parts; a single part is itself. */
function joined(kind: 'and' | 'or', parts: readonly SampleQuery[]): SampleQuery {
  const flat = parts.flatMap((part) => (part.kind === kind ? part.parts : [part]));
  const [only] = flat;
  return flat.length === 1 && only !== undefined ? only : { kind, parts: flat };
}

function isField(text: string): text is SampleField {
  return Object.hasOwn(FIELD_KINDS, text);
}

function isNumber(field: SampleField): field is NumberField {
  return FIELD_KINDS[field] === 'number';
}

function unescaped(quoted: string): string {
  return quoted.replaceAll(/\\(.)/gsu, '$1');
}

function quotedPieces(quoted: string): string[] {
  const parts = quoted.match(/\*|(?:[^\\*]|\\.)+/gsu) ?? [];
  const pieces = [''];
  for (const part of parts) {
    if (part === '*') pieces.push('');
    else pieces[pieces.length - 1] = unescaped(part);
  }
  return pieces;
}

const DAY_MS = 86_400_000;
const UNIT_MS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: DAY_MS };

/** From `startMs` to before `endMs`; undefined where the text is no day, time or age. */
function timeSpan(text: string, nowMs: number): { startMs: number; endMs: number } | undefined {
  const age = /^([0-9]{1,6})([smhd])$/.exec(text);
  if (age !== null) {
    const startMs = Math.floor(nowMs - Number(age[1]) * (UNIT_MS[age[2] ?? ''] ?? 0));
    return startMs < 0 ? undefined : { startMs, endMs: startMs + 1 };
  }
  const time =
    /^((?:19[7-9][0-9]|2[0-9]{3})-[0-9]{2}-[0-9]{2})(T[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,3})?)?(?:Z|[+-][0-9]{2}:[0-9]{2}))?$/;
  const match = time.exec(text);
  const startMs = match === null ? Number.NaN : Date.parse(text);
  const dayMs = match === null ? Number.NaN : Date.parse(`${match[1]}T00:00:00Z`);
  if (Number.isNaN(startMs) || new Date(dayMs).toISOString().slice(0, 10) !== match?.[1]) return undefined; // 31 February
  return { startMs, endMs: startMs + (match[2] === undefined ? DAY_MS : 1) };
}
