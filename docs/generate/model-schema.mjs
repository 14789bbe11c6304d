// Writes docs/model.schema.json: model.yaml's schema as JSON Schema (2020-12), for editors and other people's tools, made
// from the schema that reads it, with each step's own parameters under its `with`. After a change: npm run build, then
// node docs/generate/model-schema.mjs. With --check it writes nothing and exits 1 where the file is out of date.
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { stepCatalogue } from '@tidegate/shared/steps/step-catalogue.js';
import { modelYamlSchema } from '@tidegate/shared/wire/model-yaml.js';
import { z } from 'zod';

const target = fileURLToPath(new URL('../model.schema.json', import.meta.url));

function jsonSchema(schema) {
  return z.toJSONSchema(schema, { target: 'draft-2020-12', io: 'input' });
}

/** In the step's branch of a node: the name is one that exists, and `with` holds what that step takes. */
function withSteps(pipeline, steps) {
  const [step, ...others] = pipeline.items.anyOf;
  const conditions = steps.map(({ name }) => ({
    if: { properties: { step: { const: name } } },
    then: { properties: { with: { $ref: `#/$defs/${name}` } } },
  }));
  const known = { properties: { step: { enum: steps.map(({ name }) => name) } } };
  return { ...pipeline, items: { ...pipeline.items, anyOf: [{ ...step, allOf: [known, ...conditions] }, ...others] } };
}

function modelSchema() {
  const { $schema, properties, ...rest } = jsonSchema(modelYamlSchema);
  const steps = [...stepCatalogue.values()];
  const definitions = steps.map(({ name, parameters }) => {
    const { $schema: _, ...definition } = jsonSchema(parameters);
    return [name, definition];
  });
  return {
    $schema,
    title: 'model.yaml of a Tidegate model package',
    ...rest,
    properties: { ...properties, pipeline: withSteps(properties.pipeline, steps) },
    $defs: Object.fromEntries(definitions),
  };
}

const text = `${JSON.stringify(modelSchema(), undefined, 2)}\n`;
if (process.argv.includes('--check')) {
  if (readFileSync(target, 'utf8') !== text) {
    process.stderr.write('docs/model.schema.json is out of date: node docs/generate/model-schema.mjs\n');
    process.exitCode = 1;
  }
} else {
  writeFileSync(target, text);
}
