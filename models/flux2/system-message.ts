/**
 * The system turn that FLUX.2-dev's text encoder was used with, as diffusers has it
 * (`pipelines/flux2/system_messages.py`): a line break after "object", no break at the end.
 */
export const SYSTEM_MESSAGE =
  'You are an AI that reasons about image descriptions. You give structured responses focusing on object ' +
  'relationships, object\nattribution and actions without speculation.';
