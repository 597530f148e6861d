import type { Device } from '../../../runtime/device.js';
import { CompiledFlux2Model, type CompiledModelOptions } from '../compiled-model.js';
import { loadModel } from '../load-model.js';
import { Flux2Pipeline, type PipelineOptions } from '../pipeline.js';
import { openModelFiles, type OpenModelOptions } from './open-model.js';

export interface OpenPipelineOptions extends OpenModelOptions, CompiledModelOptions, PipelineOptions {
  /** A folder in diffusers layout, a folder of one component or a safetensors file. Default: the embedded checkpoint. */
  readonly model?: string;
}

/**
 * A pipeline that draws on `device`. Each network is compiled and loaded when it is first used. Errors as
 * `openModelFiles` and `loadModel`; `close` the pipeline when done, and the device after it.
 */
export async function openPipeline(device: Device, options: OpenPipelineOptions = {}): Promise<Flux2Pipeline> {
  const loaded = await loadModel(await openModelFiles(options.model, options), options);
  return new Flux2Pipeline(new CompiledFlux2Model(loaded, device, options), options);
}
