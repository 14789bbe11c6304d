// Does an OpenAPI 3.1 document hold together? The rules of the specification (4.8) that a generator can break: required fields, path
// parameters declared and used, references that resolve, schemas of JSON Schema 2020-12 without leftovers of 3.0.
type Json = Readonly<Record<string, unknown>>;

const METHODS = new Set(['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace']);
const TYPES = new Set(['null', 'boolean', 'object', 'array', 'number', 'string', 'integer']);
const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** What is wrong, with its place; empty where nothing is. */
export function openApiProblems(document: Json): string[] {
  const problems: string[] = [];
  if (!/^3\.1\.\d+$/.test(String(document['openapi']))) problems.push('openapi: is not 3.1');
  const info = document['info'];
  if (!isObject(info) || typeof info['title'] !== 'string' || typeof info['version'] !== 'string')
    problems.push('info');
  const paths = document['paths'];
  if (!isObject(paths) || Object.keys(paths).length === 0) return [...problems, 'paths: none'];
  for (const [path, item] of Object.entries(paths)) {
    if (!path.startsWith('/') || path.includes(':')) problems.push(`${path}: is no path template`);
    for (const [method, operation] of Object.entries(item as Json)) {
      if (!METHODS.has(method)) problems.push(`${path}: ${method} is no method`);
      else problems.push(...operationProblems(document, path, `${method} ${path}`, operation as Json));
    }
  }
  return problems;
}

function operationProblems(document: Json, path: string, where: string, operation: Json): string[] {
  const problems: string[] = [];
  const parameters = (operation['parameters'] ?? []) as readonly Json[];
  const declared = parameters.filter((one) => one['in'] === 'path').map((one) => String(one['name']));
  const used = [...path.matchAll(/\{([^}]+)\}/g)].map((match) => String(match[1]));
  if (declared.toSorted().join() !== used.toSorted().join())
    problems.push(`${where}: path parameters ${declared} for ${used}`);
  for (const one of parameters) {
    if (one['in'] === 'path' && one['required'] !== true) problems.push(`${where}: ${one['name']} is not required`);
    problems.push(...schemaProblems(document, `${where} ${one['name']}`, one['schema']));
  }
  const requestBody = operation['requestBody'];
  if (isObject(requestBody)) problems.push(...contentProblems(document, `${where} body`, requestBody['content']));
  const responses = operation['responses'];
  if (!isObject(responses) || Object.keys(responses).length === 0) return [...problems, `${where}: no responses`];
  for (const [status, response] of Object.entries(responses)) {
    if (!/^([1-5][0-9X]{2}|default)$/.test(status)) problems.push(`${where}: ${status} is no status`);
    if (!isObject(response) || typeof response['description'] !== 'string')
      problems.push(`${where} ${status}: no description`);
    else if (response['content'] !== undefined)
      problems.push(...contentProblems(document, `${where} ${status}`, response['content']));
  }
  for (const requirement of (operation['security'] ?? []) as readonly Json[]) {
    const schemes = (document['components'] as Json)['securitySchemes'] as Json;
    for (const name of Object.keys(requirement))
      if (schemes[name] === undefined) problems.push(`${where}: security ${name}`);
  }
  return problems;
}

function contentProblems(document: Json, where: string, content: unknown): string[] {
  if (!isObject(content) || Object.keys(content).length === 0) return [`${where}: no content`];
  return Object.entries(content).flatMap(([type, media]) =>
    type.includes('/')
      ? schemaProblems(document, `${where} ${type}`, (media as Json)['schema'])
      : [`${where}: ${type} is no media type`],
  );
}

function schemaProblems(document: Json, where: string, schema: unknown): string[] {
  if (typeof schema === 'boolean') return [];
  if (!isObject(schema)) return [`${where}: no schema`];
  const problems: string[] = [];
  for (const keyword of ['nullable', '$schema', 'example'])
    if (keyword in schema) problems.push(`${where}: ${keyword}`);
  for (const type of [schema['type'] ?? []].flat())
    if (!TYPES.has(String(type))) problems.push(`${where}: type ${type}`);
  if (typeof schema['exclusiveMinimum'] === 'boolean') problems.push(`${where}: exclusiveMinimum of 3.0`);
  const reference = schema['$ref'];
  if (typeof reference === 'string' && resolve(document, reference) === undefined)
    problems.push(`${where}: ${reference} leads nowhere`);
  const properties = schema['properties'];
  if (isObject(properties)) {
    for (const [name, inner] of Object.entries(properties))
      problems.push(...schemaProblems(document, `${where}.${name}`, inner));
    for (const name of (schema['required'] ?? []) as string[])
      if (!(name in properties)) problems.push(`${where}: requires ${name}`);
  }
  for (const keyword of ['items', 'additionalProperties', 'propertyNames', 'not']) {
    if (schema[keyword] !== undefined)
      problems.push(...schemaProblems(document, `${where}.${keyword}`, schema[keyword]));
  }
  for (const keyword of ['anyOf', 'oneOf', 'allOf', 'prefixItems']) {
    for (const inner of (schema[keyword] ?? []) as unknown[])
      problems.push(...schemaProblems(document, `${where}.${keyword}`, inner));
  }
  return problems;
}

function resolve(document: Json, reference: string): unknown {
  let at: unknown = document;
  for (const part of reference.replace(/^#\//, '').split('/')) at = isObject(at) ? at[part] : undefined;
  return at;
}
