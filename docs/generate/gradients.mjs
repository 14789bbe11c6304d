// Writes docs/gradients.md from the cases and the recorded errors of test/cloud-hub/training/gradients/reference (its README says
// how they are recorded). With --check it writes nothing and exits 1 where the file is out of date.
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const page = fileURLToPath(new URL('../gradients.md', import.meta.url));
const reference = new URL('../../test/cloud-hub/training/gradients/reference/', import.meta.url);
const read = (name) => JSON.parse(readFileSync(new URL(name, reference), 'utf8'));

const measured = new Map(read('measured.json').map((one) => [one.title, one]));
const operators = new Map();
for (const { title, op, domain } of read('cases.json')) {
  const name =
    op === 'MeanSquaredError' ? 'Sub, Mul, ReduceMean (mean squared error)' : domain ? `${domain}.${op}` : op;
  const found = operators.get(name) ?? { forms: [], differences: 0, torch: 0, count: 0 };
  const errors = measured.get(title);
  if (errors === undefined) throw new Error(`${title} is not in measured.json`);
  const form = title.split(', ').slice(1).join(', ');
  if (form !== '' && domain === undefined) found.forms.push(form);
  found.count += 1;
  found.differences = Math.max(found.differences, errors.differences);
  found.torch = Math.max(found.torch, errors.torch);
  operators.set(name, found);
}
const worst = (field) => Math.max(...[...operators.values()].map((one) => one[field])).toExponential(1);
const rows = [...operators].map(
  ([name, { forms, count, differences, torch }]) =>
    `| ${name} | ${count} | ${forms.join('; ')} | ${differences.toExponential(1)} | ${torch.toExponential(1)} |`,
);
const text = `# Gradients

Operators that can be trained through, and how far their gradients are off: against finite differences in single precision (a step of 0.005 both
ways, so the differences themselves are good to about 1e-4), and against PyTorch ${read('gradients.json').torch.split('+')[0]}, which computed them in double precision from the same
values. The error of a gradient above 1 is relative. \`npm test\` measures both again on every run and fails above 2e-3 and 5e-6. An operator that is not
listed is refused before a job starts, with its name and place in the graph. So are: trained bounds of Clip, trained exponents of Pow, trained running statistics of
BatchNormalization, trained class weights of SoftmaxCrossEntropyLoss, trained values of Pad, trained ratios of Dropout, MaxPool with column-major indices, Einsum with an
ellipsis or a repeated index, ConvTranspose with a stated output_shape or auto_pad SAME, Resize with stated axes, a kept aspect ratio, a region, scaled channels or no channels,
reductions with noop_with_empty_axes, Cast to another real type, second outputs (but for Split's, and for what the rules themselves read), operator sets before 11. Dropout
drops nothing, in training mode either.

Values that are no real numbers need no gradient: Shape, Size, ArgMax, comparisons, Cast to a whole number or a truth value, and all that is computed from them.

| operator | cases | forms beside the plain one | against differences | against PyTorch |
|---|---|---|---|---|
${rows.join('\n')}

Largest of all: ${worst('differences')} against differences, ${worst('torch')} against PyTorch, in ${measured.size} cases. Made from
\`test/cloud-hub/training/gradients/reference\` by \`node docs/generate/gradients.mjs\`.
`;

if (!process.argv.includes('--check')) writeFileSync(page, text);
else if (readFileSync(page, 'utf8') !== text) {
  console.error('docs/gradients.md is out of date: node docs/generate/gradients.mjs');
  process.exit(1);
}
