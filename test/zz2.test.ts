import { it } from 'vitest';
import { cudaTarget } from '../backends/cuda/cuda-target.js';
import { InterpreterDevice } from '../runtime/interpreter-device.js';
import { goldenNetworks } from './golden-cases.js';
import { RunningNetwork } from './golden-on-device.js';
it('x', async () => {
  const network = goldenNetworks.find((n) => n.name.startsWith('vae-tiny') && n.cases.some((c) => c.name === 'decode_b2_48x80' && n.cases.length === 1)) ?? goldenNetworks.filter((n) => n.name.startsWith('vae'))[1]!;
  process.stderr.write(goldenNetworks.map((n) => n.name + ':' + n.cases.map((c) => c.name)).join('\n') + '\n');
  const running = await RunningNetwork.open(network, new InterpreterDevice(cudaTarget([process.env.ARCH as 'sm_80'])), { operands: 'bf16' });
  try { process.stderr.write(JSON.stringify(await running.run(network.cases[0]!)) + '\n'); } catch (e) { const x = e as any; process.stderr.write(JSON.stringify(x.detail) + x.message + '\n');
   const k = running.compiled.kernels.get(/kernel @(\S+)/.exec(JSON.stringify(x.detail))?.[1] ?? ''); process.stderr.write(JSON.stringify(k?.schedule) + JSON.stringify(k?.tile.axes) + JSON.stringify(k?.tile.buffers)+ '\n'); }
}, 300000);
