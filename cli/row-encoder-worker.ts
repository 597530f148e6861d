/** A thread of `row-encoder.ts`. */
import { parentPort } from 'node:worker_threads';
import { encodeRows } from '../ir/encode-rows.js';
import { parseEncoding } from '../ir/encoding.js';
import type { EncodeReply, EncodeRequest } from './row-encoder.js';

const port = parentPort;
port?.on('message', ({ encoding, rows, columns, values }: EncodeRequest) => {
  let reply: EncodeReply;
  try {
    reply = [...encodeRows(parseEncoding(encoding), rows, columns, values)];
  } catch (error) {
    reply = { failure: error instanceof Error ? error.message : String(error) };
  }
  port.postMessage(reply, 'failure' in reply ? [] : reply.map(([, bytes]) => bytes.buffer as ArrayBuffer));
});
