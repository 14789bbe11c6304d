// Which labels a reviewer can give with one key or click: the classes that labels, answers and proposals have shown so far. Where
// each is one digit, all ten are offered, since the rest are only not seen yet. Texts (OCR) are no classes: they are typed.

const LIMIT_CLASSES = 24;
const LIMIT_CLASS_LENGTH = 24;
/** Keys that already mean something on the page (review-page.tsx). */
const COMMAND_KEYS = new Set(['x', 'u', 'p', 'e']);

interface Labelled {
  readonly label?: string | undefined;
  readonly answer?: string | undefined;
  readonly proposal?: { readonly label: string } | undefined;
}

/** In reading order; empty where labels are too many or too long to be classes. `seen`: labels known from elsewhere. */
export function classesOf(samples: readonly Labelled[], seen: readonly string[] = []): string[] {
  const all = new Set(seen);
  for (const { label, answer, proposal } of samples) {
    for (const text of [label, answer, proposal?.label]) if (text !== undefined && text !== '') all.add(text);
  }
  const classes = [...all];
  if (classes.length > LIMIT_CLASSES || classes.some((name) => name.length > LIMIT_CLASS_LENGTH)) return [];
  if (classes.length > 0 && classes.every((name) => /^\d$/.test(name))) return [...'0123456789'];
  return classes.sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
}

/** Key -> class. A class of one character is its own key; among longer ones the first nine have 1 to 9. */
export function keysOf(classes: readonly string[]): ReadonlyMap<string, string> {
  if (classes.every((name) => name.length === 1)) {
    return new Map(classes.filter((name) => !COMMAND_KEYS.has(name)).map((name) => [name, name]));
  }
  return new Map(classes.slice(0, 9).map((name, i) => [String(i + 1), name]));
}
