// fastify, as people write it: signature, JSON, and the booking's ID into a queue. `node ingest.js PORT REDIS_PORT SECRET
// bullmq|list`
'use strict';
const crypto = require('node:crypto');
const fastify = require('fastify')();
const Redis = require('ioredis');
const { Queue } = require('bullmq');

const [port, redisPort, secret, kind] = process.argv.slice(2);
const redis = new Redis({ port: Number(redisPort), maxRetriesPerRequest: null });
const queue = kind === 'bullmq' && new Queue('bookings', { connection: redis });
const push = queue ? (id) => queue.add('booking', { id }, { jobId: `b${id}`, removeOnComplete: true })
  : (id) => redis.lpush('queue', id);

fastify.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body, done) => done(null, body));
fastify.post('/webhook', async (request, reply) => {
  const given = Buffer.from(request.headers['x-cal-signature-256'] || '', 'hex');
  const wanted = crypto.createHmac('sha256', secret).update(request.body).digest();
  if (given.length !== wanted.length || !crypto.timingSafeEqual(given, wanted)) {
    return reply.code(401).send();
  }
  await push(JSON.parse(request.body).payload.bookingId);
  return reply.code(202).send();
});
fastify.listen({ port: Number(port), host: '127.0.0.1' });
