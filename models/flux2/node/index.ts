/** FLUX.2 in Node.js: models on disk and picture files. */
export { openPipeline, type OpenPipelineOptions } from './open-pipeline.js';
export { embeddedCheckpoint, openModelFiles, type OpenModelOptions } from './open-model.js';
export { decodeImage, encodeImage, type PictureFormat, readImage, writeImage } from './image-files.js';
