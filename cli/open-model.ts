/** The model that `--model` and its companions name, ready to run on a device. */
import { CompiledFlux2Model } from '../models/flux2/compiled-model.js';
import { closeModel, loadModel, type LoadedModel } from '../models/flux2/load-model.js';
import type { ModelFiles } from '../models/flux2/model-files.js';
import { openModelFiles } from '../models/flux2/node/open-model.js';
import type { Flux2Model } from '../models/flux2/networks.js';
import type { Device } from '../runtime/device.js';
import { isArtifact, openArtifactModel } from './artifact-folder.js';
import type { CompileOptions, Operands } from '../passes/compile.js';
import type { MemoryBudget } from '../models/flux2/memory-shares.js';
import { findIdlePatterns, type QuantizeOptions } from '../models/flux2/quantized-tensors.js';
import { type ComponentOptions, contradiction, wrongValue } from './options.js';
import { type QuantizeCliOptions, quantizeOf } from './quantize-options.js';

export interface OpenModelRequest extends ComponentOptions, QuantizeCliOptions {
  /** Default: the embedded checkpoint. */
  readonly model?: string;
  /** A model whose components and pipeline stand in for those that the model does not bring; no artifact has any to give. */
  readonly base?: string;
  /** Hidden states that the text encoder joins, instead of the pipeline's. */
  readonly layers?: readonly number[];
  readonly operands?: Operands;
  /** In place of the chosen ones, by kernel key; an artifact has its own. */
  readonly schedules?: CompileOptions['schedules'];
  readonly memory?: MemoryBudget | undefined;
}

/** F2C702 for patterns of `--keep` that no weight has. */
export function checkKept(quantize: QuantizeOptions | undefined, model: LoadedModel): void {
  const components = ['transformer', 'vae', 'text_encoder'] as const;
  const tables = new Map(
    components.flatMap((name) => (model[name] === undefined ? [] : [[name, model[name].table] as const])),
  );
  const [idle] = findIdlePatterns(quantize?.keep ?? [], tables);
  if (idle === undefined) return;
  throw wrongValue(
    '--keep',
    'a pattern that some weight has, as single_transformer_blocks.0.* or *.to_out.*',
    idle,
    'flux2c inspect --html lists the weights of a model.',
  );
}

/** Opens, checks and compiles (each function when it is first used) a model. Errors name the file that is wrong. */
export async function openModel(request: OpenModelRequest, device: Device): Promise<Flux2Model> {
  const { model, vae, textEncoder, tokenizer, cachedReferences, layers, operands, schedules, memory } = request;
  const quantize = quantizeOf(request);
  if (model !== undefined && (await isArtifact(model))) {
    const given = [vae, textEncoder, tokenizer, cachedReferences, layers, operands, quantize].filter(
      (option) => option !== undefined,
    );
    if (given.length === 0) return openArtifactModel(model, device, memory);
    throw contradiction(
      'an artifact is complete: its components, layers, operands and encodings were chosen when it was compiled',
      'Leave out --vae, --text-encoder, --tokenizer, --cached-references, --layers, --operands, --quantize and --keep.',
    );
  }
  const files = await openFiles(request);
  const loadOptions = {
    ...(layers !== undefined && { textEncoderLayers: layers }),
    ...(cachedReferences !== undefined && { cachedReferences }),
  };
  const compileOptions = {
    ...loadOptions,
    ...(operands && { operands }),
    ...(schedules && { schedules }),
    memory,
    ...(quantize && { quantize }),
  };
  const loaded = await loadModel(files, loadOptions);
  try {
    checkKept(quantize, loaded);
  } catch (error) {
    await closeModel(loaded);
    throw error;
  }
  return new CompiledFlux2Model(loaded, device, compileOptions);
}

async function openFiles({ model, base, vae, textEncoder, tokenizer }: OpenModelRequest): Promise<ModelFiles> {
  const files = await openModelFiles(model, {
    ...(vae !== undefined && { vae }),
    ...(textEncoder !== undefined && { textEncoder }),
    ...(tokenizer !== undefined && { tokenizer }),
  });
  if (base === undefined || (await isArtifact(base))) return files;
  const { index, components } = await openModelFiles(base);
  return { ...(index && { index }), ...files, components: { ...components, ...files.components } };
}
