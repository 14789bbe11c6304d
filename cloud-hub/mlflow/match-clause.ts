// Searches over what is in memory: experiments, registered models and their versions, of which a hub has few. As MLflow's own: a name that
// the thing lacks matches nothing but IS NULL, and comes last in either order.
import type { Clause, Name, Order } from './search-language.js';

type ValueOf<T> = (item: T, name: Name) => string | number | undefined;

/** The items that fit all clauses, ordered by the keys; equal ones stay as they were. */
export function searchList<T>(
  items: readonly T[],
  clauses: readonly Clause[],
  order: readonly Order[],
  valueOf: ValueOf<T>,
): T[] {
  const found = items.filter((item) => clauses.every((clause) => matches(valueOf(item, clause), clause)));
  return found.sort((a, b) => {
    for (const key of order) {
      const difference = compare(valueOf(a, key), valueOf(b, key), key.ascending);
      if (difference !== 0) return difference;
    }
    return 0;
  });
}

/** MLflow's prompts live in its registry under this tag; of models, which lack it, clients ask `!= 'true'`. */
const PROMPT_TAG = 'mlflow.prompt.is_prompt';

function matches(actual: string | number | undefined, { key, comparator, value }: Clause): boolean {
  if (comparator === 'IS NULL') return actual === undefined;
  if (comparator === 'IS NOT NULL') return actual !== undefined;
  if (actual === undefined) return key === PROMPT_TAG && (comparator === '=' ? value === 'false' : value === 'true');
  if (comparator === 'IN') return (value as readonly string[]).includes(String(actual));
  if (comparator === 'NOT IN') return !(value as readonly string[]).includes(String(actual));
  if (comparator === 'LIKE') return like(String(actual), String(value));
  if (comparator === 'ILIKE') return like(String(actual).toLowerCase(), String(value).toLowerCase());
  const difference = inOrder(actual, value as string | number);
  switch (comparator) {
    case '=':
      return difference === 0;
    case '!=':
      return difference !== 0;
    case '<':
      return difference < 0;
    case '<=':
      return difference <= 0;
    case '>':
      return difference > 0;
    case '>=':
      return difference >= 0;
  }
}

function compare(a: string | number | undefined, b: string | number | undefined, ascending: boolean): number {
  if (a === undefined || b === undefined) return (a === undefined ? 1 : 0) - (b === undefined ? 1 : 0);
  return ascending ? inOrder(a, b) : inOrder(b, a);
}

const inOrder = (a: string | number, b: string | number): number => (a < b ? -1 : a > b ? 1 : 0);

/** `%` any characters, `_` one. Goes back to the last `%` only: time is at most the product of both lengths, whatever a client sends. */
function like(text: string, pattern: string): boolean {
  let [at, next, star, from] = [0, 0, -1, 0];
  while (at < text.length) {
    if (pattern[next] === '%') {
      star = next++;
      from = at;
    } else if (next < pattern.length && (pattern[next] === '_' || pattern[next] === text[at])) {
      at++;
      next++;
    } else if (star >= 0) {
      next = star + 1;
      at = ++from;
    } else return false;
  }
  return /^%*$/.test(pattern.slice(next));
}
