#!/usr/bin/env bash
# Packs what runs flux2c on a machine with a GPU but without Node and without a network: Node itself, the build, the packages that it loads, and
# with --peers the WebGPU stacks of bench/peers.
#
#   bench/gpu/pack-node.sh out/node            # here, behind `npm ci && npm run build`
#   out/node/run devices                       # there
#   out/node/run --script out/node/unpacked/dist/bench/peers/main.js --no-install --no-processor --adapter NVIDIA
#
# Needs xz and strip; 50 MB. Vulkan needs a loader and the driver's ICD there (VK_DRIVER_FILES).
set -euo pipefail
cd "$(dirname "$0")/../.."
target=${1:?folder to write, such as out/node}
[ -f dist/cli/main.js ] || { echo 'there is no build: npm run build first' >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
platform=linux-x64
mkdir -p "$target" "$work"/node_modules/{webgpu/dist/$platform,@koromix,@img,@huggingface}

cp "$(command -v node)" "$work/node"
strip "$work/node"
cp -r node_modules/{commander,koffi,sharp,detect-libc,semver} "$work/node_modules/"
cp -r "node_modules/@koromix/koffi-$platform" "$work/node_modules/@koromix/"
cp -r node_modules/@img/{colour,sharp-$platform,sharp-libvips-$platform} "$work/node_modules/@img/"
cp -r node_modules/@huggingface/{jinja,tokenizers} "$work/node_modules/@huggingface/"
cp node_modules/webgpu/{package.json,index.js} "$work/node_modules/webgpu/"
cp "node_modules/webgpu/dist/$platform/dawn.node" "$work/node_modules/webgpu/dist/$platform/"
strip "$work/node_modules/webgpu/dist/$platform/dawn.node"
cp -r dist package.json "$work/"
mkdir -p "$work/models/flux2"
cp -r models/flux2/checkpoint "$work/models/flux2/"

if [ "${2:-}" = --peers ]; then
  from=bench/peers/node_modules
  mkdir -p "$work/$from/onnxruntime-web/dist"
  cp bench/peers/{package.json,package-lock.json,load-peer.mjs} "$work/bench/peers/"
  cp -r $from/{onnxruntime-common,@jax-js} "$work/$from/"
  cp $from/onnxruntime-web/package.json "$work/$from/onnxruntime-web/"
  cp $from/onnxruntime-web/dist/{ort-wasm-simd-threaded.asyncify.mjs,ort-wasm-simd-threaded.asyncify.wasm} "$work/$from/onnxruntime-web/dist/"
  cp $from/onnxruntime-web/dist/ort*.mjs "$work/$from/onnxruntime-web/dist/"
fi

find "$work" \( -name '*.map' -o -name '*.d.ts' \) -delete
tar -C "$work" -c . | xz -T0 -6 >"$target/flux2c.tar.xz"
cat >"$target/run" <<'RUN'
#!/usr/bin/env bash
# Unpacks once beside itself, then runs a command of flux2c; `run --script FILE` any other script.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
if [ ! -x "$here/unpacked/node" ]; then
  mkdir -p "$here/unpacked"
  tar -C "$here/unpacked" -xJf "$here/flux2c.tar.xz"
fi
if [ "${1:-}" = --script ]; then shift; exec "$here/unpacked/node" "$@"; fi
exec "$here/unpacked/node" "$here/unpacked/dist/cli/main.js" "$@"
RUN
chmod +x "$target/run"
du -h "$target/flux2c.tar.xz"
