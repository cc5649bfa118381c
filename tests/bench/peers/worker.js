// A BullMQ worker, as people write it: a script takes the credit, one call tells Cal.com. It makes the jobs, works them
// off and prints how long that took (ms). `node worker.js REDIS_PORT API_URL JOBS CONCURRENCY`
'use strict';
const Redis = require('ioredis');
const { Agent, request } = require('undici');
const { Queue, Worker } = require('bullmq');

const [redisPort, apiUrl, jobsText, concurrency] = process.argv.slice(2);
const jobs = Number(jobsText);
const options = { port: Number(redisPort), maxRetriesPerRequest: null };
const redis = new Redis(options);
redis.defineCommand('charge', {
  numberOfKeys: 1,
  lua: `local balance = tonumber(redis.call('HGET', KEYS[1], 'balance') or 0)
        if balance < 1 then return 0 end
        redis.call('HINCRBY', KEYS[1], 'balance', -1)
        redis.call('HINCRBY', KEYS[1], 'spent', 1)
        return 1`,
});
const agent = new Agent({ connections: Number(concurrency), pipelining: 1 });

async function settle(job) {
  const accepted = await redis.charge(`credit:${job.data.account}`);
  const answer = await request(`${apiUrl}/v2/bookings/${job.data.uid}/${accepted ? 'confirm' : 'decline'}`, {
    method: 'POST', dispatcher: agent, body: '{}',
    headers: { authorization: 'Bearer key', 'content-type': 'application/json' },
  });
  const body = await answer.body.json();
  if (answer.statusCode !== 200 || body.status !== 'success') throw new Error(`status ${answer.statusCode}`);
}

async function main() {
  const queue = new Queue('bookings', { connection: new Redis(options) });
  for (let member = 0; member < 1000; member++) await redis.hset(`credit:member${member}`, 'balance', 1000000);
  for (let first = 0; first < jobs; first += 1000) {
    await queue.addBulk(Array.from({ length: Math.min(1000, jobs - first) }, (_, i) => ({
      name: 'booking', data: { uid: `u${first + i}`, account: `member${i}` }, opts: { removeOnComplete: true },
    })));
  }
  process.stdout.write('ready\n');
  await new Promise((resolve) => { process.stdin.once('data', resolve); });
  const since = process.hrtime.bigint();
  let done = 0;
  const worker = new Worker('bookings', settle, { connection: new Redis(options), concurrency: Number(concurrency) });
  worker.on('completed', () => {
    done++;
    if (done === jobs) {
      process.stdout.write(`${Number(process.hrtime.bigint() - since) / 1e6}\n`);
    }
  });
  worker.on('failed', (job, error) => { console.error(error); process.exit(1); });
}
main();
