"""
FLUX.2 in plain PyTorch: what blocks and steps are compared with, by time (in bf16) and by value (in f32).

`weights(name)` gives a tensor by its name in a diffusers checkpoint. Text comes before the image in all sequences.
"""

import torch
import torch.nn.functional as F


def rope_tables(ids, config, device):
    """cos and sin, [tokens, head dim / 2], from integer positions."""
    parts = []
    for at, size in enumerate(config["ropeAxes"]):
        rates = config["ropeTheta"] ** -(torch.arange(0, size, 2, dtype=torch.float64, device=device) / size)
        parts.append(ids[:, at].to(torch.float64)[:, None] * rates)
    angles = torch.cat(parts, 1)
    return angles.cos().float(), angles.sin().float()


def rotate(x, cos, sin):
    """Pairs (2i, 2i + 1) of [tokens, heads, head dim] are turned, in f32."""
    pairs = x.float().unflatten(-1, (-1, 2))
    even, odd = pairs[..., 0], pairs[..., 1]
    cos, sin = cos[:, None], sin[:, None]
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2).to(x.dtype)


def normalize_heads(x, weight, eps):
    wide = x.float()
    return (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps) * weight.float()).to(x.dtype)


class Transformer:
    """`dtype`: of activations and, where it is not theirs, of weights when they are used."""

    def __init__(self, config, weights, dtype):
        self.config, self.weights, self.dtype = config, weights, dtype

    def linear(self, x, name):
        return F.linear(x, self.weights(f"{name}.weight").to(self.dtype))

    def modulate(self, x, shift, scale):
        normalized = F.layer_norm(x, x.shape[-1:], eps=self.config["eps"])
        return normalized * (1 + scale) + shift

    def heads(self, x, norm, rope):
        x = x.unflatten(-1, (self.config["heads"], -1))
        if norm is None:
            return x
        return rotate(normalize_heads(x, self.weights(f"{norm}.weight"), self.config["eps"]), *rope)

    def attend(self, q, k, v):
        q, k, v = (x.transpose(0, 1)[None] for x in (q, k, v))
        return F.scaled_dot_product_attention(q, k, v)[0].transpose(0, 1).flatten(1)

    def double(self, at, text, image, modulations, ropes):
        path = f"transformer_blocks.{at}"
        streams = [
            (text, modulations[1], ropes[0], ("add_q_proj", "add_k_proj", "add_v_proj"), ("norm_added_q", "norm_added_k")),
            (image, modulations[0], ropes[1], ("to_q", "to_k", "to_v"), ("norm_q", "norm_k")),
        ]
        projected = []
        for x, parts, rope, layers, norms in streams:
            normalized = self.modulate(x, parts[0], parts[1])
            q, k, v = (self.linear(normalized, f"{path}.attn.{layer}") for layer in layers)
            own = (self.heads(y, f"{path}.attn.{norm}", rope) for y, norm in zip((q, k), norms))
            projected.append((*own, self.heads(v, None, None)))
        attended = self.attend(*(torch.cat(pair) for pair in zip(*projected)))
        outputs = []
        pieces = attended.split([text.shape[0], image.shape[0]])
        for (x, parts, *_), piece, out, mlp in zip(streams, pieces, ("to_add_out", "to_out.0"), ("ff_context", "ff")):
            x = x + parts[2] * self.linear(piece, f"{path}.attn.{out}")
            gate, up = self.linear(self.modulate(x, parts[3], parts[4]), f"{path}.{mlp}.linear_in").chunk(2, -1)
            outputs.append(x + parts[5] * self.linear(F.silu(gate) * up, f"{path}.{mlp}.linear_out"))
        return outputs

    def single(self, at, x, parts, rope):
        path = f"single_transformer_blocks.{at}.attn"
        hidden, mlp = self.config["hidden"], self.config["mlpHidden"]
        wide = self.linear(self.modulate(x, parts[0], parts[1]), f"{path}.to_qkv_mlp_proj")
        q, k, v, gate, up = wide.split([hidden, hidden, hidden, mlp, mlp], -1)
        q, k = (self.heads(y, f"{path}.{norm}", rope) for y, norm in ((q, "norm_q"), (k, "norm_k")))
        attended = self.attend(q, k, self.heads(v, None, None))
        return x + parts[2] * self.linear(torch.cat((attended, F.silu(gate) * up), -1), f"{path}.to_out")

    def embed(self, embedder, value):
        half = self.config["timestepChannels"] // 2
        rates = 10000.0 ** -(torch.arange(half, dtype=torch.float64, device=value.device) / half)
        angles = value.double() * 1000 * rates
        wave = torch.cat((angles.cos(), angles.sin()))[None].to(self.dtype)
        path = f"time_guidance_embed.{embedder}"
        return self.linear(F.silu(self.linear(wave, f"{path}.linear_1")), f"{path}.linear_2")

    def modulations(self, time, guidance):
        """Of the image, the text, the single blocks and the final layer."""
        embedding = self.embed("timestep_embedder", time)
        if guidance is not None:
            embedding = embedding + self.embed("guidance_embedder", guidance)
        names = ("double_stream_modulation_img.linear", "double_stream_modulation_txt.linear", "single_stream_modulation.linear")
        counts = (6, 6, 3, 2)
        return [self.linear(F.silu(embedding), name).chunk(count, -1) for name, count in zip((*names, "norm_out.linear"), counts)]

    def velocity(self, latents, text, time, guidance, ropes):
        """[image tokens, channels]; `text` is embedded already."""
        image_parts, text_parts, single_parts, (scale, shift) = self.modulations(time, guidance)
        image = self.linear(latents.to(self.dtype), "x_embedder")
        for at in range(self.config["doubleBlocks"]):
            text, image = self.double(at, text, image, (image_parts, text_parts), ropes)
        x = torch.cat((text, image))
        joint = [torch.cat(pair) for pair in zip(*ropes)]
        for at in range(self.config["singleBlocks"]):
            x = self.single(at, x, single_parts, joint)
        return self.linear(self.modulate(x[text.shape[0] :], shift, scale), "proj_out")

    def denoise(self, noise, prompt, ropes, timesteps, deltas, guidance):
        text = self.linear(prompt.to(self.dtype), "context_embedder")
        latents = noise.float()
        for time, delta in zip(timesteps, deltas):
            latents = latents + delta * self.velocity(latents, text, time, guidance, ropes).float()
        return latents


class Decoder:
    """The autoencoder's decoder, channels first in memory format channels last."""

    def __init__(self, config, weights, dtype):
        self.config, self.weights, self.dtype = config, weights, dtype
        self.kept = {}

    def get(self, name):
        if name not in self.kept:
            value = self.weights(name).to(self.dtype)
            # 1×1 filters are stored with their channels last: that is the same memory.
            value = value.permute(0, 3, 1, 2) if value.dim() == 4 and value.shape[1:3] == (1, 1) else value
            self.kept[name] = value.contiguous(memory_format=torch.channels_last) if value.dim() == 4 else value
        return self.kept[name]

    def convolve(self, x, name):
        weight = self.get(f"{name}.weight")
        return F.conv2d(x, weight, self.get(f"{name}.bias"), padding=weight.shape[-1] // 2)

    def normalize(self, x, name):
        parts = (self.get(f"{name}.weight"), self.get(f"{name}.bias"))
        return F.group_norm(x, self.config["normGroups"], *parts, self.config["normEps"])

    def residual(self, x, path):
        y = self.convolve(F.silu(self.normalize(x, f"{path}.norm1")), f"{path}.conv1")
        y = self.convolve(F.silu(self.normalize(y, f"{path}.norm2")), f"{path}.conv2")
        has_shortcut = y.shape[1] != x.shape[1]
        return (self.convolve(x, f"{path}.conv_shortcut") if has_shortcut else x) + y

    def attend(self, x, path):
        flat = self.normalize(x, f"{path}.group_norm").flatten(2).transpose(1, 2)
        project = lambda y, name: F.linear(y, self.get(f"{path}.{name}.weight"), self.get(f"{path}.{name}.bias"))
        y = F.scaled_dot_product_attention(*(project(flat, name)[:, None] for name in ("to_q", "to_k", "to_v")))
        return x + project(y[:, 0], "to_out.0").transpose(1, 2).unflatten(2, x.shape[2:])

    def decode(self, latents):
        """[1, 4·channels, h, w] in the transformer's normalisation -> [1, 3, 16·h, 16·w]."""
        mean, variance = (self.weights(f"bn.running_{name}").float().reshape(-1, 1, 1) for name in ("mean", "var"))
        x = latents.float() * (variance + self.config["batchNormEps"]).sqrt() + mean
        x = F.pixel_shuffle(x, 2).to(self.dtype).contiguous(memory_format=torch.channels_last)
        x = self.convolve(self.convolve(x, "post_quant_conv"), "decoder.conv_in")
        x = self.residual(x, "decoder.mid_block.resnets.0")
        x = self.residual(self.attend(x, "decoder.mid_block.attentions.0"), "decoder.mid_block.resnets.1")
        levels = len(self.config["decoderChannels"])
        for level in range(levels):
            for block in range(self.config["layersPerBlock"] + 1):
                x = self.residual(x, f"decoder.up_blocks.{level}.resnets.{block}")
            if level < levels - 1:
                x = F.interpolate(x, scale_factor=2, mode="nearest")
                x = self.convolve(x, f"decoder.up_blocks.{level}.upsamplers.0.conv")
        return self.convolve(F.silu(self.normalize(x, "decoder.conv_norm_out")), "decoder.conv_out")
