// The yardstick of P4: as little as a cache over HTTP can be. Reads the body, hashes it with SHA-256, answers the stored bytes.
// node plain-server.mjs ANSWER_FILE HEADERS_JSON
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';

const [file, headers] = process.argv.slice(2);
const answer = readFileSync(file);
const answerHeaders = JSON.parse(headers);
const answers = new Map();
const server = createServer((request, response) => {
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    const hash = createHash('sha256');
    for (const chunk of chunks) hash.update(chunk);
    const key = hash.digest('hex');
    if (!answers.has(key)) answers.set(key, answer);
    response.writeHead(200, answerHeaders);
    response.end(answers.get(key));
  });
});
server.listen(0, '127.0.0.1', () => console.log(`ready http=127.0.0.1:${server.address().port}`));
process.on('SIGTERM', () => process.exit(0));
