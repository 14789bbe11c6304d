// From the text of a model.yaml to a ModelYaml, or to an error that names the line and the field. The text is untrusted:
// its size is bounded before it is parsed, and aliases may not multiply it.
import { LineCounter, parseDocument, type Document, isNode } from 'yaml';
import type { z } from 'zod';
import { modelYamlSchema, type ModelYaml } from '../wire/model-yaml.js';
import { DataflowError, planDataflow } from './dataflow.js';
import { PackageError } from './package-error.js';

export const LIMIT_MODEL_YAML_BYTES = 256 * 1024;
/** Aliases are expanded at most to this many nodes in total. */
const LIMIT_ALIAS_COUNT = 64;

/** Throws PackageError `too-large`, `invalid-yaml`, `invalid-model`. `file` is what errors call the text. */
export function readModelYaml(text: string, file = 'model.yaml'): ModelYaml {
  const lengthBytes = Buffer.byteLength(text);
  if (lengthBytes > LIMIT_MODEL_YAML_BYTES) {
    throw new PackageError('too-large', `is ${lengthBytes} bytes; at most ${LIMIT_MODEL_YAML_BYTES} are allowed`, {
      file,
    });
  }
  const lines = new LineCounter();
  const { document, value } = parseYaml(text, lines, file);
  const parsed = modelYamlSchema.safeParse(value);
  const lineOf = (path: readonly PropertyKey[]): number | undefined => lineOfPath(document, lines, path);
  if (!parsed.success) {
    const issue = telling(parsed.error.issues[0]);
    throw invalidModel(file, lineOf(issue.path), issue.path, issue.message);
  }
  try {
    planDataflow(parsed.data);
  } catch (cause) {
    if (!(cause instanceof DataflowError)) throw cause;
    throw invalidModel(file, lineOf(cause.path), cause.path, cause.message, cause);
  }
  return parsed.data;
}

function invalidModel(
  file: string,
  line: number | undefined,
  path: readonly PropertyKey[],
  message: string,
  cause?: unknown,
): PackageError {
  const field = path.map(String).join('.');
  const place = { file, field, ...(line === undefined ? {} : { line }) };
  return new PackageError('invalid-model', message, place, cause === undefined ? {} : { cause });
}

function parseYaml(text: string, lineCounter: LineCounter, file: string): { document: Document; value: unknown } {
  const document = parseDocument(text, { lineCounter, prettyErrors: false, uniqueKeys: true, stringKeys: true });
  const [error] = document.errors;
  if (error !== undefined) {
    const { line } = lineCounter.linePos(error.pos[0]);
    throw new PackageError('invalid-yaml', error.message, { file, line }, { cause: error });
  }
  try {
    return { document, value: document.toJS({ maxAliasCount: LIMIT_ALIAS_COUNT }) as unknown };
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new PackageError('invalid-yaml', message, { file }, { cause });
  }
}

/** The line of the node at `path`, or of its nearest ancestor that stands in the text. */
function lineOfPath(document: Document, lines: LineCounter, path: readonly PropertyKey[]): number | undefined {
  for (let length = path.length; length >= 0; length -= 1) {
    const node = document.getIn(path.slice(0, length), true);
    if (isNode(node) && node.range) return lines.linePos(node.range[0]).line;
  }
  return undefined;
}

interface Telling {
  readonly path: readonly PropertyKey[];
  readonly message: string;
}

/** The issue that helps most: in a union (step or graph node) the first one of the branch that was meant. */
function telling(issue: z.core.$ZodIssue | undefined, prefix: readonly PropertyKey[] = []): Telling {
  if (issue === undefined) return { path: prefix, message: 'is not valid' };
  const path = [...prefix, ...issue.path];
  if (issue.code === 'unrecognized_keys') {
    return { path: [...path, issue.keys[0] ?? ''], message: 'is not a known field' };
  }
  if (issue.code === 'invalid_type' && issue.message.endsWith('received undefined'))
    return { path, message: 'is missing' };
  if (issue.code !== 'invalid_union')
    return { path, message: issue.message.replace(/^Invalid input: expected/, 'must be') };
  const branch = issue.errors.find((issues) => !issues.some((inner) => tagOf(inner) !== undefined));
  return branch?.[0] === undefined ? { path, message: issue.message } : telling(branch[0], path);
}

/** `step` or `graph`, when the issue says that this tag of a pipeline node is missing or surplus. */
function tagOf(issue: z.core.$ZodIssue): string | undefined {
  const tags = ['step', 'graph'];
  if (issue.code === 'unrecognized_keys') return issue.keys.find((key) => tags.includes(key));
  return issue.path.length === 1
    ? tags.find((tag) => tag === issue.path[0] && issue.code === 'invalid_type')
    : undefined;
}
