// A steady rate of webhooks from a file (see webhooks.write); prints the times of the answers, from when each was due.
// `node steady.js URL RATE SECONDS CONNECTIONS FILE`
'use strict';
const fs = require('node:fs');
const autocannon = require('autocannon');

const [url, rate, seconds, connections, path] = process.argv.slice(2);
const file = fs.openSync(path, 'r');
const front = Buffer.alloc(72);

function next(request) {
  fs.readSync(file, front, 0, 72, null);
  const body = Buffer.alloc(Number(front.toString('latin1', 0, 8)));
  fs.readSync(file, body, 0, body.length, null);
  return { ...request, body, headers: { 'content-type': 'application/json', 'x-cal-signature-256': front.toString('latin1', 8) } };
}

autocannon({
  url, connections: Number(connections), duration: Number(seconds), ...(Number(rate) && { overallRate: Number(rate) }),
  requests: [{ method: 'POST', path: '/webhook', setupRequest: next }],
}, (error, result) => {
  if (error) throw error;
  const { p50, p99, p99_9: p999, max } = result.latency;
  process.stdout.write(JSON.stringify({ rate: result.requests.mean, sent: result.requests.total, bad: result.non2xx + result.errors, p50, p99, p999, max }));
});
