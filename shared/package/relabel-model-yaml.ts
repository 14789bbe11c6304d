// Another label in a model.yaml, and not a character of it more: comments, order and quoting are its author's. A file in which the line
// can't be replaced alone (flow style) is written anew from its parsed form.
import { isScalar, parseDocument, type Document, type Pair, type Scalar } from 'yaml';
import { readModelYaml } from './read-model-yaml.js';

/** `label` undefined: the label is taken out. Throws PackageError for a text that is no model.yaml. */
export function relabelModelYaml(text: string, label: string | undefined): string {
  const before = readModelYaml(text);
  if (before.version === label) return text;
  const document = parseDocument(text);
  const edited = edit(text, document, label);
  if (edited !== undefined && saysTheSame(text, edited, label)) return edited;
  if (label === undefined) document.delete('version');
  else document.set('version', label);
  return document.toString();
}

function edit(text: string, document: Document, label: string | undefined): string | undefined {
  const version = pairOf(document, 'version');
  if (label === undefined) return version && withoutLine(text, version);
  const written = `'${label.replaceAll("'", "''")}'`;
  if (version !== undefined) {
    const [start, end] = version.value.range;
    return text.slice(0, start) + written + text.slice(end);
  }
  const name = pairOf(document, 'name');
  if (name === undefined) return undefined;
  const at = lineEnd(text, name.value.range[1]);
  const newLine = text.slice(0, at).endsWith('\n') ? '' : '\n';
  return `${text.slice(0, at)}${newLine}version: ${written}\n${text.slice(at)}`;
}

function withoutLine(text: string, { key, value }: PlainPair): string {
  const start = text.lastIndexOf('\n', key.range[0] - 1) + 1;
  return text.slice(0, start) + text.slice(lineEnd(text, value.range[1]));
}

/** Behind the line break that ends the line at `at`. */
function lineEnd(text: string, at: number): number {
  const found = text.indexOf('\n', at);
  return found < 0 ? text.length : found + 1;
}

type Placed = Scalar & { readonly range: readonly [number, number, number] };
interface PlainPair {
  readonly key: Placed;
  readonly value: Placed;
}

/** A pair of the outermost mapping whose key and value are plain values with a place in the text. */
function pairOf(document: Document, name: string): PlainPair | undefined {
  const items = (document.contents as { items?: readonly Pair[] } | null)?.items ?? [];
  const found = items.find(({ key }) => isScalar(key) && key.value === name);
  const { key, value } = found ?? {};
  return isPlaced(key) && isPlaced(value) ? { key, value } : undefined;
}

function isPlaced(node: unknown): node is Placed {
  return isScalar(node) && Array.isArray(node.range);
}

/** The edit changed the label and nothing else. */
function saysTheSame(before: string, after: string, label: string | undefined): boolean {
  try {
    const { version: _, ...rest } = readModelYaml(before);
    const { version, ...same } = readModelYaml(after);
    return version === label && JSON.stringify(rest) === JSON.stringify(same);
  } catch {
    return false; // the edit broke it: it is written anew
  }
}
