// The console's verifier as a program, for comparing it with others:
//
//   node batch.js --batch FILE --genesis FILE
//
// Each line of the batch is {"receipt": "<text>"} and gives one line, "ok" or "refused: <reason>". The code is 0 only if all are ok.

import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { readGenesis } from '../../crates/node/assets/console/js/proof/genesis.js';
import { verifyReceipt } from '../../crates/node/assets/console/js/proof/receipt.js';

const { batch, genesis: file } = parseArgs({ options: { batch: { type: 'string' }, genesis: { type: 'string' } } }).values;
const genesis = readGenesis(readFileSync(file));
for (const line of readFileSync(batch, 'utf8').split('\n').filter(Boolean)) {
  const { valid, why } = await verifyReceipt(JSON.parse(line).receipt, genesis);
  console.log(valid ? 'ok' : `refused: ${JSON.stringify(why).slice(1, -1)}`);
  if (!valid) process.exitCode = 1;
}
