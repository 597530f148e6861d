/** Where the parts of NVIDIA's CUDA toolkit are. */
import { accessSync, constants, existsSync, readdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';

const { env, platform } = process;

/** Folders that the toolkit may be installed in, the most certain first. */
export function toolkitFolders(): readonly string[] {
  const named = [env.CUDA_HOME, env.CUDA_PATH].filter((path) => path !== undefined && path !== '') as string[];
  if (platform === 'win32') return named;
  const numbered = listFolder('/usr/local').filter((name) => /^cuda-\d/.test(name));
  return [...named, '/usr/local/cuda', ...numbered.sort().reverse().map((name) => join('/usr/local', name)), '/opt/cuda']; // prettier-ignore
}

/** nvcc: what FLUX2C_NVCC says, else on the PATH, else in a folder of the toolkit. */
export function findNvcc(): string | undefined {
  const name = platform === 'win32' ? 'nvcc.exe' : 'nvcc';
  if (env.FLUX2C_NVCC !== undefined && env.FLUX2C_NVCC !== '') return env.FLUX2C_NVCC;
  const onPath = (env.PATH ?? '').split(delimiter).filter((folder) => folder !== '');
  const inToolkit = toolkitFolders().map((folder) => join(folder, 'bin'));
  return [...onPath, ...inToolkit].map((folder) => join(folder, name)).find(isExecutable);
}

/** Names under which the loader may find NVRTC, the best first: what FLUX2C_NVRTC says, or any version from 12 on. */
export function nvrtcNames(): readonly string[] {
  if (env.FLUX2C_NVRTC !== undefined && env.FLUX2C_NVRTC !== '') return [env.FLUX2C_NVRTC];
  if (platform === 'win32') return ['nvrtc64_130_0.dll', 'nvrtc64_120_0.dll'];
  const names = ['libnvrtc.so', 'libnvrtc.so.13', 'libnvrtc.so.12'];
  const installed = toolkitFolders().map((folder) => join(folder, 'lib64', 'libnvrtc.so')).filter((path) => existsSync(path)); // prettier-ignore
  return [...names, ...installed];
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function listFolder(path: string): readonly string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}
