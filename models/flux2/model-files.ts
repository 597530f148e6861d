/** Where a model's files come from: folders on disk (`node/open-model.ts`), or anything else that can be read. */
import type { Checkpoint } from '../../frontend/checkpoint/index.js';

/** The networks of a pipeline, by the names of their folders, and the tokenizer. */
export type ComponentName = 'transformer' | 'vae' | 'text_encoder' | 'tokenizer';

/** A component's folder, or the single file that is all there is of it. */
export interface ComponentFiles {
  /** What errors call it: a path, an address. */
  readonly name: string;
  /** A text file beside the weights (`config.json`, `tokenizer.json`), or undefined when there is none. */
  readText(file: string): Promise<string | undefined>;
  /** Opens the weights; the caller closes them. Errors of the checkpoint reader. */
  openCheckpoint(): Promise<Checkpoint>;
}

export interface ModelFiles {
  /** What errors and pictures' metadata call the model. */
  readonly name: string;
  /** The text of `model_index.json` and the name of that file. */
  readonly index?: { readonly file: string; readonly text: string };
  readonly components: Readonly<Partial<Record<ComponentName, ComponentFiles>>>;
  /** How to provide a component that is not there, as a full sentence. */
  hintFor(component: ComponentName): string;
}
