import { homedir } from 'node:os';
import { join } from 'node:path';

/** Where machine code and tables of schedules are kept: FLUX2C_CACHE (empty: nowhere), else the user's folder for caches. */
export function cacheFolder(): string | undefined {
  const { env, platform } = process;
  if (env.FLUX2C_CACHE !== undefined) return env.FLUX2C_CACHE === '' ? undefined : env.FLUX2C_CACHE;
  if (platform === 'win32') return join(env.LOCALAPPDATA ?? join(homedir(), 'AppData', 'Local'), 'flux2c', 'cache');
  if (platform === 'darwin') return join(homedir(), 'Library', 'Caches', 'flux2c');
  return join(env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'flux2c');
}
