// A sample query as a condition of SQL over `samples`. Every value is bound, never written into the statement; fields come from the
// closed list of sample-query.ts.
import { sql, type Expression, type ExpressionBuilder, type SqlBool } from 'kysely';
import type { Tables } from '../storage/database.js';
import type { SampleQuery, TextField } from './sample-query.js';

type Samples = ExpressionBuilder<Tables, 'samples'>;
type TextCondition = Extract<SampleQuery, { kind: 'text' }>;
type Text = Expression<string | null>;

/** `db.selectFrom('samples').where(whereSamples(query))`. */
export function whereSamples(query: SampleQuery): (eb: Samples) => Expression<SqlBool> {
  return (eb) => condition(eb, query);
}

function condition(eb: Samples, query: SampleQuery): Expression<SqlBool> {
  switch (query.kind) {
    case 'and':
      return eb.and(query.parts.map((part) => condition(eb, part)));
    case 'or':
      return eb.or(query.parts.map((part) => condition(eb, part)));
    case 'number': {
      const { field, operator, value } = query;
      const column = eb.ref(`samples.${field}`);
      if (operator !== '!=') return eb(column, operator, value);
      return eb.or([eb(column, 'is', null), eb(column, '!=', value)]);
    }
    case 'captured':
      return eb('samples.captured_at_ms', query.operator, query.atMs);
    case 'text': {
      if (query.field === 'id') return idCondition(eb, query);
      const texts = textsOf(eb, query.field);
      if (query.operator === '=') return eb.or(texts.map((text) => matches(text, query.pieces)));
      return eb.and(texts.map((text) => sql<SqlBool>`(${text} is null or not (${matches(text, query.pieces)}))`));
    }
  }
}

/** With `sha256:` or without. A beginning is a range, which the key serves. */
function idCondition(eb: Samples, { operator, pieces: given }: TextCondition): Expression<SqlBool> {
  const [first = '', ...rest] = given;
  const pieces = [/^[0-9a-f]+$/.test(first) ? `sha256:${first}` : first, ...rest];
  const [start = '', end] = pieces;
  const found =
    pieces.length === 2 && end === ''
      ? eb.and([eb('samples.id', '>=', start), eb('samples.id', '<', `${start}\uffff`)])
      : matches(eb.ref('samples.id'), pieces);
  return operator === '=' ? found : eb.not(found);
}

/** Any of these may match: a device is called by its id or its name, a variant by its name or its digest. */
function textsOf(eb: Samples, field: TextField): readonly Text[] {
  const ofDevice = (column: 'name' | 'group_name'): Text =>
    sql`(select ${sql.ref(`devices.${column}`)} from devices where devices.id = samples.device_id)`;
  switch (field) {
    case 'device':
      return [eb.ref('samples.device_id'), ofDevice('name')];
    case 'group':
      return [ofDevice('group_name')];
    case 'variant':
      return [eb.ref('samples.variant'), eb.ref('samples.variant_digest')];
    default:
      return [eb.ref(`samples.${field}`)];
  }
}

function matches(text: Text, pieces: readonly string[]): Expression<SqlBool> {
  if (pieces.length === 1) return sql<SqlBool>`${text} = ${pieces[0]}`;
  const pattern = pieces.map((piece) => piece.replaceAll(/[\\%_]/g, String.raw`\$&`)).join('%');
  return sql<SqlBool>`${text} like ${pattern} escape '\\'`;
}
