// MLflow's search language, the part that is answered here: comparisons joined by AND, and keys to order by.
//
//   filter     = comparison { AND comparison }
//   comparison = name operator value | name IS [NOT] NULL | name [NOT] IN (value, ...)
//   name       = [entity .] key      entity: metrics, params, tags, attributes, datasets, or their singulars; no entity: an attribute
//   order      = name [ASC | DESC]
//
// A key with other characters stands in backticks or double quotes (tags.`my key`). Pure: run-search.ts makes SQL of it, match-clause.ts
// looks at things in memory. What isn't understood is INVALID_PARAMETER_VALUE with the place, never a filter that is left out.
import { invalid } from './mlflow-error.js';
import { LIMIT_FILTER_CLAUSES, LIMIT_ORDER_KEYS, LIMIT_PATTERN_CHARS } from './mlflow-limits.js';

type Entity = 'metric' | 'param' | 'tag' | 'attribute' | 'dataset';
export type Comparator =
  '=' | '!=' | '<' | '<=' | '>' | '>=' | 'LIKE' | 'ILIKE' | 'IN' | 'NOT IN' | 'IS NULL' | 'IS NOT NULL';

export interface Name {
  readonly entity: Entity;
  readonly key: string;
}
export interface Clause extends Name {
  readonly comparator: Comparator;
  /** A number for numeric names, a list for IN and NOT IN, nothing for IS NULL and IS NOT NULL, else text. */
  readonly value: string | number | readonly string[] | undefined;
}
export interface Order extends Name {
  readonly ascending: boolean;
}

/** What may be asked of one kind of thing. */
export interface Searchable {
  readonly entities: readonly Entity[];
  readonly attributes: Readonly<Record<string, 'text' | 'number'>>;
  /** Attributes that IN may be asked of. */
  readonly lists: readonly string[];
}

const ENTITIES: Readonly<Record<string, Entity>> = {
  metric: 'metric',
  metrics: 'metric',
  param: 'param',
  params: 'param',
  parameter: 'param',
  parameters: 'param',
  tag: 'tag',
  tags: 'tag',
  attr: 'attribute',
  attribute: 'attribute',
  attributes: 'attribute',
  run: 'attribute',
  dataset: 'dataset',
  datasets: 'dataset',
};
/** Old names that MLflow's own pages send. */
const ALIASES: Readonly<Record<string, string>> = {
  created: 'start_time',
  Created: 'start_time',
  'run name': 'run_name',
  'Run name': 'run_name',
  'Run Name': 'run_name',
};
const DATASET_KEYS = ['name', 'digest', 'context'];
const NUMERIC: readonly Comparator[] = ['=', '!=', '<', '<=', '>', '>='];
const TEXTUAL: readonly Comparator[] = ['=', '!=', 'LIKE', 'ILIKE'];

interface Token {
  readonly kind: 'name' | 'text' | 'number' | 'operator';
  readonly text: string;
  readonly at: number;
}

const TOKEN =
  /\s*(?:(?<text>'(?:[^']|'')*')|(?<name>(?:[\p{L}_]\w*|`[^`]*`|"[^"]*")(?:\.(?:`[^`]*`|"[^"]*"|[\p{L}\p{N}_.\-/:]+))?)|(?<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)|(?<operator><=|>=|!=|=|<|>|\(|\)|,))/uy;

/** No clauses for an empty filter. */
export function parseFilter(filter: string, searchable: Searchable): Clause[] {
  const reader = new TokenReader(filter, 'filter');
  const clauses: Clause[] = [];
  if (reader.peek() === undefined) return clauses;
  do {
    if (clauses.length === LIMIT_FILTER_CLAUSES) throw invalid(`filter: more than ${LIMIT_FILTER_CLAUSES} comparisons`);
    clauses.push(comparison(reader, searchable));
  } while (reader.word('AND'));
  reader.end();
  return clauses;
}

export function parseOrder(keys: readonly string[], searchable: Searchable): Order[] {
  if (keys.length > LIMIT_ORDER_KEYS) throw invalid(`order_by: more than ${LIMIT_ORDER_KEYS} keys`);
  return keys.map((key) => {
    const reader = new TokenReader(key, 'order_by');
    const name = readName(reader, searchable);
    const descending = reader.word('DESC');
    if (!descending) reader.word('ASC');
    reader.end();
    return { ...name, ascending: !descending };
  });
}

function comparison(reader: TokenReader, searchable: Searchable): Clause {
  const name = readName(reader, searchable);
  const shown = `${name.entity} ${name.key}`;
  if (reader.word('IS')) {
    const comparator = reader.word('NOT') ? 'IS NOT NULL' : 'IS NULL';
    if (!reader.word('NULL')) throw reader.unexpected('NULL');
    if (name.entity !== 'tag' && name.entity !== 'param')
      throw invalid(`filter: ${comparator} may be asked of tags and params only, not of ${shown}`);
    return { ...name, comparator, value: undefined };
  }
  const negated = reader.word('NOT');
  if (reader.word('IN')) {
    const listable = name.entity === 'dataset' || (name.entity === 'attribute' && searchable.lists.includes(name.key));
    if (!listable) throw invalid(`filter: IN may be asked of ${searchable.lists.join(', ')} only, not of ${shown}`);
    return { ...name, comparator: negated ? 'NOT IN' : 'IN', value: reader.list() };
  }
  if (negated) throw reader.unexpected('IN');
  const comparator = reader.comparator();
  const numeric =
    name.entity === 'metric' || (name.entity === 'attribute' && searchable.attributes[name.key] === 'number');
  const allowed = numeric ? NUMERIC : TEXTUAL;
  if (!allowed.includes(comparator))
    throw invalid(`filter: ${comparator} is no comparison for ${shown}; there are ${allowed.join(', ')}`);
  if (numeric) return { ...name, comparator, value: reader.number(shown) };
  const value = reader.string(shown);
  if (comparator.endsWith('LIKE') && value.length > LIMIT_PATTERN_CHARS)
    throw invalid(`filter: a pattern for ${shown} is longer than ${LIMIT_PATTERN_CHARS} characters`);
  return { ...name, comparator, value };
}

function readName(reader: TokenReader, { entities, attributes }: Searchable): Name {
  const text = reader.name();
  const dot = /^[`"]/.test(text) ? -1 : text.indexOf('.');
  const entity = dot < 0 ? 'attribute' : ENTITIES[text.slice(0, dot)];
  if (entity === undefined || !entities.includes(entity)) {
    throw invalid(
      `${reader.field}: ${text} is of no kind that can be asked for here; there are ${entities.join(', ')}`,
    );
  }
  const written = text.slice(dot + 1).replace(/^([`"])(.*)\1$/su, '$2');
  const key = entity === 'attribute' ? (ALIASES[written] ?? written) : written;
  const known = entity === 'attribute' ? Object.keys(attributes) : entity === 'dataset' ? DATASET_KEYS : undefined;
  if (known?.includes(key) === false)
    throw invalid(`${reader.field}: no ${entity} ${key}; there are ${known.join(', ')}`);
  return { entity, key };
}

class TokenReader {
  readonly field: string;
  readonly #tokens: readonly Token[];
  #next = 0;

  constructor(text: string, field: string) {
    this.field = field;
    this.#tokens = tokensOf(text, field);
  }

  peek(): Token | undefined {
    return this.#tokens[this.#next];
  }

  /** Takes the keyword where it comes next, in any case. */
  word(keyword: string): boolean {
    const token = this.peek();
    if (token?.kind !== 'name' || token.text.toUpperCase() !== keyword) return false;
    this.#next++;
    return true;
  }

  name(): string {
    return this.#take(['name'], 'a name').text;
  }

  comparator(): Comparator {
    if (this.word('LIKE')) return 'LIKE';
    if (this.word('ILIKE')) return 'ILIKE';
    const { text } = this.#take(['operator'], 'a comparison (=, !=, <, <=, >, >=, LIKE, ILIKE)');
    if (!NUMERIC.includes(text as Comparator)) throw this.unexpected('a comparison', -1);
    return text as Comparator;
  }

  number(of: string): number {
    return Number(this.#take(['number'], `a number for ${of}`).text);
  }

  /** Text in single or double quotes. */
  string(of: string): string {
    const { kind, text } = this.#take(['text', 'name'], `a quoted text for ${of}`);
    if (kind === 'text') return text.slice(1, -1).replaceAll("''", "'");
    if (/^".*"$/su.test(text) && !text.slice(1, -1).includes('"')) return text.slice(1, -1);
    throw this.unexpected(`a quoted text for ${of}`, -1);
  }

  list(): string[] {
    const values: string[] = [];
    this.#operator('(');
    do values.push(this.string('a list'));
    while (this.peek()?.text === ',' && this.#next++ >= 0);
    this.#operator(')');
    return values;
  }

  end(): void {
    if (this.peek() !== undefined)
      throw this.unexpected(this.field === 'filter' ? 'AND or the end' : 'ASC, DESC or the end');
  }

  /** `back` -1: of the token that was just taken. */
  unexpected(wanted: string, back: 0 | -1 = 0): Error {
    const token = this.#tokens[this.#next + back];
    const found = token === undefined ? 'its end' : `"${token.text}" at ${token.at}`;
    return invalid(`${this.field}: ${wanted} is expected, not ${found}`);
  }

  #take(kinds: readonly Token['kind'][], wanted: string): Token {
    const token = this.peek();
    if (token === undefined || !kinds.includes(token.kind)) throw this.unexpected(wanted);
    this.#next++;
    return token;
  }

  #operator(text: string): void {
    if (this.#take(['operator'], `"${text}"`).text !== text) throw this.unexpected(`"${text}"`, -1);
  }
}

function tokensOf(text: string, field: string): Token[] {
  const tokens: Token[] = [];
  const end = text.trimEnd().length;
  let at = 0;
  while (at < end) {
    TOKEN.lastIndex = at;
    const match = TOKEN.exec(text);
    const [kind, found] = Object.entries(match?.groups ?? {}).find(([, group]) => group !== undefined) ?? [];
    if (match === null || kind === undefined || found === undefined) {
      throw invalid(`${field}: nothing that can be read at ${at}: "${text.slice(at, at + 20).trim()}"`);
    }
    tokens.push({ kind: kind as Token['kind'], text: found, at });
    at = TOKEN.lastIndex;
  }
  return tokens;
}
